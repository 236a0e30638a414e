import { headers } from 'next/headers'
import { site } from '../../site.ts'

/** A server component reads: it cannot set a cookie. */
export default async function Page() {
  const sent = await headers() // first: it tells the build that this page needs a request
  const { session, user } = await site().read(sent)
  const name = user.isAuthenticated ? user.getUsername() : 'nobody'
  return <p>{`${name} was here ${Number(session.get('num_visits') ?? 0)} times`}</p>
}

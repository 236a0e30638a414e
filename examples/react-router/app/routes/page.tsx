import { type LoaderFunctionArgs, useLoaderData } from 'react-router'
import { django } from '../django.server.ts'

export async function loader({ context }: LoaderFunctionArgs) {
  const exchange = context.get(django)
  const session = await exchange.session.load<{ num_visits: number }>()
  const user = await exchange.user()
  return {
    name: user.isAuthenticated ? user.getUsername() : 'nobody',
    visits: Number(session.get('num_visits') ?? 0),
  }
}

export default function Page() {
  const { name, visits } = useLoaderData<typeof loader>()
  return <p>{`${name} was here ${visits} times`}</p>
}

/** Without declared keys, every key is possible and every value is unknown. */
import type { SessionHandle } from 'koa-django-sessions'

export async function undeclared(handle: SessionHandle): Promise<void> {
  const session = await handle.load()
  const value: unknown = session.get('num_visits')
  // @ts-expect-error: it is unknown
  const visits: number = session.get('num_visits')
  session.set('num_visits', [visits, value])
  session.compute('num_visits', (stored) => (typeof stored === 'number' ? stored + 1 : 1))
  // @ts-expect-error: it may be of any kind
  session.compute('num_visits', (stored) => stored + 1)
}

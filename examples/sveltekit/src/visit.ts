import type { DjangoExchange } from 'koa-django-sessions/fetch'

/** Counts this visit, as LocalLibrary's home page does. */
export async function visit({ session }: DjangoExchange): Promise<number> {
  const loaded = await session.load<{ num_visits: number }>()
  return loaded.compute('num_visits', (visits) => Number(visits ?? 0) + 1)
}

import type { Context, Middleware } from 'koa'
import type { PickledValue } from '../../django/pickle/javascript.ts'
import type { Catalog } from './catalog.ts'
import type { Layout } from './layout.ts'
import type { Templates } from './templates.ts'

/** The keys of LocalLibrary's sessions that this page uses. */
export interface LibrarySession {
  num_visits: PickledValue
}

/**
 * LocalLibrary's home page: four counts, and the stored number of this visitor's visits. A HEAD counts as a visit, as in
 * Django. A request that fails because the counts are not available does not.
 * Source: the MDN tutorial's catalog/views.py, index.
 */
export function createHome({
  catalog,
  templates,
  layout: layoutOf,
}: {
  catalog: Catalog
  templates: Templates
  layout: (ctx: Context) => Promise<Layout>
}): Middleware {
  // No Cache-Control, because Django sends none here. `Vary: Cookie` keeps shared caches from mixing up visitors, and
  // without an expiry time or a validator browsers do not reuse the page.
  return async function home(ctx) {
    // The counts first, because the database takes longest for them.
    const [counts, session, layout] = await Promise.all([
      catalog.counts(),
      ctx.session.load<LibrarySession>(),
      layoutOf(ctx),
    ])
    session.compute('num_visits', oneMore)
    await session.save()
    ctx.type = 'html'
    ctx.body = templates.render('index.html', { counts, numVisits: session.get('num_visits'), layout })
  }
}

/**
 * Python's `num_visits + 1`: integers exactly, floats and booleans as Python adds them.
 * Unlike Django, which answers 500 for a value that is not a number, and shows "nan times" for ever after a NaN: the
 * count starts again at 1.
 */
function oneMore(stored: PickledValue | undefined): PickledValue {
  if (typeof stored === 'bigint') return stored + 1n
  if (typeof stored === 'boolean') return Number(stored) + 1
  if (typeof stored !== 'number' || !Number.isFinite(stored)) return 1
  // Larger integers are not exact as a double; Python's integers have no limit.
  if (stored === Number.MAX_SAFE_INTEGER) return BigInt(stored) + 1n
  return stored + 1
}

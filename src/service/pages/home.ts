import type { Context, Middleware } from 'koa'
import type { PickledValue } from '../../django/pickle/javascript.ts'
import type { Catalog } from './catalog.ts'
import type { Frame } from './layout.ts'
import type { Views } from './views.ts'

/** What LocalLibrary keeps in a visitor's session, as far as this page knows. */
export interface LibrarySession {
  num_visits: PickledValue
}

/**
 * LocalLibrary's home page: four counts, and how often this visitor has come, as stored. A HEAD counts, as in Django;
 * a page that cannot be shown for want of the counts does not.
 * Source: the MDN tutorial's catalog/views.py, index.
 */
export function createHome({
  catalog,
  views,
  frame: frameOf,
}: {
  catalog: Catalog
  views: Views
  frame: (ctx: Context) => Promise<Frame>
}): Middleware {
  // No Cache-Control: Django sends none here. `Vary: Cookie` keeps shared caches from mixing up visitors, and without
  // an expiry or a validator browsers ask again.
  return async function home(ctx) {
    const [session, counts, frame] = await Promise.all([
      ctx.session.load<LibrarySession>(),
      catalog.counts(),
      frameOf(ctx),
    ])
    session.compute('num_visits', oneMore)
    await session.save()
    ctx.type = 'html'
    ctx.body = views.render('index.html', { counts, numVisits: session.get('num_visits'), frame })
  }
}

/**
 * Python's `num_visits + 1`: integers exactly, floats and booleans as Python adds them.
 * Unlike Django, which answers 500 to a value that is no number, and says "nan times" for ever after a NaN: counting
 * starts anew.
 */
export function oneMore(stored: PickledValue | undefined): PickledValue {
  if (typeof stored === 'bigint') return stored + 1n
  if (typeof stored === 'boolean') return Number(stored) + 1
  if (typeof stored !== 'number' || !Number.isFinite(stored)) return 1
  // The first integer that would be written as a float; Python's has no end.
  if (stored === Number.MAX_SAFE_INTEGER) return BigInt(stored) + 1n
  return stored + 1
}

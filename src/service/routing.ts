import type { IncomingMessage } from 'node:http'
import type { Context, Middleware } from 'koa'
import { isUnambiguous, lenientPath, pathInfo } from '../django/path-info.ts'
import { toOriginForm } from './proxy/forwarded-headers.ts'

/**
 * Where a request is answered. `here`: by a page of this service. `elsewhere`: by the upstream; without one, by the 404
 * page. `nowhere`: by the 404 page even with an upstream, because other servers may read the path as one of our pages.
 */
export type Place = 'here' | 'elsewhere' | 'nowhere'

export interface Routing {
  /** Where a request for this target, in origin form, is answered. All parts use this one decision. */
  placeOf(method: string, target: string): Place
  /** Rewrites the target to origin form, and for our pages to the path of the route. Sets `ctx.state.place`. */
  readonly middleware: Middleware
}

/** @param isServed whether a page of this service has exactly this path and method */
export function createRouting(isServed: (method: string, path: string) => boolean): Routing {
  function placeOf(method: string, target: string): Place {
    const path = pathInfo(target)
    if (isServed(method, path)) return isUnambiguous(target) ? 'here' : 'nowhere'
    const lenient = lenientPath(target)
    return lenient !== path && isServed(method, lenient) ? 'nowhere' : 'elsewhere'
  }

  return {
    placeOf,
    middleware: function routing(ctx, next) {
      toOriginForm(ctx.req)
      const place = placeOf(ctx.method, ctx.url)
      ctx.state.place = place
      if (place === 'here') ctx.url = `${pathInfo(ctx.url)}${queryOf(ctx.url)}`
      return next()
    },
  }
}

/** Whether a server may read this target as one of these paths, however it is spelled. */
export function isSpellingOf(paths: readonly string[], { url = '' }: IncomingMessage): boolean {
  return paths.includes(pathInfo(url)) || paths.includes(lenientPath(url))
}

/** The path as the client sent it, percent-encoded. */
export function sentPath(ctx: Context): string {
  const [path = ''] = ctx.url.split('?', 1)
  return path
}

function queryOf(target: string): string {
  const start = target.indexOf('?')
  return start === -1 ? '' : target.slice(start)
}

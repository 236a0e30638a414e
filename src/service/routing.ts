import type { IncomingMessage } from 'node:http'
import type { Context, Middleware } from 'koa'
import { isUnambiguous, lenientPath, pathInfo } from '../django/path-info.ts'
import { toOriginForm } from './proxy/forwarded-headers.ts'

/**
 * Who answers a request: a page of ours, the upstream (or our 404 page, without one), or a 404 page although there may
 * be an upstream, since servers may take its path for that of a page of ours.
 */
export type Place = 'here' | 'elsewhere' | 'nowhere'

export interface Routing {
  /** Where a request for this target, in origin form, is answered: the one decision that all parts follow. */
  placeOf(method: string, target: string): Place
  /** Brings the target into origin form, and that of a page of ours to the path of its route; sets `ctx.state.place`. */
  readonly middleware: Middleware
}

/** @param isServed whether a page of ours has exactly this path and method */
export function createRouting(isServed: (method: string, path: string) => boolean): Routing {
  function placeOf(method: string, target: string): Place {
    const path = pathInfo(target)
    if (isServed(method, path)) return isUnambiguous(target) ? 'here' : 'nowhere'
    return isServed(method, lenientPath(target)) ? 'nowhere' : 'elsewhere'
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

/** Whether servers may take this target for one of these paths, however it is spelled. */
export function isSpellingOf(paths: readonly string[], { url = '' }: IncomingMessage): boolean {
  return paths.includes(pathInfo(url)) || paths.includes(lenientPath(url))
}

/** The path as it was sent, percent-encoded. */
export function sentPath(ctx: Context): string {
  const [path = ''] = ctx.url.split('?', 1)
  return path
}

function queryOf(target: string): string {
  const start = target.indexOf('?')
  return start === -1 ? '' : target.slice(start)
}

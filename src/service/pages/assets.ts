import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Middleware } from 'koa'
import { packageFolder } from '../package-folder.ts'

/** A static file: its URL, which changes with its content, and the middleware that serves it. */
export interface Asset {
  readonly url: string
  readonly serve: Middleware
}

/** Not `/static/` or `/media/`: on a shared host name those belong to Django, as do `/catalog/…` and `/accounts/`. */
export const ASSETS_PREFIX = '/koa-assets/'

const DIRECTORY = new URL('templates/assets/', packageFolder)

/** Reads the static files of the pages. */
export function readAssets(): Record<'styles' | 'icon', Asset> {
  return {
    styles: readAsset('styles.css'),
    icon: readAsset('icon.svg'),
  }
}

function readAsset(fileName: string): Asset {
  const content = readFileSync(new URL(fileName, DIRECTORY))
  const hash = createHash('sha256').update(content).digest('base64url').slice(0, 16)
  const [name, extension = ''] = fileName.split('.')
  return {
    url: `${ASSETS_PREFIX}${name}.${hash}.${extension}`,
    serve: function asset(ctx) {
      ctx.status = 200
      ctx.type = extension
      ctx.etag = hash
      ctx.set('Cache-Control', 'public, max-age=31536000, immutable')
      if (ctx.fresh) ctx.status = 304
      else ctx.body = content
    },
  }
}

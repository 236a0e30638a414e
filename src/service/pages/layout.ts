import type { Context } from 'koa'
import type { ShownMessage } from '../../adapters/koa/messages.ts'
import type { User } from '../../auth/user.ts'
import { sentPath } from '../routing.ts'

/** What the frame of a page needs: `templates/base_generic.html`. */
export interface Frame {
  readonly links: SiteLinks
  /** Null for somebody who is not logged in, undefined where nobody can say. */
  readonly user: FrameUser | null | undefined
  /** Where the login page is to lead, as it stands in a query string. */
  readonly next: string
  readonly messages: readonly ShownMessage[]
}

export interface FrameUser {
  readonly name: string
  readonly isStaff: boolean
  /** Whether they have the permission `catalog.can_mark_returned`. */
  readonly canMarkReturned: boolean
  /** For the form that logs out. */
  readonly csrfToken: string
}

/** The addresses of the site's pages, wherever they are served. */
export type SiteLinks = Readonly<Record<keyof typeof PATHS | 'login', string>>

/** The paths of LocalLibrary, as the MDN tutorial's urls.py has them. */
const PATHS = {
  home: '/catalog/',
  books: '/catalog/books/',
  authors: '/catalog/authors/',
  myBorrowed: '/catalog/mybooks/',
  allBorrowed: '/catalog/borrowed/',
  admin: '/admin/',
  logout: '/accounts/logout/',
} as const

export interface FramesOptions {
  /** Whether the page is served here; asked when the first page is shown, once for each link. */
  readonly isServed: (method: string, path: string) => boolean
  /** What stands before the paths of those that are not; '' for the same origin. */
  readonly djangoBaseUrl: string
  /** LOGIN_URL. */
  readonly loginUrl: string
}

export interface Frames {
  /** Where neither the session nor the database can be asked. */
  bare(ctx: Context): Frame
  /**
   * The frame for this visitor. Somebody without a session costs no statement and gets no cookie; a user's name costs
   * one, and permissions one more. A page changes the session only after this: a login that no longer counts flushes it.
   */
  forVisitor(ctx: Context): Promise<Frame>
}

export function createFrames(options: FramesOptions): Frames {
  let links: SiteLinks | null = null

  function bare(ctx: Context): Frame {
    links ??= siteLinks(options)
    return { links, user: undefined, next: nextOf(ctx) ?? links.home, messages: [] }
  }

  return {
    bare,
    async forVisitor(ctx) {
      const user = await ctx.user()
      const messages = await ctx.messages.take()
      return { ...bare(ctx), messages, user: user.isAuthenticated ? await frameUser(user, ctx) : null }
    },
  }
}

async function frameUser(user: User, ctx: Context): Promise<FrameUser> {
  return {
    name: user.getUsername(),
    isStaff: user.isActive && user.isStaff,
    canMarkReturned: await user.hasPerm('catalog.can_mark_returned'),
    csrfToken: ctx.csrf.getToken(),
  }
}

function siteLinks({ isServed, djangoBaseUrl, loginUrl }: FramesOptions): SiteLinks {
  const link = (path: string, method = 'GET') =>
    isServed(method, path) || !path.startsWith('/') ? path : `${djangoBaseUrl}${path}`
  return {
    home: link(PATHS.home),
    books: link(PATHS.books),
    authors: link(PATHS.authors),
    myBorrowed: link(PATHS.myBorrowed),
    allBorrowed: link(PATHS.allBorrowed),
    admin: link(PATHS.admin),
    logout: link(PATHS.logout, 'POST'),
    login: link(loginUrl),
  }
}

/**
 * This page, as the tutorial's `?next={{ request.path }}`; null for one that cannot be asked for again.
 * Unlike the tutorial's, whose visitors log in from the page that logged them out and come to a 405.
 */
function nextOf(ctx: Context): string | null {
  return ['GET', 'HEAD'].includes(ctx.method) ? encodeNext(sentPath(ctx)) : null
}

/** For a query string; slashes stay readable. */
export function encodeNext(url: string): string {
  return encodeURIComponent(url).replaceAll('%2F', '/')
}

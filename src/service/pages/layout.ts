import type { Context } from 'koa'
import type { User } from '../../auth/user.ts'
import type { ShownMessage } from '../../http/messages.ts'
import { sentPath } from '../routing.ts'
import { SESSIONS_PAGE_PATH } from './session-details.ts'

/** The values of the layout that all pages share: `templates/base_generic.html`. */
export interface Layout {
  readonly links: SiteLinks
  /** The page about sessions; null where it is not served. */
  readonly sessionsPage?: string | null
  /** Null for an anonymous visitor; undefined on pages that do not load the session. */
  readonly user: LayoutUser | null | undefined
  /** Where the login page leads, encoded for a query string. */
  readonly next: string
  readonly messages: readonly ShownMessage[]
}

export interface LayoutUser {
  readonly name: string
  readonly isStaff: boolean
  /** Whether they have the permission `catalog.can_mark_returned`. */
  readonly canMarkReturned: boolean
  /** For the logout form. */
  readonly csrfToken: string
}

/** The URLs of the site's pages, whether they are served here or by Django. */
export type SiteLinks = Readonly<Record<Exclude<keyof typeof PATHS, 'admin'> | 'login', string>> & {
  /** Null where no Django serves it. */
  readonly admin: string | null
  /** Django's own home page, beside ours; null without one. */
  readonly djangoHome: string | null
}

/** LocalLibrary's paths, from the MDN tutorial's urls.py. */
const PATHS = {
  home: '/catalog/',
  books: '/catalog/books/',
  authors: '/catalog/authors/',
  myBorrowed: '/catalog/mybooks/',
  allBorrowed: '/catalog/borrowed/',
  admin: '/admin/',
  logout: '/accounts/logout/',
} as const

export interface LayoutsOptions {
  /** Whether this service serves the page. Called once for each link, when the first page is shown. */
  readonly isServed: (method: string, path: string) => boolean
  /** The prefix of links to pages that Django serves; '' for the same origin. */
  readonly djangoBaseUrl: string
  /** LOGIN_URL. */
  readonly loginUrl: string
  /** Whether a Django serves what this service does not. Default: true. */
  readonly hasDjango?: boolean
  /** The path of Django's own home page. Default: null. */
  readonly djangoHome?: string | null
}

export interface Layouts {
  /** The layout without session and database, for error pages. */
  bare(ctx: Context): Layout
  /**
   * The layout for this visitor. Without a session it costs no statement and sets no cookie. A logged-in user costs one
   * statement, with the permissions. A page must change the session only after this, because a login that is no
   * longer valid flushes the session.
   */
  forVisitor(ctx: Context): Promise<Layout>
  /** The layout for a user that is known, or for an anonymous visitor. Messages are left for the next page. */
  forUser(ctx: Context, user: User | null): Promise<Layout>
}

/** Creates the layouts of one site. */
export function createLayouts(options: LayoutsOptions): Layouts {
  let shared: Pick<Layout, 'links' | 'sessionsPage'> | null = null

  function bare(ctx: Context): Layout {
    shared ??= {
      links: siteLinks(options),
      sessionsPage: options.isServed('GET', SESSIONS_PAGE_PATH) ? SESSIONS_PAGE_PATH : null,
    }
    return { ...shared, user: undefined, next: nextOf(ctx) ?? shared.links.home, messages: [] }
  }

  async function forUser(ctx: Context, user: User | null): Promise<Layout> {
    return { ...bare(ctx), user: user === null ? null : await layoutUser(user, ctx) }
  }

  return {
    bare,
    forUser,
    async forVisitor(ctx) {
      const user = await ctx.user({ prefetchPermissions: true })
      const messages = await ctx.messages.take()
      return { ...(await forUser(ctx, user.isAuthenticated ? user : null)), messages }
    },
  }
}

async function layoutUser(user: User, ctx: Context): Promise<LayoutUser> {
  return {
    name: user.getUsername(),
    isStaff: user.isActive && user.isStaff,
    canMarkReturned: await user.hasPerm('catalog.can_mark_returned'),
    csrfToken: ctx.csrf.getToken(),
  }
}

function siteLinks({
  isServed,
  djangoBaseUrl,
  loginUrl,
  hasDjango = true,
  djangoHome = null,
}: LayoutsOptions): SiteLinks {
  const link = (path: string, method = 'GET') =>
    isServed(method, path) || !path.startsWith('/') ? path : `${djangoBaseUrl}${path}`
  return {
    home: link(PATHS.home),
    books: link(PATHS.books),
    authors: link(PATHS.authors),
    myBorrowed: link(PATHS.myBorrowed),
    allBorrowed: link(PATHS.allBorrowed),
    admin: hasDjango ? link(PATHS.admin) : null,
    djangoHome,
    logout: link(PATHS.logout, 'POST'),
    login: link(loginUrl),
  }
}

/**
 * The path of this page, as the tutorial's `?next={{ request.path }}`; null for a POST.
 * Unlike the tutorial: there, a visitor who logs in again from the logout page is redirected to a 405.
 */
function nextOf(ctx: Context): string | null {
  return ['GET', 'HEAD'].includes(ctx.method) ? encodeNext(sentPath(ctx)) : null
}

/** Redirects to the login page, which leads back to `next`. */
export function redirectToLogin(ctx: Context, { links }: Pick<Layout, 'links'>, next: string): void {
  ctx.redirect(`${links.login}?next=${encodeNext(next)}`)
  ctx.body = ''
}

/** Encodes a URL for a query string; slashes stay readable. */
export function encodeNext(url: string): string {
  return encodeURIComponent(url).replaceAll('%2F', '/')
}

import { newSessionKey } from '../../django/session-key.ts'
import type { Project } from '../open-project.ts'
import { type Evidence, perRun } from './check.ts'
import { createCookieJar, parseSetCookie, type ReceivedCookie } from './cookie-jar.ts'
import {
  hostsOf,
  isKey,
  looksLikeDjango,
  pagesOf,
  schemeOf,
  sessionCookieIn,
  type Visit,
  visit,
} from './django-pages.ts'
import {
  openOurSessions,
  problemOf,
  readSession,
  removeSessions,
  type SessionReading,
} from './our-sessions.ts'
import {
  createPageClient,
  isNoAnswer,
  noAnswer,
  type Page,
  type PageClient,
  type Problem,
} from './page-client.ts'

/** What requests through DJANGO_UPSTREAM show. */
export interface UpstreamReading {
  /** For people. */
  readonly address: string
  /** Why no page was answered; null if one was. */
  readonly failure: Problem | null
  /** Whether this service, or another process of it, answers there. */
  readonly isOurselves: boolean
  /** The host that was asked for, and the hosts that Django refuses. */
  readonly host: string
  readonly refusedHosts: readonly string[]
  readonly scheme: 'http' | 'https'
  /** One visitor's visits to several pages. */
  readonly visits: readonly Visit[]
  readonly isDjango: boolean
  /** The session that Django made for this visitor. */
  readonly session: MadeSession | null
  /** How Django deletes the cookie of a session that it does not know; null if no page does. */
  readonly deletion: ReceivedCookie | null
  /** Milliseconds of the slowest answer, and of the slowest connecting. */
  readonly slowest: number
  readonly connecting: number
  /** Whether the server would keep a connection for further requests. */
  readonly keepsConnections: boolean
}

export interface MadeSession {
  readonly cookie: ReceivedCookie
  readonly reading: SessionReading
  /** What is wrong if it cannot be read here; null if it can. */
  readonly problem: Problem | null
}

/** The longest answer that is waited for, in seconds. */
export const LONGEST_ANSWER = 10

const NOTHING = {
  failure: null,
  isOurselves: false,
  refusedHosts: [],
  visits: [],
  isDjango: false,
  session: null,
  deletion: null,
  slowest: 0,
  connecting: 0,
  keepsConnections: false,
} as const

/** Visits Django through DJANGO_UPSTREAM, once for each run; null without DJANGO_UPSTREAM. */
export const readUpstream: (evidence: Evidence) => Promise<UpstreamReading | null> = perRun(
  async ({ project, signal }) => {
    const { upstream } = project.settings
    if (upstream === null) return null
    const timeout = Math.min(upstream.timeout, LONGEST_ANSWER) * 1000
    const client = createPageClient({ url: upstream.url, ca: upstream.ca, timeout })
    return visitUpstream(client, project, signal)
  },
)

async function visitUpstream(
  client: PageClient,
  project: Project,
  signal: AbortSignal | null,
): Promise<UpstreamReading> {
  const { settings } = project
  const scheme = schemeOf(settings)
  const hosts = hostsOf(settings)
  const [host = ''] = hosts
  const reading = { ...NOTHING, address: client.url, host, scheme }
  try {
    const health = await askHealth(client, host)
    const keepsConnections = !/\bclose\b/i.test(String(health.headers.connection ?? ''))
    if (isOurHealth(health)) return { ...reading, isOurselves: true, keepsConnections }
    const { refused, accepted } = await tryHosts(client, hosts, scheme)
    if (accepted === null) return { ...reading, refusedHosts: refused }
    return {
      ...reading,
      ...(await visitAs(client, { project, host: accepted, scheme, signal })),
      host: accepted,
      refusedHosts: refused,
      keepsConnections,
    }
  } catch (error) {
    if (!isNoAnswer(error)) throw error
    return { ...reading, failure: noAnswer(error, { url: client.url, setting: 'DJANGO_UPSTREAM' }) }
  }
}

/** Asks for the page that this service answers whatever the host; Django answers 404, or 400. */
export function askHealth(client: PageClient, host: string): Promise<Page> {
  return client.get('/health/live', { host, connection: 'keep-alive' })
}

/** Whether it is this service's answer. */
export function isOurHealth({ status, headers, body }: Page): boolean {
  return status === 200 && 'x-request-id' in headers && body === '{"status":"live"}'
}

async function tryHosts(
  client: PageClient,
  hosts: readonly string[],
  scheme: 'http' | 'https',
): Promise<{ refused: string[]; accepted: string | null }> {
  const refused: string[] = []
  let accepted: string | null = null
  for (const host of hosts) {
    const { page } = await visit(client, '/admin/login/', { host, scheme, jar: createCookieJar() })
    if (page.status === 400) refused.push(host)
    else accepted ??= host
  }
  return { refused, accepted }
}

/** Visits the pages as one visitor, and looks at the session that Django makes; removes that session. */
async function visitAs(
  client: PageClient,
  {
    project,
    host,
    scheme,
    signal,
  }: { project: Project; host: string; scheme: 'http' | 'https'; signal: AbortSignal | null },
): Promise<
  Pick<UpstreamReading, 'failure' | 'visits' | 'isDjango' | 'session' | 'deletion' | 'slowest' | 'connecting'>
> {
  const { settings } = project
  const made = new Map<string, string>()
  const sessions = openOurSessions(project)
  try {
    const visits: Visit[] = []
    const jar = createCookieJar()
    for (const path of pagesOf(settings)) {
      signal?.throwIfAborted()
      const one = await visit(client, path, { host, scheme, jar })
      visits.push(one)
      for (const { name, value } of one.cookies) if (isKey(value)) made.set(value, name)
    }
    const pages = visits.map(({ page }) => page)
    const found = {
      failure: pages.every(({ status }) => status >= 500) ? allFailed(pages, client.url) : null,
      visits,
      isDjango: looksLikeDjango(visits),
      slowest: Math.max(...pages.map(({ answering }) => answering)),
      connecting: Math.max(...pages.map(({ connecting }) => connecting)),
    }
    const cookie = sessionCookieIn(
      visits.flatMap(({ cookies }) => cookies),
      settings,
    )
    if (cookie === null)
      return {
        ...found,
        session: null,
        deletion: await deletionOf(client, { visits, project, host, scheme }),
      }
    const reading = await readSession(project, sessions.engine, cookie)
    const problem = await problemOf(reading, project)
    return { ...found, session: { cookie, reading, problem }, deletion: null }
  } finally {
    await removeSessions(project, sessions.engine, made)
    await sessions.close()
  }
}

function allFailed([page]: readonly Page[], url: string): Problem {
  const status = page?.status ?? 0
  if (status < 502 || status > 504) {
    return {
      read: `${url} answers ${status} on every page`,
      hint: 'see the log of Django, and correct the error',
    }
  }
  return {
    read: `${url} answers ${status} on every page, so it is a proxy without a server behind it`,
    hint: 'start Django, or set DJANGO_UPSTREAM to the address of Django itself',
  }
}

/**
 * Sends a session key that no site has: Django makes the browser delete such a cookie on a page that uses the session, and
 * makes nothing. Source: django/contrib/sessions/middleware.py, process_response.
 */
export async function deletionOf(
  client: PageClient,
  {
    visits,
    project,
    host,
    scheme,
  }: { visits: readonly Visit[]; project: Project; host: string; scheme: 'http' | 'https' },
): Promise<ReceivedCookie | null> {
  const { name } = project.settings.session.cookie
  for (const { path, page } of visits) {
    if (!usesSession(page)) continue
    const jar = createCookieJar()
    const unknown = parseSetCookie(`${name}=${newSessionKey()}`)
    if (unknown !== null) jar.store([unknown])
    const { cookies } = await visit(client, path, { host, scheme, jar })
    const deletion = cookies.find((cookie) => cookie.name === name && cookie.isDeletion)
    if (deletion !== undefined) return deletion
  }
  return null
}

/** Whether the page depends on a cookie. */
export function usesSession({ headers, status }: Page): boolean {
  return status < 400 && /\bcookie\b/i.test(String(headers.vary ?? ''))
}

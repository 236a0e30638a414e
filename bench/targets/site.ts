import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { readAssets } from '../../src/service/pages/assets.ts'
import type { LayoutUser } from '../../src/service/pages/layout.ts'
import { createTemplates } from '../../src/service/pages/templates.ts'
import { testLayout } from '../../test/support/layout.ts'

/** Set by the benchmark for each target. */
export const databaseUrl: string = process.env.DATABASE_URL ?? ''
export const secretKey: string = process.env.SECRET_KEY ?? ''
/** Empty where the scenario has no Redis. */
export const redisUrl: string = process.env.REDIS_URL ?? ''

/** Connections to the database: as many as the service has. */
export const POOL_SIZE = 10

/** The counts of the home page, one statement each, as in LocalLibrary. */
export const COUNTS = {
  books: 'SELECT COUNT(*) AS total FROM catalog_book',
  copies: 'SELECT COUNT(*) AS total FROM catalog_bookinstance',
  copiesAvailable: "SELECT COUNT(*) AS total FROM catalog_bookinstance WHERE status = 'a'",
  authors: 'SELECT COUNT(*) AS total FROM catalog_author',
} as const

export type Counts = Record<keyof typeof COUNTS, number>

/** Runs the four statements at the same time; `ask` returns the number of one. */
export async function countAll(ask: (statement: string) => Promise<number>): Promise<Counts> {
  const [books, copies, copiesAvailable, authors] = await Promise.all([
    ask(COUNTS.books),
    ask(COUNTS.copies),
    ask(COUNTS.copiesAvailable),
    ask(COUNTS.authors),
  ])
  return { books, copies, copiesAvailable, authors }
}

/** What the page of a logged-in visitor shows besides. */
export interface VisitorOfPage {
  readonly user: LayoutUser | null
  readonly messages: readonly string[]
}

/** The page of the service, with its templates, so that all targets render the same. */
export function createPage(): (counts: Counts, numVisits: number, visitor?: VisitorOfPage) => string {
  const assets = readAssets()
  const templates = createTemplates({ stylesUrl: assets.styles.url, iconUrl: assets.icon.url, version: '' })
  return (counts, numVisits, { user, messages } = { user: null, messages: [] }) => {
    const shown = messages.map((text) => ({
      text,
      tags: 'success',
      levelTag: 'success',
      level: 25,
      extraTags: '',
      isSafe: false,
    }))
    return templates.render('index.html', {
      counts,
      numVisits,
      layout: { ...testLayout, user, messages: shown },
    })
  }
}

/** Serves on a free port and prints it. */
export function serve(listener: RequestListener): void {
  const server = createServer(listener).listen(0, '127.0.0.1', () => announce(server.address()))
}

export function announce(address: AddressInfo | string | null): void {
  console.log(typeof address === 'object' ? address?.port : address)
}

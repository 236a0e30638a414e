import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { readAssets } from '../../src/service/pages/assets.ts'
import { createTemplates } from '../../src/service/pages/templates.ts'

/** What each target is told by the benchmark that starts it. */
export const databaseUrl: string = process.env.DATABASE_URL ?? ''
export const secretKey: string = process.env.SECRET_KEY ?? ''

/** Connections to the database: as many as ours has. */
export const POOL_SIZE = 10

/** The numbers of the home page, each asked for by a statement of its own, as LocalLibrary does. */
export const COUNTS = {
  books: 'SELECT COUNT(*) AS total FROM catalog_book',
  copies: 'SELECT COUNT(*) AS total FROM catalog_bookinstance',
  copiesAvailable: "SELECT COUNT(*) AS total FROM catalog_bookinstance WHERE status = 'a'",
  authors: 'SELECT COUNT(*) AS total FROM catalog_author',
} as const

export type Counts = Record<keyof typeof COUNTS, number>

/** Asks for the four at once; `ask` gives one statement's number. */
export async function countAll(ask: (statement: string) => Promise<number>): Promise<Counts> {
  const [books, copies, copiesAvailable, authors] = await Promise.all([
    ask(COUNTS.books),
    ask(COUNTS.copies),
    ask(COUNTS.copiesAvailable),
    ask(COUNTS.authors),
  ])
  return { books, copies, copiesAvailable, authors }
}

/** The page that our service shows, by its own templates: nobody has more to render than anybody else. */
export function createPage(): (counts: Counts, numVisits: number) => string {
  const assets = readAssets()
  const templates = createTemplates({ stylesUrl: assets.styles.url, iconUrl: assets.icon.url, version: '' })
  return (counts, numVisits) => templates.render('index.html', { counts, numVisits, layout: LAYOUT })
}

/** What the templates want beside the numbers (src/service/pages/layout.ts): nobody is logged in. */
const LAYOUT = {
  links: {
    home: '/catalog/',
    books: '/catalog/books/',
    authors: '/catalog/authors/',
    myBorrowed: '/catalog/mybooks/',
    allBorrowed: '/catalog/borrowed/',
    admin: '/admin/',
    login: '/accounts/login/',
    logout: '/accounts/logout/',
  },
  user: null,
  next: '/catalog/',
  messages: [],
}

/** Serves on a free port and prints it. */
export function serve(listener: RequestListener): void {
  const server = createServer(listener).listen(0, '127.0.0.1', () => announce(server.address()))
}

export function announce(address: AddressInfo | string | null): void {
  console.log(typeof address === 'object' ? address?.port : address)
}

import type { Context, Middleware } from 'koa'
import { readQuery } from '../../adapters/koa/form.ts'
import { type Layout, redirectToLogin } from './layout.ts'
import {
  type AuthorName,
  type AuthorRow,
  type LibraryRows,
  MOST_ROWS,
  type Slice,
  type UserKey,
} from './library-rows.ts'
import type { Templates } from './templates.ts'

/** The pages of LocalLibrary beside its home page, which the embedded demo serves. */
export interface LibraryPages {
  readonly books: Middleware
  readonly book: Middleware
  readonly authors: Middleware
  readonly author: Middleware
  readonly myBorrowed: Middleware
  readonly allBorrowed: Middleware
}

export interface LibraryPagesOptions {
  readonly rows: LibraryRows
  readonly templates: Templates
  readonly layout: (ctx: Context) => Promise<Layout>
  readonly now?: () => Date
}

/** Source: the MDN tutorial's catalog/views.py and catalog/templates/. */
export function createLibraryPages({
  rows,
  templates,
  layout: layoutOf,
  now = () => new Date(),
}: LibraryPagesOptions): LibraryPages {
  /** Renders a page of a list; 404 if there is no such page. */
  async function showList<R>(
    ctx: Context,
    { template, count, find, values }: ListOptions<R>,
    layout: Layout,
  ): Promise<void> {
    const total = await count()
    const pages = Math.max(1, Math.ceil(total / PER_PAGE))
    const number = pageNumber(readQuery(ctx).get('page'), pages)
    if (number === null) return notFound(ctx)
    const found = await find({ limit: PER_PAGE, offset: (number - 1) * PER_PAGE })
    const page = { number, pages, total, path: ctx.path }
    ctx.type = 'html'
    ctx.body = templates.render(template, { ...values(found), page, layout })
  }

  async function showLoans(ctx: Context, borrower: UserKey | null, layout: Layout): Promise<void> {
    const today = now().toISOString().slice(0, 10)
    await showList(
      ctx,
      {
        template: 'borrowed_list.html',
        count: () => rows.countLoans(borrower),
        find: (slice) => rows.loans(borrower, slice),
        values: (loans) => ({
          isOwn: borrower !== null,
          loans: loans.map((loan) => ({
            ...loan,
            url: bookUrl(loan.bookId),
            dueBack: shownDate(loan.dueBack),
            isOverdue: loan.dueBack !== null && loan.dueBack < today,
          })),
        }),
      },
      layout,
    )
  }

  return {
    async books(ctx) {
      const values = (books: Awaited<ReturnType<LibraryRows['books']>>) => ({
        books: books.map(({ id, title, author }) => ({
          title,
          url: bookUrl(id),
          author: shownAuthor(author),
        })),
      })
      const list = { template: 'book_list.html', count: rows.countBooks, find: rows.books, values } as const
      await showList(ctx, list, await layoutOf(ctx))
    },

    async book(ctx) {
      const id = keyIn(ctx)
      const layout = await layoutOf(ctx)
      const book = id === null ? null : await rows.book(id)
      if (book === null) return notFound(ctx)
      const copies = book.copies.map((copy) => ({
        ...copy,
        dueBack: shownDate(copy.dueBack),
        status: LOAN_STATUS[copy.status] ?? UNKNOWN_STATUS,
      }))
      ctx.type = 'html'
      ctx.body = templates.render('book_detail.html', {
        book: { ...book, author: shownAuthor(book.author), genres: book.genres.join(', '), copies },
        mostRows: MOST_ROWS,
        layout,
      })
    },

    async authors(ctx) {
      const values = (authors: readonly AuthorRow[]) => ({
        authors: authors.map((author) => ({ ...shownAuthor(author), ...lifeOf(author) })),
      })
      const list = {
        template: 'author_list.html',
        count: rows.countAuthors,
        find: rows.authors,
        values,
      } as const
      await showList(ctx, list, await layoutOf(ctx))
    },

    async author(ctx) {
      const id = keyIn(ctx)
      const layout = await layoutOf(ctx)
      const author = id === null ? null : await rows.author(id)
      if (author === null) return notFound(ctx)
      const books = author.books.map((book) => ({ ...book, url: bookUrl(book.id) }))
      ctx.type = 'html'
      ctx.body = templates.render('author_detail.html', {
        author: { ...shownAuthor(author), ...lifeOf(author), books },
        mostRows: MOST_ROWS,
        layout,
      })
    },

    /** Source: django/contrib/auth/mixins.py, LoginRequiredMixin and AccessMixin.handle_no_permission. */
    async myBorrowed(ctx) {
      const layout = await layoutOf(ctx)
      const user = await ctx.user()
      if (!user.isAuthenticated) return redirectToLogin(ctx, layout, ctx.url)
      await showLoans(ctx, user.pk, layout)
    },

    /** Source: PermissionRequiredMixin, which answers 403 to a user without the permission. */
    async allBorrowed(ctx) {
      const layout = await layoutOf(ctx)
      const user = await ctx.user()
      if (!user.isAuthenticated) return redirectToLogin(ctx, layout, ctx.url)
      if (layout.user?.canMarkReturned) return showLoans(ctx, null, layout)
      ctx.status = 403
    },
  }
}

interface ListOptions<R> {
  readonly template: 'book_list.html' | 'author_list.html' | 'borrowed_list.html'
  readonly count: () => Promise<number>
  readonly find: (slice: Slice) => Promise<readonly R[]>
  /** The values of the template. */
  readonly values: (rows: readonly R[]) => Record<string, unknown>
}

/** The tutorial's `paginate_by`. */
const PER_PAGE = 10

/**
 * The number of the page that `?page=` means; null for 404.
 * Source: django/views/generic/list.py, MultipleObjectMixin.paginate_queryset; django/core/paginator.py.
 */
function pageNumber(text: string | undefined, pages: number): number | null {
  if (text === undefined || text === '') return 1
  if (text === 'last') return pages
  const number = /^\s*\d+\s*$/.test(text) ? Number(text) : 0
  return number >= 1 && number <= pages ? number : null
}

/** The key in the path, as Django's `<int:pk>` accepts it; null if there cannot be such a row. */
function keyIn(ctx: Context): number | null {
  const text = String(ctx.params.pk)
  return /^\d+$/.test(text) && Number.isSafeInteger(Number(text)) ? Number(text) : null
}

function notFound(ctx: Context): void {
  ctx.status = 404
}

/** LocalLibrary's BookInstance.LOAN_STATUS. */
const LOAN_STATUS: Readonly<Record<string, LoanStatus>> = {
  m: { name: 'Maintenance', className: 'maintenance', isAvailable: false },
  o: { name: 'On loan', className: 'on-loan', isAvailable: false },
  a: { name: 'Available', className: 'available', isAvailable: true },
  r: { name: 'Reserved', className: 'reserved', isAvailable: false },
}

const UNKNOWN_STATUS: LoanStatus = { name: 'Unknown', className: 'maintenance', isAvailable: false }

interface LoanStatus {
  readonly name: string
  readonly className: string
  readonly isAvailable: boolean
}

/** The tutorial's `get_absolute_url`. */
function bookUrl(id: number): string {
  return `/catalog/book/${id}`
}

/** The tutorial's `Author.__str__` and `get_absolute_url`. */
function shownAuthor(author: AuthorName): ShownAuthor
function shownAuthor(author: AuthorName | null): ShownAuthor | null
function shownAuthor(author: AuthorName | null): ShownAuthor | null {
  return author && { name: `${author.lastName}, ${author.firstName}`, url: `/catalog/author/${author.id}` }
}

interface ShownAuthor {
  readonly name: string
  readonly url: string
}

function lifeOf({ dateOfBirth, dateOfDeath }: AuthorRow): Record<'birth' | 'death', ShownDate | null> {
  return { birth: shownDate(dateOfBirth), death: shownDate(dateOfDeath) }
}

interface ShownDate {
  /** For `<time datetime>`. */
  readonly iso: string
  readonly text: string
}

/** As Django's format 'N j, Y' shows a date. Source: django/conf/locale/en/formats.py; django/utils/dates.py, MONTHS_AP. */
function shownDate(iso: string | null): ShownDate | null {
  const [, year = '', month = '', day = ''] = /^(\d{4})-(\d\d)-(\d\d)/.exec(iso ?? '') ?? []
  if (year === '') return null
  return {
    iso: `${year}-${month}-${day}`,
    text: `${MONTHS[Number(month) - 1]} ${Number(day)}, ${Number(year)}`,
  }
}

const MONTHS = [
  ...['Jan.', 'Feb.', 'March', 'April', 'May', 'June'],
  ...['July', 'Aug.', 'Sept.', 'Oct.', 'Nov.', 'Dec.'],
] as const

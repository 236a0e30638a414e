import { type Exchange, Redirect } from './sites.ts'

/** The pages that examples/README.md lists, for a handler of any framework. */
export async function servePage(exchange: Exchange): Promise<unknown> {
  const page = PAGES[exchange.page]
  if (page === undefined) throw notFound()
  return page(exchange)
}

const notFound = () => Object.assign(new Error('no such page'), { status: 404, statusCode: 404 })

/** Counts this visit, as LocalLibrary's home page does. */
async function visit({ session }: Exchange['django']): Promise<number> {
  const loaded = await session.load<{ num_visits: number }>()
  return loaded.compute('num_visits', (visits) => Number(visits ?? 0) + 1)
}

const PAGES: Readonly<Record<string, (exchange: Exchange) => unknown>> = {
  async 'GET /visit'({ django }) {
    const user = await django.user()
    return { visits: await visit(django), user: user.isAuthenticated ? user.getUsername() : null }
  },

  'GET /token': ({ django }) => django.csrf.getToken(),

  async 'POST /login'({ django, setStatus }) {
    await django.csrf.check()
    const fields = await django.form()
    const user = await django.authenticate({
      username: fields.get('username') ?? '',
      password: fields.get('password') ?? '',
    })
    if (user === null) return setStatus(400)
    await django.login(user)
    return new Redirect(303, '/visit')
  },

  async 'POST /notes'({ django }) {
    await django.csrf.check()
    django.messages.success((await django.form()).get('text') ?? '')
    return new Redirect(303, '/notes')
  },

  'GET /notes': async ({ django }) => (await django.messages.take()).map(({ text }) => text),

  async 'GET /missing'({ django }) {
    await visit(django)
    throw notFound()
  },

  async 'GET /redirect'({ django }) {
    await visit(django)
    return new Redirect(307, '/visit')
  },

  async 'GET /fail'({ django }) {
    await visit(django)
    throw new Error('a bug')
  },

  async 'GET /stream'({ django }) {
    const lines = new TextEncoder().encode(`visit ${await visit(django)}\n`.repeat(1000))
    return new ReadableStream({ pull: (stream) => stream.enqueue(lines) })
  },

  async 'GET /page'({ django }) {
    const session = await django.session.load<{ num_visits: number }>()
    const user = await django.user()
    const name = user.isAuthenticated ? user.getUsername() : 'nobody'
    return `${name} was here ${Number(session.get('num_visits') ?? 0)} times`
  },
}

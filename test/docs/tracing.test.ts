import { symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { traces } from '../../src/session/tracing.ts'
import { createTestDatabase, testDatabases } from '../support/databases.ts'
import { projectFolder } from '../support/places.ts'
import { startService, temporaryFolder } from '../support/service.ts'
import { until } from '../support/until.ts'
import { blocksOf, readPage } from './pages.ts'

const page = readPage('docs/tracing.md')

test('the page names each channel', (t) => {
  const named = [...page.text.matchAll(/^\| `koa-django-sessions:(\w+)` \|/gm)].map(([, name]) => name)
  t.deepEqual(named, Object.keys(traces))
})

/**
 * OpenTelemetry's SDK, which prints each span that ends, and a span for each request, made as its HTTP instrumentation
 * makes it.
 */
const SDK = `
import { Server } from 'node:http'
import { context, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace'

function print(span) {
  const { name, attributes, status, parentSpanContext } = span
  const ids = { id: span.spanContext().spanId, parent: parentSpanContext?.spanId ?? null }
  console.log(JSON.stringify({ event: 'span', name, attributes, status, ...ids }))
}
const exporter = {
  export(spans, done) {
    spans.forEach(print)
    done({ code: 0 })
  },
  shutdown: async () => {},
}
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
trace.setGlobalTracerProvider(new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] }))

const tracer = trace.getTracer('requests')
const { emit } = Server.prototype
Server.prototype.emit = function (event, ...args) {
  if (event !== 'request') return emit.call(this, event, ...args)
  const [request, response] = args
  const span = tracer.startSpan('request', { attributes: { visitor: request.headers['x-visitor'] } })
  response.once('close', () => span.end())
  return context.with(trace.setSpan(context.active(), span), () => emit.call(this, event, ...args))
}
`

interface PrintedSpan {
  readonly name: string
  readonly attributes: Readonly<Record<string, unknown>>
  readonly status: { readonly code: number }
  readonly id: string
  readonly parent: string | null
}

/** A service that loads the recipe of the page, with the spans that it has ended. */
async function startTraced(t: ExecutionContext, databaseUrl: string) {
  const folder = temporaryFolder(t)
  symlinkSync(join(projectFolder, 'node_modules'), join(folder, 'node_modules'))
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  writeFileSync(join(folder, 'sdk.ts'), SDK)
  const recipe = blocksOf(page).find(({ language }) => language === 'ts')
  writeFileSync(join(folder, 'tracing.ts'), recipe?.text ?? '')
  const [options] = /(?<=NODE_OPTIONS=')[^']+/.exec(page.text) ?? []
  const { url, log } = await startService(t, {
    cwd: folder,
    env: {
      NODE_OPTIONS: options ?? '',
      DATABASE_URL: databaseUrl,
      DJANGO_SECRET_KEY: 'a key of the tests, which is long enough',
      DJANGO_VERSION: '5.2',
      USE_TZ: 'true',
      TIME_ZONE: 'UTC',
    },
  })
  const spans = () => log().filter(({ event }) => event === 'span') as unknown as PrintedSpan[]
  /** A visit, and the Cookie header for the next one. */
  async function visit(visitor: string, Cookie = ''): Promise<string> {
    const response = await fetch(`${url}/catalog/`, { headers: { Cookie, 'X-Visitor': visitor } })
    await response.text()
    return response.headers.getSetCookie()[0]?.split(';')[0] ?? Cookie
  }
  return { spans, visit }
}

const named = (spans: readonly PrintedSpan[], name: string) =>
  spans.filter((span) => span.name === `django session ${name}`)

for (const database of testDatabases) {
  test(`the file for OpenTelemetry makes a span of each trace of the service, on ${database}`, async (t) => {
    const { url: databaseUrl } = await createTestDatabase(t, database, { tables: 'library' })
    const { spans, visit } = await startTraced(t, databaseUrl)
    const sent = await visit('ann')
    await visit('ann', sent)
    const requests = () => spans().filter(({ name }) => name === 'request')
    const ours = () => spans().filter(({ name }) => name !== 'request')
    await until('both requests ended', () => requests().length === 2 && named(ours(), 'save').length === 2)
    const attributesOf = (name: string) => named(ours(), name).map(({ attributes }) => attributes)
    const keyHash = attributesOf('load')[0]?.['django.session.key_hash']
    t.regex(String(keyHash), /^[0-9a-f]{12}$/)
    const ofSession = { 'django.session.key_hash': keyHash }
    t.deepEqual(attributesOf('save'), [
      { 'django.session.operation': 'create', 'django.session.result': 'saved' },
      { ...ofSession, 'django.session.operation': 'update', 'django.session.result': 'saved' },
    ])
    t.deepEqual(attributesOf('load'), [{ ...ofSession, 'django.session.result': 'found' }])
    t.is(named(ours(), 'decode').length, 1)
    t.true(ours().every(({ status }) => status.code === 0))
    t.false(JSON.stringify(spans()).includes(sent.split('=')[1] ?? ''))
    const [first, second] = requests()
    t.deepEqual(
      ['save', 'load', 'decode'].map((name) => named(ours(), name).map(({ parent }) => parent)),
      [[first?.id, second?.id], [second?.id], [second?.id]],
    )
  })

  test(`each span is below the request that it belongs to, also of requests at the same time, on ${database}`, async (t) => {
    const { url: databaseUrl } = await createTestDatabase(t, database, { tables: 'library' })
    const { spans, visit } = await startTraced(t, databaseUrl)
    const visitors = Array.from({ length: 8 }, (_, at) => `visitor ${at}`)
    const cookies = await Promise.all(visitors.map((visitor) => visit(visitor)))
    // Two of each, so that one waits for the other.
    const again = [...visitors.entries(), ...visitors.entries()]
    await Promise.all(again.map(([at, visitor]) => visit(visitor, cookies[at])))
    const isRequest = ({ name }: PrintedSpan) => name === 'request'
    await until('all requests ended', () => spans().filter(isRequest).length === 24)

    const all = spans()
    const [requests, ours] = [all.filter(isRequest), all.filter((span) => !isRequest(span))]
    const byId = new Map(all.map((span) => [span.id, span]))
    const requestOf = (span: PrintedSpan): PrintedSpan =>
      span.parent === null ? span : requestOf(byId.get(span.parent) ?? span)
    t.true(ours.every((span) => isRequest(requestOf(span))))
    const perRequest = (name: string) =>
      requests.map((request) => named(ours, name).filter((span) => requestOf(span) === request).length)
    t.deepEqual(new Set(perRequest('save')), new Set([1]))
    t.is(named(ours, 'save').length, 24)
    // Conflicts load, too.
    t.true(named(ours, 'load').length >= 16)
    t.is(perRequest('load').filter((count) => count > 0).length, 16)
    const visitorsOf = Map.groupBy(
      ours.filter(({ attributes }) => attributes['django.session.key_hash'] !== undefined),
      ({ attributes }) => attributes['django.session.key_hash'],
    )
    t.is(visitorsOf.size, 8)
    for (const ofSession of visitorsOf.values())
      t.is(new Set(ofSession.map((span) => requestOf(span).attributes.visitor)).size, 1)
  })
}

import { symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
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

/** An SDK that prints its spans. */
const SDK = `
import { trace } from '@opentelemetry/api'
const startSpan = (name) => {
  const attributes = {}
  let status = null
  return {
    setAttribute: (key, value) => { attributes[key] = value },
    setStatus: (given) => { status = given },
    end: () => console.log(JSON.stringify({ event: 'span', name, attributes, status })),
  }
}
trace.setGlobalTracerProvider({ getTracer: () => ({ startSpan }) })
`

for (const database of testDatabases) {
  test(`the file for OpenTelemetry makes a span of each trace of the service, on ${database}`, async (t) => {
    const folder = temporaryFolder(t)
    symlinkSync(join(projectFolder, 'node_modules'), join(folder, 'node_modules'))
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
    writeFileSync(join(folder, 'sdk.ts'), SDK)
    const recipe = blocksOf(page).find(({ language }) => language === 'ts')
    writeFileSync(join(folder, 'tracing.ts'), recipe?.text ?? '')
    const [options] = /(?<=NODE_OPTIONS=')[^']+/.exec(page.text) ?? []
    const { url: databaseUrl } = await createTestDatabase(t, database, { tables: 'library' })
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
    const [cookie] = (await fetch(`${url}/catalog/`)).headers.getSetCookie()
    const [sent = ''] = cookie?.split(';') ?? []
    await fetch(`${url}/catalog/`, { headers: { Cookie: sent } })
    const spans = () => log().filter(({ event }) => event === 'span')
    const saves = () => spans().filter(({ name }) => name === 'django session save')
    await until('the second visit is saved', () => saves().length >= 2)
    const [keyHash] = spans().flatMap(({ name, attributes }) =>
      name === 'django session load'
        ? [(attributes as Record<string, unknown>)['django.session.key_hash']]
        : [],
    )
    t.regex(String(keyHash), /^[0-9a-f]{12}$/)
    const ofSession = { 'django.session.key_hash': keyHash }
    const named = (name: string) => spans().flatMap((span) => (span.name === name ? [span.attributes] : []))
    t.deepEqual(named('django session save'), [
      { 'django.session.operation': 'create', 'django.session.result': 'saved' },
      { ...ofSession, 'django.session.operation': 'update', 'django.session.result': 'saved' },
    ])
    t.deepEqual(named('django session load'), [{ ...ofSession, 'django.session.result': 'found' }])
    t.is(named('django session decode').length, 1)
    t.true(spans().every(({ status }) => status === null))
    t.false(JSON.stringify(spans()).includes(sent.split('=')[1] ?? ''))
  })
}

import test from 'ava'
import { createTestDatabase, runSql, testDatabases } from '../support/databases.ts'
import { djangoShell, djangoVersions, startDjango } from '../support/django.ts'
import { secretKey, startKoa, takeTurn } from './sites.ts'
import { createVisitor } from './visitor.ts'

const databases = new Set([testDatabases[0] ?? 'sqlite', 'sqlite'] as const)

for (const version of djangoVersions) {
  for (const database of databases) {
    test(`a session that Django ${version} deletes during our request stays deleted, on ${database}`, async (t) => {
      await takeTurn(t)
      const { url: databaseUrl } = await createTestDatabase(t, database, { tables: 'library' })
      const django = (await startDjango(t, { version, secretKey, databaseUrl })).url
      const visitor = createVisitor()
      const other = createVisitor() // the same browser's other tab
      let during = async () => {}
      const ours = await startKoa(t, { databaseUrl, version, during: () => during() })
      t.is(await visitor.visit(django), 1)
      const sessionKey = visitor.cookie() ?? ''
      other.setCookie(sessionKey)

      during = async () => {
        const flushed = await other.fetch(`${django}/_test/session`, { method: 'DELETE' })
        t.is(flushed.status, 200)
      }
      const response = await visitor.fetch(`${ours}/`, { method: 'POST', body: '{"ours":1}' })
      t.is(response.status, 400)
      t.is(response.headers.get('Set-Cookie'), null)
      t.deepEqual(await runSql(databaseUrl, 'SELECT * FROM django_session'), [])
      t.is(other.cookie(), undefined)

      // Neither side adopts the deleted key.
      during = async () => {}
      t.is((await visitor.fetch(`${ours}/`, { method: 'POST', body: '{"ours":2}' })).status, 200)
      t.not(visitor.cookie(), sessionKey)
      const session = await visitor.fetch(`${django}/_test/session`)
      t.is(await session.text(), '{"ours":2}')
    })

    test(`a session that ours deletes during a request of Django ${version} stays deleted, on ${database}`, async (t) => {
      await takeTurn(t)
      const { url: databaseUrl } = await createTestDatabase(t, database, { tables: 'library' })
      const ours = await startKoa(t, { databaseUrl, version })
      const visitor = createVisitor()
      await visitor.fetch(`${ours}/`, { method: 'POST', body: '{"ours":1}' })
      const sessionKey = visitor.cookie() ?? ''
      const env = { SECRET_KEY: secretKey, DATABASE_URL: databaseUrl }
      const input = JSON.stringify({ url: ours, sessionKey })
      const answer = JSON.parse(await djangoShell(version, { env, script: FLUSH_DURING_REQUEST, input }))
      t.deepEqual(answer, { before: { ours: 1 }, flushed: 200, status: 400, cookies: {} })
      t.deepEqual(await runSql(databaseUrl, 'SELECT * FROM django_session'), [])

      t.is(await (await visitor.fetch(`${ours}/`)).text(), '{}')
      t.is(visitor.cookie(), undefined)
      visitor.setCookie(sessionKey)
      await visitor.fetch(`${ours}/`, { method: 'POST', body: '{"ours":2}' })
      t.not(visitor.cookie(), sessionKey)
    })
  }
}

/** A request through all middleware of the site; its view loads the session and then makes ours flush it. */
const FLUSH_DURING_REQUEST = `
import json, logging, sys
from urllib.request import Request, urlopen
from django.http import HttpResponse
from django.test import Client
from django.test.utils import override_settings
from django.urls import path
logging.disable(logging.CRITICAL)
given = json.load(sys.stdin)
cookie = 'sessionid=' + given['sessionKey']
answer = {}
def view(request):
    answer['before'] = dict(request.session.items())
    answer['flushed'] = urlopen(Request(given['url'], method='DELETE', headers={'Cookie': cookie})).status
    request.session['django'] = 1
    return HttpResponse()
urlpatterns = [path('', view)]
with override_settings(ROOT_URLCONF='__main__'):
    response = Client().get('/', HTTP_COOKIE=cookie)
answer['status'] = response.status_code
answer['cookies'] = {name: morsel.OutputString() for name, morsel in response.cookies.items()}
print(json.dumps(answer))
`

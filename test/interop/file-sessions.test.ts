import { readdir, readFile, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { createSessionCodec } from '../../src/django/session-data.ts'
import { versionProfile } from '../../src/django/versions.ts'
import { createFileEngine } from '../../src/engines/file.ts'
import { rules } from '../session/conformance/engine-under-test.ts'
import { djangoShell, djangoVersions } from '../support/django.ts'
import { temporaryFolder } from '../support/service.ts'
import { secretKey, startKoa, startSites, takeTurn } from './sites.ts'
import { createVisitor } from './visitor.ts'

const engine = 'django.contrib.sessions.backends.file'
const AGE = rules.cookieAge

for (const version of djangoVersions) {
  test(`Django ${version} and ours share their session files`, async (t) => {
    await takeTurn(t)
    t.timeout(110_000)
    const path = temporaryFolder(t)
    const settings = { SESSION_ENGINE: engine, SESSION_FILE_PATH: path, SESSION_COOKIE_NAME: 'library' }
    const { django, ours, databaseUrl, service } = await startSites(t, {
      version,
      database: 'sqlite',
      settings,
    })
    const koa = await startKoa(t, {
      databaseUrl,
      version,
      engine,
      filePath: path,
      cookie: { name: 'library' },
    })

    // One visitor begun by Django, one begun by us.
    const [one, two] = [createVisitor(), createVisitor()]
    for (const [at, site] of [django, ours, django, ours, ours, django].entries())
      t.is(await one.visit(site), at + 1)
    for (const [at, site] of [ours, django, ours, django].entries()) t.is(await two.visit(site), at + 1)
    const fileOf = (visitor: typeof one) => join(path, `library${visitor.cookie('library')}`)
    const listed = async () => (await readdir(path)).map((name) => join(path, name)).toSorted()
    t.deepEqual(await listed(), [fileOf(one), fileOf(two)].toSorted())
    for (const file of await listed()) t.is((await stat(file)).mode & 0o777, 0o600)

    // Each side reads the values of the other, byte for byte.
    const body = '{"10":1.0,"2":[NaN,18446744073709551617],"홍":"길동"}'
    const set = await (await one.fetch(`${django}/_test/session`, { method: 'POST', body })).text()
    await one.fetch(`${koa}/`, { method: 'POST', body: '{"x":1}' })
    t.is(await (await one.fetch(`${django}/_test/session`)).text(), set.replace(/}$/, ',"x":1}'))

    // Logout on each side.
    const before = fileOf(one)
    await one.fetch(`${django}/_test/session`, { method: 'DELETE' })
    one.setCookie(before.slice(join(path, 'library').length), 'library')
    t.is(await one.visit(ours), 1)
    t.deepEqual(await listed(), [fileOf(one), fileOf(two)].toSorted())
    const gone = fileOf(two)
    await two.fetch(`${koa}/`, { method: 'DELETE' })
    two.setCookie(gone.slice(join(path, 'library').length), 'library')
    t.is(await two.visit(django), 1)
    t.not(fileOf(two), gone)

    // The modification time of the file decides when it has expired.
    for (const [site, other] of [
      [ours, django],
      [django, ours],
    ] as const) {
      const visitor = createVisitor()
      t.is(await visitor.visit(other), 1)
      const file = fileOf(visitor)
      await age(file, AGE - 60)
      t.is(await visitor.visit(site), 2)
      await age(file, AGE + 1)
      t.is(await visitor.visit(site), 1)
      t.not(fileOf(visitor), file)
    }
    t.deepEqual(
      service.log().filter(({ level }) => Number(level) > 30),
      [],
    )
    t.is(await service.stop(), 0)
  })

  test(`clearsessions of Django ${version} and our clearExpired leave the same files`, async (t) => {
    await takeTurn(t)
    const profile = versionProfile(version)
    const now = () => new Date()
    const codec = createSessionCodec({ secretKeys: [secretKey], profile, now })
    const byDjango = `
import json, os
from django.contrib.sessions.backends.file import SessionStore
for expiry in ${version < '4.1' ? '[None, 60]' : '[None, 60, -60, __import__("datetime").timedelta(seconds=3600)]'}:
    for age in [0, ${AGE + 60}]:
        session = SessionStore()
        session['name'] = 'django %s %s' % (expiry, age)
        if expiry is not None:
            session.set_expiry(expiry)
        session.save()
        path = session._key_to_file()
        os.utime(path, (os.stat(path).st_mtime - age,) * 2)`
    const left: string[][] = []
    for (const cleaner of ['Django', 'ours']) {
      const path = temporaryFolder(t)
      const env = { SECRET_KEY: secretKey, SESSION_ENGINE: engine, SESSION_FILE_PATH: path }
      await djangoShell(version, { env, script: byDjango })
      const files = createFileEngine({
        path,
        cookieName: 'sessionid',
        codec,
        rules: { ...rules, storesIsoExpiry: profile.storesIsoExpiry },
      })
      for (const expiry of ['null', '60', '-60']) {
        for (const seconds of [0, AGE + 60]) {
          const key = `ours${expiry.replace('-', 'minus')}after${seconds}`
          const data = new Map([
            ['_session_expiry', expiry],
            ['name', `"ours ${expiry} ${seconds}"`],
          ])
          await files.create(key, { data, expireDate: now() })
          await age(join(path, `sessionid${key}`), seconds)
        }
      }
      const count = (await readdir(path)).length
      const script = 'from django.core.management import call_command; call_command("clearsessions")'
      if (cleaner === 'ours') t.true((await files.clearExpired()) >= 4)
      else await djangoShell(version, { env, script })
      const names = await Promise.all(
        (await readdir(path)).map(async (name) =>
          codec.decode(await readFile(join(path, name), 'latin1')).data.get('name'),
        ),
      )
      t.true(names.length > 0 && names.length < count)
      left.push(names.map(String).toSorted())
    }
    t.deepEqual(left[0], left[1])
    t.true(left[0]?.includes('"ours null 0"'))
    t.false(left[0]?.includes(`"ours null ${AGE + 60}"`))
  })
}

test('sharing files is tested with each Django version', (t) => {
  t.true(djangoVersions.length > 0)
})

/** Sets the modification time of the file to this many seconds ago. */
async function age(file: string, seconds: number): Promise<void> {
  const savedAt = new Date(Date.now() - seconds * 1000)
  await utimes(file, savedAt, savedAt)
}

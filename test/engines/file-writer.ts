/** A process that counts in one session's file: `file-writer.ts FOLDER KEY TIMES`; prints each number that it gave. */
import { createSessionCodec } from '../../src/django/session-data.ts'
import { versionProfile } from '../../src/django/versions.ts'
import { createFileEngine } from '../../src/engines/file.ts'
import { createSessions } from '../../src/session/handle.ts'

const [path = '', sessionKey = '', times = ''] = process.argv.slice(2)
const profile = versionProfile('5.2')
const now = () => new Date()
const codec = createSessionCodec({ secretKeys: ['a secret key of the tests'], profile, now })
const rules = {
  cookieAge: 3600,
  expireAtBrowserClose: false,
  useTz: true,
  timeZone: 'UTC',
  storesIsoExpiry: true,
}
const engine = createFileEngine({ path, cookieName: 'sessionid', codec, rules })
const sessions = createSessions({ engine, rules, conflictTimeout: 60_000 })
for (let time = 0; time < Number(times); time += 1) {
  const session = await sessions.open(sessionKey).load()
  session.compute('n', (old) => Number(old ?? 0) + 1)
  await session.save()
  console.log(String(session.get('n')))
}

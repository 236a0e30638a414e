import { createPublicKey, verify } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import test from 'ava'
import { createPasswordSigner } from '../../../src/service/database/ed25519.ts'
import { openDatabase } from '../../../src/service/database/open-database.ts'
import { readSettings } from '../../../src/service/settings/settings.ts'

/** `SELECT ed25519_password(…)` of MariaDB 10.11.19, whose plugin is not in the package that the tests install. */
const keys: Readonly<Record<string, string>> = {
  secret: 'ZIgUREUg5PVgQ6LskhXmO+eZLS0nC8be6HPjYWR4YJY',
  foo: 'vubFBzIrapbfHct1/J72dnUryz5VS7lA6XHH8sIx4TI',
  'pässwörd 한글': 'XoSMUXcfQQCniUXuk5gwTga3vK6cdiR0T37JsuNkcxg',
  [`${'x'.repeat(100)}`]: 'UdhomqEdOtHyENpx97aeneL7yr8EYvVvlNWoAEJEyZg',
  "a'b": 'grCriy1yfyXG63R1+vAGbvTyRqhEb7sBKDi6gsLZorE',
}

/** Node's own Ed25519. */
function isSignedBy(publicKey: Buffer, message: Buffer, signature: Buffer): boolean {
  const key = createPublicKey({
    format: 'jwk',
    key: { kty: 'OKP', crv: 'Ed25519', x: publicKey.toString('base64url') },
  })
  return verify(null, message, key, signature)
}

for (const [password, expected] of Object.entries(keys)) {
  test(`the key of the password ${password} is MariaDB's, and its signatures are valid`, (t) => {
    const signer = createPasswordSigner(password)
    t.is(signer.publicKey().toString('base64').replace(/=$/, ''), expected)
    for (let at = 0; at < 10; at += 1) {
      const message = Buffer.alloc(32, at * 27)
      t.true(isSignedBy(signer.publicKey(), message, signer.sign(message)))
      t.false(isSignedBy(signer.publicKey(), Buffer.alloc(32, 255), signer.sign(message)))
    }
  })
}

test('a server that asks for ed25519 gets the signature of what it sent', async (t) => {
  const message = Buffer.from(Array.from({ length: 32 }, (_, at) => at * 7))
  const signatures: Buffer[] = []
  const server = createServer((socket: Socket) => {
    socket.on('error', () => {})
    socket.write(packet(0, GREETING))
    socket.on('data', (data) => {
      if (data[3] === 1)
        socket.write(packet(2, Buffer.concat([Buffer.from('\xfeclient_ed25519\0', 'latin1'), message])))
      else {
        signatures.push(data.subarray(4))
        socket.destroy()
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const DATABASE_URL = `mysql://user:secret@127.0.0.1:${port}/visits?ssl_mode=DISABLED`
  const db = openDatabase(readSettings({ DATABASE_URL, DJANGO_SECRET_KEY: 'x' }).database)
  t.teardown(() => db.destroy())
  await t.throwsAsync(db.raw('SELECT 1'), { code: 'PROTOCOL_CONNECTION_LOST' })
  const [signature = Buffer.alloc(0)] = signatures
  t.is(signature.length, 64)
  t.true(isSignedBy(createPasswordSigner('secret').publicKey(), message, signature))
})

function packet(sequence: number, payload: Buffer): Buffer {
  return Buffer.concat([Buffer.from([payload.length, 0, 0, sequence]), payload])
}

/** Protocol 10, and the flags PROTOCOL_41, SECURE_CONNECTION and PLUGIN_AUTH. */
const GREETING = Buffer.concat([
  Buffer.from('\x0a5.5.5-10.11.19-MariaDB\0', 'latin1'),
  Buffer.from([1, 0, 0, 0]),
  Buffer.from('12345678\0', 'latin1'),
  Buffer.from([0x08, 0x82, 45, 2, 0, 0x08, 0, 21]),
  Buffer.alloc(10),
  Buffer.from('123456789012\0mysql_native_password\0', 'latin1'),
])

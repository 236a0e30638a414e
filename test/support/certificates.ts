import { join } from 'node:path'
import { execute } from './executables.ts'

/**
 * A certificate for 127.0.0.1, or for `names`, that is its own authority: server.crt, its key server.key, and ca.crt. It says who a
 * client is, too: the user `name`.
 */
export async function makeCertificate(
  folder: string,
  { name = '127.0.0.1', names = 'IP:127.0.0.1' } = {},
): Promise<void> {
  const key = join(folder, 'server.key')
  const flags = ['-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', `/CN=${name}`]
  await execute('openssl', [
    'req',
    '-x509',
    ...flags,
    ...['-addext', `subjectAltName=${names}`],
    '-keyout',
    key,
    '-out',
    join(folder, 'server.crt'),
  ])
  await execute('cp', [join(folder, 'server.crt'), join(folder, 'ca.crt')])
}

import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { DatabaseHost } from '../settings/database-settings.ts'
import { DatabaseMismatch } from './connection.ts'

type Protocol = 'mysql' | 'postgresql'

/**
 * Waits for the attempt to connect, but rejects when the other kind of database listens there. The drivers cannot say
 * so: they only time out, or report a message that they cannot parse.
 * @throws {DatabaseMismatch} in that case, within the time of the attempt.
 */
export async function rejectOtherProtocol<C>(
  attempt: Promise<C>,
  {
    dialect,
    host,
    milliseconds,
  }: { dialect: { protocol: Protocol }; host: DatabaseHost; milliseconds: number },
): Promise<C> {
  const check = async (): Promise<void> => {
    const spoken = await protocolAt(host, milliseconds / 4)
    if (spoken === null || spoken === dialect.protocol) return
    throw new DatabaseMismatch(
      `${host.host}:${host.port} speaks ${NAMES[spoken].protocol}, but the URL of the database is for ` +
        `${NAMES[dialect.protocol].protocol}; check its port, or begin it with ${NAMES[spoken].scheme}://`,
    )
  }
  const settled = new AbortController()
  const halfway = delay(milliseconds / 2, undefined, { signal: settled.signal }).then(check)
  try {
    return await Promise.race([attempt, halfway.then(() => attempt)])
  } catch (error) {
    if (isUnexplained(error)) await check()
    throw error
  } finally {
    settled.abort()
  }
}

const NAMES: Readonly<Record<Protocol, { protocol: string; scheme: string }>> = {
  mysql: { protocol: "MySQL's protocol", scheme: 'mysql' },
  postgresql: { protocol: "PostgreSQL's protocol", scheme: 'postgres' },
}

/** Whether the error comes neither from a server of the expected kind nor from the network. */
function isUnexplained(error: unknown): boolean {
  if (!(error instanceof Error) || error instanceof DatabaseMismatch) return false
  return !('severity' in error) && !('sqlState' in error) && !('syscall' in error)
}

/** Milliseconds within which a MySQL server sends its greeting; PostgreSQL waits for its client. */
const GREETING = 200

/**
 * Returns the protocol of the server, or null when that is not clear. With the wrong protocol, both sides may wait: a
 * MySQL client waits for a greeting, and a PostgreSQL server waits for its client's first message.
 */
function protocolAt({ host, port }: DatabaseHost, milliseconds: number): Promise<Protocol | null> {
  return new Promise((resolve) => {
    const socket = host.startsWith('/') ? connect(host) : connect({ host, port })
    const end = setTimeout(() => settle(null), milliseconds)
    const ask = setTimeout(() => socket.write(SSL_REQUEST), GREETING)
    const settle = (protocol: Protocol | null): void => {
      clearTimeout(end)
      clearTimeout(ask)
      socket.destroy()
      resolve(protocol)
    }
    socket.on('connect', () => ask.refresh())
    socket.on('error', () => settle(null))
    socket.on('close', () => settle(null))
    socket.once('data', (bytes) =>
      settle(isGreeting(bytes) ? 'mysql' : isSslAnswer(bytes) ? 'postgresql' : null),
    )
  })
}

/** Source: PostgreSQL's manual, "Message Formats", SSLRequest. */
const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f])

/** A greeting of protocol version 10, or an error packet. Source: MySQL's manual, "Connection Phase Packets". */
function isGreeting(bytes: Buffer): boolean {
  return bytes.length > 4 && bytes[3] === 0 && (bytes[4] === 10 || bytes[4] === 0xff)
}

/** `S`, `N`, or an error message: `E`, its length, and then the severity field. */
function isSslAnswer(bytes: Buffer): boolean {
  const first = String.fromCharCode(bytes[0] ?? 0)
  return bytes.length === 1 ? first === 'S' || first === 'N' : first === 'E' && bytes[5] === 0x53
}

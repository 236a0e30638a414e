import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type { Scope } from './file-scope.ts'

export interface LossyNetwork {
  readonly port: number
  /** The number of connections that it has cut at a statement. */
  readonly lost: number
  /** The number of packets that clients have sent. */
  readonly sent: number
  /** Cuts the connection of a matching statement, before the server receives it or after the server has answered. */
  lose(what: 'question' | 'answer', statement: RegExp, options?: { times?: number }): void
  mend(): void
  /** Cuts all connections now. */
  cut(): void
}

/** A proxy before the server on this port that can lose data. Statements are sent as plain text. */
export async function startLossyNetwork(t: Scope, serverPort: number): Promise<LossyNetwork> {
  let rule: { what: 'question' | 'answer'; statement: RegExp; times: number } | null = null
  let lost = 0
  let sent = 0
  const open = new Set<Socket>()
  const proxy = createServer((client) => {
    const server = connect(serverPort, '127.0.0.1')
    let isDoomed = false
    const cut = () => {
      lost += 1
      client.destroy()
      server.destroy()
    }
    client.on('data', (data) => {
      sent += 1
      if (rule !== null && rule.times > 0 && rule.statement.test(data.toString('latin1'))) {
        rule.times -= 1
        if (rule.what === 'question') return cut()
        isDoomed = true
      }
      server.write(data)
    })
    server.on('data', (data) => (isDoomed ? cut() : client.write(data)))
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      open.add(one)
      one.on('error', () => {})
      one.on('close', () => {
        open.delete(one)
        other.destroy()
      })
    }
  }).listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  const cut = () => {
    for (const socket of open) socket.destroy()
  }
  t.teardown(() => {
    proxy.close()
    cut()
  })
  return {
    port: (proxy.address() as AddressInfo).port,
    get lost() {
      return lost
    },
    get sent() {
      return sent
    },
    lose(what, statement, { times = Number.POSITIVE_INFINITY } = {}) {
      rule = { what, statement, times }
    },
    mend() {
      rule = null
    },
    cut,
  }
}

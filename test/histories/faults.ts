import { setTimeout as delay } from 'node:timers/promises'
import type { Knex } from 'knex'
import type { Administrator, Backend } from '../faults/site.ts'
import type { LossyNetwork } from '../support/lossy-network.ts'
import { pick, type Random } from './random.ts'
import type { Breakable, Side } from './sides.ts'

/** What a fault can break. */
export interface Broken {
  readonly kind: 'mysql' | 'postgresql' | 'sqlite'
  readonly sides: readonly Side[]
  /** A Django whose sessions merge, or null. The faults of processes hit a worker of its gunicorn. */
  readonly merging: Breakable | null
  /** Between the sides and the server; null on SQLite. */
  readonly network: LossyNetwork | null
  /** A server of this run's own; null on SQLite, and on servers that other tests use. */
  readonly backend: Backend | null
  /** Connections of another program to the same database. */
  readonly other: Knex
  /** Session keys in use. */
  readonly keys: () => readonly string[]
  /** Of the Djangos beside them. */
  readonly versions: readonly string[]
  /** Milliseconds for which a fault lasts. */
  readonly lasting: number
  readonly random: Random
}

interface Fault {
  readonly needs?: 'network' | 'backend' | 'server'
  /** Breaks something, and mends it. */
  readonly strike: (broken: Broken) => Promise<void>
}

const WRITES = /(update|insert into|delete from) .django_session/i

/**
 * Versions of Django that can run side by side, since each reads what the others write: those that write the old format of
 * sessions, and those that write the new one. The second of each group also reads the format of the other group.
 */
export const VERSIONS = [
  ['2.2', '3.1:sha1', '3.2:sha1'],
  ['5.2', '3.2', '4.2', '6.1'],
] as const

const faults = {
  /** SIGKILL of a process, on either side. */
  kill: { strike: (broken) => processOf(broken).restart() },

  /** A process of either side stands still, as under a debugger or on a machine that is moved; its requests are executed later. */
  freeze: {
    async strike(broken) {
      const process = processOf(broken)
      process.freeze()
      await delay(broken.lasting * pick(broken.random, [1, 4])) // the longer one: longer than a client waits
      process.thaw()
    },
  },

  /** The connection is lost after a write was executed, or before. */
  'lost-answer': {
    needs: 'network',
    async strike({ network, random, lasting }) {
      network?.lose(pick(random, ['answer', 'answer', 'question']), WRITES, { times: 3 })
      await delay(lasting)
      network?.mend()
    },
  },

  /** All connections to the database are cut. */
  cut: {
    needs: 'network',
    async strike({ network }) {
      network?.cut()
    },
  },

  /** Two transactions of another program lock the same sessions in opposite orders, and the service writes them. */
  deadlock: {
    needs: 'server',
    async strike(broken) {
      const one = chosen(broken)
      await Promise.all([hold(broken, one), hold(broken, one.toReversed())])
    },
  },

  /** Another transaction holds the lock of sessions, or of the SQLite file. */
  lock: { strike: (broken) => hold(broken, chosen(broken)) },

  /** The database server crashes and comes back, as at a failover. */
  restart: {
    needs: 'backend',
    async strike({ backend, lasting }) {
      await backend?.crash()
      await delay(lasting)
      await backend?.restart()
    },
  },

  /** The database refuses writes: a full disk, a server that became a replica. */
  'read-only': {
    async strike({ kind, sides, backend, lasting }) {
      if (kind === 'sqlite') for (const side of sides) side.order({ readOnly: true })
      const administrator = await backend?.connect()
      await administrator?.sql(READ_ONLY[kind].on)
      await reload(kind, administrator)
      await delay(lasting)
      await administrator?.sql(READ_ONLY[kind].off)
      await reload(kind, administrator)
      await administrator?.end()
      if (kind === 'sqlite') for (const side of sides) side.order({ readOnly: false })
    },
  },

  /** The clock of a process is an hour wrong, or that of both workers of gunicorn. */
  clock: {
    async strike(broken) {
      const process = processOf(broken)
      process.setClock(pick(broken.random, [-3_600_000, 3_600_000]))
      await delay(broken.lasting)
      process.setClock(0)
    },
  },

  /** A process is replaced by one for another version of Django, so that two versions run side by side. */
  versions: {
    strike: ({ sides, random, versions }) => pick(random, sides).restart({ version: pick(random, versions) }),
  },
} as const satisfies Record<string, Fault>

export type FaultName = keyof typeof faults

/** All kinds of faults. */
export const FAULTS = Object.keys(faults) as FaultName[]

/** Whether this fault can strike here. */
export function canStrike(name: FaultName, { kind, network, backend }: Broken): boolean {
  const { needs }: Fault = faults[name]
  if (name === 'read-only') return kind === 'sqlite' || backend !== null
  if (needs === 'network') return network !== null
  if (needs === 'backend') return backend !== null
  return needs !== 'server' || kind !== 'sqlite'
}

/** Breaks something, mends it, and returns. */
export function strike(name: FaultName, broken: Broken): Promise<void> {
  return (faults[name] as Fault).strike(broken)
}

const READ_ONLY = {
  mysql: { on: 'SET GLOBAL read_only = 1', off: 'SET GLOBAL read_only = 0' },
  postgresql: {
    on: 'ALTER SYSTEM SET default_transaction_read_only = on',
    off: 'ALTER SYSTEM RESET default_transaction_read_only',
  },
  sqlite: { on: '', off: '' },
} as const

async function reload(kind: Broken['kind'], administrator: Administrator | undefined): Promise<void> {
  if (kind === 'postgresql') await administrator?.sql('SELECT pg_reload_conf()')
}

function processOf({ sides, merging, random }: Broken): Breakable {
  return pick(random, merging === null ? sides : [...sides, merging])
}

function chosen({ keys, random }: Broken): string[] {
  const all = keys()
  return all.length === 0 ? [] : [...new Set([pick(random, all), pick(random, all)])]
}

/** Locks these sessions one after another in one transaction, and writes nothing. */
async function hold({ kind, other, lasting }: Broken, keys: readonly string[]): Promise<void> {
  try {
    if (kind === 'sqlite') {
      await other.raw('BEGIN EXCLUSIVE')
      await delay(lasting)
      await other.raw('ROLLBACK')
      return
    }
    await other.transaction(async (transaction) => {
      for (const session_key of keys) {
        await transaction('django_session').where({ session_key }).forUpdate()
        await delay(lasting / 2)
      }
    })
  } catch {} // It is the victim of the deadlock, or the file is busy.
}

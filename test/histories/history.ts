/** What a request does to a session. Each but `read` and `logout` writes. */
export type Kind = 'create' | 'read' | 'change' | 'cycle' | 'logout' | 'expire'

/** A request of a client, as it is sent. */
export interface Operation {
  readonly id: number
  readonly kind: Kind
  /** Sends one request after another. A client whose answer is lost sends nothing more: see generator.ts. */
  readonly client: string
  /** The name of the session in the history; it keeps it when its key changes. */
  readonly session: string
  /** The key that the request sends; null for `create`. */
  readonly key: string | null
  /** For `create` and `change`: which change of this client it is. `nameOf` names it in the whole history. */
  readonly number?: number
}

/**
 * How a request ended. `gone`: there was no live session, or no longer, and nothing was written. `failed`: it was certainly not
 * executed. `unknown`: it may be executed once, at any later time, or never.
 */
export interface Answer {
  readonly outcome: 'ok' | 'gone' | 'failed' | 'unknown'
  /** For `create` and `cycle`: the key from now on. */
  readonly key?: string | undefined
  /** What the session held. For `change` and `cycle`: after the write. */
  readonly seen?: Contents | undefined
  /** Whether `seen` is what the request loaded, before its own change. */
  readonly isBefore?: boolean
}

/** The contents of a session. Each change writes to all four parts. */
export interface Contents {
  /** The names of all changes, in any order. */
  readonly log: readonly string[]
  /** How many there are. */
  readonly count: number
  /** The number of each client's last change, each in a key of its own. */
  readonly last: Readonly<Record<string, number>>
  /** The same, in one nested dictionary. */
  readonly cart: Readonly<Record<string, number>>
}

/** One line of a history. */
export type Entry = { readonly invoke: Operation } | ({ readonly end: number } & Answer)

/** The name of the change that a `create` or a `change` makes; it is unique in the history. */
export function nameOf({ client, number }: Pick<Operation, 'client' | 'number'>): string {
  return `${client}.${number}`
}

/** The client and the number in the name of a change. */
export function partsOf(name: string): { client: string; number: number } {
  const dot = name.lastIndexOf('.')
  return { client: name.slice(0, dot), number: Number(name.slice(dot + 1)) }
}

/** The contents of a session after one more change. */
export function changed({ log, count, last, cart }: Contents, operation: Operation): Contents {
  const { client, number = 0 } = operation
  return {
    log: [...log, nameOf(operation)],
    count: count + 1,
    last: { ...last, [client]: number },
    cart: { ...cart, [client]: number },
  }
}

/** A session without a change. */
export const NOTHING: Contents = { log: [], count: 0, last: {}, cart: {} }

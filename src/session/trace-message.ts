// Not in tracing.ts, whose types are those of @types/node: they differ between its versions.
import { keyHash } from './key-hash.ts'

/** What a tracing channel publishes: one object for all events of a trace, completed when the work ends. */
export interface TraceMessage {
  /** A short hash of the session key, equal in all traces and log lines of this session in this process. */
  readonly keyHash?: string
  /** Which kind of save or authentication it is. */
  readonly operation?: string
  /** The length of the stored text that is decoded. */
  readonly size?: number
  /** When the work has succeeded: its outcome. */
  result?: TraceResult
  /** When the work has failed. */
  error?: TracedFailure
}

/** The outcome in a word, or how the stored text was verified. */
export type TraceResult = string | { readonly format: string; readonly keyIndex: number }

/** The error of a trace, without its message: a driver's message may quote the statement. */
export interface TracedFailure {
  readonly name: string
  readonly code: string | undefined
  /** Why a session cannot be read, as in the event `unreadable`. */
  readonly reason?: string
}

/** A message about the session of this key. The hash is made when a subscriber reads it: one that counts needs none. */
export class SessionTrace implements TraceMessage {
  declare readonly operation?: string
  declare result?: TraceResult
  declare error?: TracedFailure
  readonly #sessionKey: string

  constructor(sessionKey: string, operation?: string) {
    this.#sessionKey = sessionKey
    if (operation !== undefined) this.operation = operation
  }

  get keyHash(): string {
    return keyHash(this.#sessionKey)
  }

  toJSON(): TraceMessage {
    return { ...this, keyHash: this.keyHash }
  }
}

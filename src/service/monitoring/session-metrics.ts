import { Counter, type Registry } from 'prom-client'
import type { UnreadableReason } from '../../django/unreadable-session.ts'
import type { SessionEvents } from '../../session/events.ts'
import type { TraceMessage } from '../../session/trace-message.ts'
import { traces } from '../../session/tracing.ts'

export interface SessionMetrics {
  /** Counts what no tracing channel tells. */
  readonly events: Pick<SessionEvents, 'retry' | 'cacheFailure'>
  /** Counts no more. */
  close(): void
}

/**
 * Counters of what happens to sessions, subscribed to the tracing channels. These belong to the process, as its other
 * metrics do: two services in one process are counted together.
 */
export function createSessionMetrics(
  registers: Registry[],
  { keyCount }: { keyCount: number },
): SessionMetrics {
  const counter = <L extends string>(
    name: string,
    help: string,
    series: readonly Record<L, string | number>[] = [],
  ): Counter<L> => {
    const labelNames = Object.keys(series[0] ?? {}) as L[]
    const made = new Counter({ name, help, labelNames, registers })
    for (const labels of series) made.inc(labels, 0)
    return made
  }
  const loads = counter(
    'django_session_loads_total',
    'Lookups of a session by its key.',
    OUTCOMES.load.map((outcome) => ({ outcome })),
  )
  const saves = counter(
    'django_session_saves_total',
    'Writes of a session. merged: with changes that another request saved meanwhile; interrupted: the session was deleted meanwhile.',
    OUTCOMES.save.map((outcome) => ({ outcome })),
  )
  const decodes = counter(
    'django_session_decodes_total',
    'Sessions read, by the key that verified them: 0 is SECRET_KEY, n is the nth of SECRET_KEY_FALLBACKS.',
    Array.from({ length: keyCount }, (_, key) => ({ key })),
  )
  const unreadable = counter(
    'django_session_unreadable_total',
    'Sessions that cannot be read.',
    REASONS.map((reason) => ({ reason })),
  )
  const conflicts = counter(
    'django_session_conflicts_total',
    'Writes of a session that another request had changed meanwhile. winner: django, here (this package, in another process) or unknown.',
    WINNERS.map((winner) => ({ winner })),
  )
  const authentications = counter(
    'django_authentications_total',
    'Verifications of the user in a session, and of a name with a password. wrong: the password was changed, and the session is logged out.',
    [
      ...OUTCOMES.session.map((outcome) => ({ operation: 'session', outcome })),
      ...OUTCOMES.password.map((outcome) => ({ operation: 'password', outcome })),
    ],
  )
  const retries = counter(
    'django_session_retries_total',
    'Statements repeated after a transient failure such as a deadlock.',
  )
  const cacheFailures = counter(
    'django_session_cache_failures_total',
    'Failed operations on the session cache.',
  )
  const givenUp = counter(
    'django_session_cache_removals_given_up_total',
    'Cached copies that could not be removed: Django reads them until they expire.',
  )
  const close = subscribe({
    load(message) {
      const outcome = outcomeOf(message, { [UNREADABLE]: 'unreadable' })
      loads.inc({ outcome })
      const reason = message.error?.reason
      if (reason !== undefined) unreadable.inc({ reason })
    },
    decode({ result }) {
      if (typeof result === 'object') decodes.inc({ key: result.keyIndex })
    },
    save(message) {
      const outcome = outcomeOf(message, { [INTERRUPTED]: 'interrupted' })
      saves.inc({ outcome: message.operation === 'create' && outcome === 'saved' ? 'new' : outcome })
    },
    conflict: ({ result }) => conflicts.inc({ winner: typeof result === 'string' ? result : 'unknown' }),
    authenticate(message) {
      authentications.inc({ operation: message.operation ?? '', outcome: outcomeOf(message) })
    },
  })
  return {
    events: {
      retry: () => retries.inc(),
      cacheFailure(failure) {
        if (failure.givenUp > 0) givenUp.inc(failure.givenUp)
        else cacheFailures.inc()
      },
    },
    close,
  }
}

const UNREADABLE = 'ERR_SESSION_UNREADABLE'
const INTERRUPTED = 'ERR_SESSION_INTERRUPTED'

/** Each has a series from the start: a rate needs a zero to begin with. */
const OUTCOMES = {
  load: ['found', 'missing', 'unreadable', 'failed'],
  save: ['new', 'saved', 'merged', 'deleted', 'interrupted', 'failed'],
  session: ['current', 'fallback', 'nobody', 'unverified', 'wrong', 'failed'],
  password: ['accepted', 'refused', 'failed'],
} as const
const WINNERS = ['django', 'here', 'unknown'] as const
const REASONS: readonly UnreadableReason[] = [
  'format',
  'signature',
  'payload',
  'not-an-object',
  'too-large',
  'expire-date',
]

/** The outcome of a trace in a word. `failures`: the words for errors, by their codes. */
function outcomeOf({ result, error }: TraceMessage, failures: Readonly<Record<string, string>> = {}): string {
  return typeof result === 'string' ? result : (failures[error?.code ?? ''] ?? 'failed')
}

/** Calls the listener of each channel at the end of each trace, until the returned function is called. */
function subscribe(
  listeners: Readonly<Record<keyof typeof traces, (message: TraceMessage) => void>>,
): () => void {
  const stops = Object.entries(traces).map(([name, channel]) => {
    const listener = listeners[name as keyof typeof traces]
    const last = name === 'decode' ? channel.end : channel.asyncEnd // decode is synchronous
    const onEnd = (message: unknown) => listener(message as TraceMessage)
    last.subscribe(onEnd)
    return () => last.unsubscribe(onEnd)
  })
  return () => {
    for (const stop of stops) stop()
  }
}

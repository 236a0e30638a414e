import { setImmediate as turn } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { UnreadableSession } from '../../src/django/unreadable-session.ts'
import { guardEvents, NO_EVENTS, type SessionEvents } from '../../src/session/events.ts'
import type { SavedSession } from '../../src/session/saved-session.ts'

const error = new UnreadableSession('signature')

const saved: SavedSession = {
  sessionKey: 'a session key',
  previousKey: null,
  added: ['cart'],
  changed: [],
  removed: [],
  merged: false,
  kept: [],
}

/** Lets every event happen, in the order of the interface. */
function tellAll(events: SessionEvents): void {
  events.unreadable('a session key', error)
  events.conflict()
  events.retry(error)
  events.cacheFailure({ error, owed: 1, givenUp: 0 })
  events.load('found')
  events.decode({ data: new Map(), format: 'signed', keyIndex: 1 })
  events.lostChange?.(['cart'])
  events.save?.(saved)
}

const names = Object.keys(NO_EVENTS)

/** The process' own warnings of listeners that failed, from now on. */
function warningsOf(t: ExecutionContext): { code: unknown; text: string }[] {
  const warnings: { code: unknown; text: string }[] = []
  const listen = ({ name, code, message }: Error & { code?: unknown }) => {
    if (name === 'DjangoSessionsWarning') warnings.push({ code, text: message })
  }
  process.on('warning', listen)
  t.teardown(() => process.off('warning', listen))
  return warnings
}

/** Every listener as `listen` makes it for its event. */
function listeners(listen: (event: string) => (...parameters: unknown[]) => unknown): SessionEvents {
  return Object.fromEntries(names.map((name) => [name, listen(name)])) as unknown as SessionEvents
}

test('each event reaches its listener with what it is about', (t) => {
  const told: unknown[][] = []
  tellAll(
    guardEvents(
      listeners(
        (event) =>
          (...parameters) =>
            void told.push([event, ...parameters]),
      ),
    ),
  )
  t.deepEqual(told, [
    ['unreadable', 'a session key', error],
    ['conflict'],
    ['retry', error],
    ['cacheFailure', { error, owed: 1, givenUp: 0 }],
    ['load', 'found'],
    ['decode', { data: new Map(), format: 'signed', keyIndex: 1 }],
    ['lostChange', ['cart']],
    ['save', saved],
  ])
})

test.serial(
  'a listener that throws reaches no caller; a warning names its event, once, and no secret',
  async (t) => {
    const warnings = warningsOf(t)
    const events = guardEvents(
      listeners((event) => () => {
        throw new RangeError(`${event} with a session key`)
      }),
    )
    t.notThrows(() => tellAll(events))
    t.notThrows(() => tellAll(events))
    await turn()
    t.deepEqual(
      warnings.map(({ code }) => code),
      names.map(() => 'SESSION_LISTENER_FAILED'),
    )
    for (const [at, { text }] of warnings.entries()) {
      t.regex(text, new RegExp(`^events\\.${names[at]} threw \\(RangeError, at .*events\\.test\\.ts:`))
      t.notRegex(text, /a session key/)
    }
  },
)

test.serial('a listener whose promise rejects does not end the process', async (t) => {
  const warnings = warningsOf(t)
  const events = guardEvents(listeners((event) => async () => Promise.reject(new Error(event))))
  tellAll(events)
  await turn()
  await turn()
  t.is(warnings.length, names.length)
})

test('an event without a listener has the default one, or does nothing', (t) => {
  const told: string[] = []
  const defaults = { load: () => void told.push('default load'), conflict: () => void told.push('default') }
  tellAll(guardEvents({ conflict: () => void told.push('given') }, defaults))
  t.deepEqual(told, ['given', 'default load'])
  t.notThrows(() => tellAll(guardEvents()))
})

test('lost changes are not looked for where the listener is null, whatever the default is', (t) => {
  const defaults = { lostChange() {} }
  t.is(guardEvents({ lostChange: null }, defaults).lostChange, null)
  t.not(guardEvents({}, defaults).lostChange, null)
  t.is(guardEvents().lostChange, null)
})

test('the listeners may be methods of a class', (t) => {
  class Counter {
    count = 0
    conflict() {
      this.count += 1
    }
  }
  const counter = new Counter()
  tellAll(guardEvents(counter))
  t.is(counter.count, 1)
})

test('events that are guarded are not guarded again', (t) => {
  const events = guardEvents({ conflict() {} })
  t.is(guardEvents(events), events)
  t.not(guardEvents(NO_EVENTS), NO_EVENTS)
})

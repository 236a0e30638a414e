import type { PickledValue } from '../django/pickle/javascript.ts'

/**
 * The keys of your sessions and their types, declared once for the whole program:
 * `declare module 'koa-django-sessions' { interface SessionTypes { num_visits: number } }`.
 */
// biome-ignore lint/suspicious/noEmptyInterface: programs add their keys; only an interface can be extended by them.
export interface SessionTypes {}

/** What a session holds without a type argument: the keys of `SessionTypes`, and any other key with unknown values. */
export type DeclaredSession = SessionTypes & Record<string, unknown>

/** What is stored under a key, as far as its type is known. */
export type StoredValue<V> = unknown extends V ? PickledValue : V

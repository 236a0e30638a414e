import type { SessionCommits } from './commit.ts'
import { SessionTrace } from './trace-message.ts'
import { traced, traces } from './tracing.ts'

/** Commits whose writes are traced, each with all its repeats. */
export function tracedCommits(commits: SessionCommits): SessionCommits {
  const save = <R>(
    operation: string,
    sessionKey: string | null,
    work: () => Promise<R>,
    outcome: (result: R) => string,
  ) => {
    const message = () => (sessionKey === null ? { operation } : new SessionTrace(sessionKey, operation))
    return traced(traces.save, message, work, outcome)
  }
  const saved = ({ merged }: { readonly merged: boolean }) => (merged ? 'merged' : 'saved')
  const deleted = () => 'deleted'
  return {
    ...commits,
    create: (...rest) => save('create', null, () => commits.create(...rest), saved),
    update: (key, ...rest) => save('update', key, () => commits.update(key, ...rest), saved),
    move: (key, ...rest) => save('move', key, () => commits.move(key, ...rest), saved),
    remove: (key) => save('delete', key, () => commits.remove(key), deleted),
  }
}

import { checkTables } from '../service/preflight.ts'
import { sessionTables } from '../service/required-tables.ts'
import {
  type ClearedSessions,
  type ClearSessionsOptions,
  clearSiteSessions,
} from '../site/expired-sessions.ts'
import type { Project } from './open-project.ts'
import { siteOptionsOf } from './project-options.ts'

/** Deletes the expired sessions of a project. @throws {CannotStart} when their table cannot be read. */
export async function clearProjectSessions(
  project: Project,
  options: ClearSessionsOptions = {},
  { monotonic = () => performance.now() }: { monotonic?: () => number } = {},
): Promise<ClearedSessions & { seconds: number }> {
  await checkSessionTables(project)
  const start = monotonic()
  const cleared = await clearSiteSessions(siteOptionsOf(project), options)
  return { ...cleared, seconds: Math.round(monotonic() - start) / 1000 }
}

/** @throws {CannotStart} naming the setting and the reason, when the tables of the sessions cannot be read. */
export async function checkSessionTables({ settings, sessionDb, onSessionDatabase }: Project): Promise<void> {
  const tables = sessionTables(settings)
  if (tables.length > 0) await onSessionDatabase(() => checkTables(sessionDb, tables))
}

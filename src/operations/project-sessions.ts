import type { UserIdText } from '../engines/inventory.ts'
import { checkTables } from '../service/preflight.ts'
import { usersTable } from '../service/required-tables.ts'
import { findUser, openUserSessions, type UserChoice, type UserSessions } from '../site/user-sessions.ts'
import { checkSessionTables } from './clear-sessions.ts'
import type { Project } from './open-project.ts'
import { siteOptionsOf } from './project-options.ts'

/** Opens the sessions of a project by user. @throws {SessionsNotListed} {CannotStart} when their table cannot be read. */
export async function openProjectSessions(project: Project): Promise<UserSessions> {
  await checkSessionTables(project)
  return openUserSessions(siteOptionsOf(project))
}

/** Finds a user of the project. @throws {UnknownUser} {CannotStart} when the user table cannot be read. */
export async function findProjectUser(project: Project, choice: UserChoice): Promise<UserIdText> {
  const { settings, db, useTz, onUserDatabase } = project
  if ('username' in choice)
    await onUserDatabase(() => checkTables(db, [usersTable(settings, { servesLogin: false })]))
  return findUser(choice, {
    db,
    useTz,
    timeZone: settings.timeZone,
    databaseTimeZone: settings.databaseTimeZone,
    userModel: settings.auth.userModel,
  })
}

import { createPasswords, type PasswordRefusal } from '../../django/passwords.ts'
import { servesLogin } from '../../service/required-tables.ts'
import type { Check } from './check.ts'
import { usersCheck } from './user-tables.ts'

/** How many of the newest users are looked at. */
const NEWEST = 200

/** Of users who cannot log in by a password anywhere. */
const NO_PASSWORD: ReadonlySet<PasswordRefusal['reason']> = new Set(['empty', 'unusable'])

/** Whether users can log in here. */
export const STORED_PASSWORD_CHECKS: readonly Check[] = [
  {
    id: 'users.W004',
    title: 'passwords are stored in a way that can be checked here',
    meaning: `Reads the algorithms of the passwords of the ${NEWEST} newest users; no password is checked. A user whose password has an algorithm that is not supported, or not in \`PASSWORD_HASHERS\`, cannot log in by the login page of this service.`,
    remedy:
      'Set `PASSWORD_HASHERS` as in settings.py. For an algorithm that is not supported, leave the login page to Django: `SERVE_LOGIN=False`.',
    after: ['users.E001', 'users.E002'],
    isCheap: true,
    run: usersCheck(async ({ model }, { project }) => {
      const { db, settings, profile } = project
      const { password } = model.columns
      if (password === null || !servesLogin(settings))
        return { outcome: 'skipped', because: 'this service has no login page' }
      const stored: unknown[] = await project.onUserDatabase(() =>
        db(model.table).orderBy(model.idColumn, 'desc').limit(NEWEST).pluck(password),
      )
      const hashers = settings.auth.passwordHashers
      const passwords = createPasswords({ profile, ...(hashers !== null && { hashers }) })
      const refusals = stored
        .flatMap((encoded) => passwords.refusalOf(typeof encoded === 'string' ? encoded : '') ?? [])
        .filter(({ reason }) => !NO_PASSWORD.has(reason))
      if (refusals.length === 0) return { outcome: 'ok', read: `${stored.length} users` }
      const kinds = [...new Set(refusals.map(kindOf))]
      const isUnlisted = refusals.every(({ reason }) => reason === 'not in PASSWORD_HASHERS')
      return {
        outcome: 'failed',
        read: `the passwords of ${refusals.length} of ${stored.length} users cannot be checked: ${kinds.join(', ')}`,
        hint: isUnlisted
          ? 'set PASSWORD_HASHERS as in settings.py, with the hashers of these algorithms'
          : 'set SERVE_LOGIN=False and leave the login page to Django, which also brings such passwords up to date; or set PASSWORD_HASHERS as in settings.py',
      }
    }),
  },
]

function kindOf({ algorithm, reason }: PasswordRefusal): string {
  return algorithm === '' ? reason : `${algorithm} (${reason})`
}

import type { Check, Evidence, Result } from './check.ts'
import { newestSessions, sessionsText, whyNoRows } from './sessions-rows.ts'
import { type Cause, signsWithFirstKey, verdictOn } from './sessions-signatures.ts'

/** Whether this service reads what Django signs, and the reverse: which of the newest rows verify, and how. */
export const SESSION_KEY_CHECKS: readonly Check[] = [
  {
    id: 'sessions.E010',
    title: 'the newest sessions of Django verify with the secret keys',
    meaning:
      'Reads the newest rows that Django saved. If none verifies with `DJANGO_SECRET_KEY` or a fallback, and no other setting explains it, each side loses the sessions of the other: pages say "visited 1 time" for ever.',
    remedy:
      "Set `DJANGO_SECRET_KEY` to `SECRET_KEY` of the Django site's settings, to the character, and `DJANGO_SECRET_KEY_FALLBACKS` to its `SECRET_KEY_FALLBACKS`.",
    after: ['database.E001', 'database.E002'],
    isCheap: true,
    run: (evidence) => of(evidence, 'key'),
  },
  {
    id: 'sessions.E011',
    title: 'Django signs with a key that is known here',
    meaning:
      'Fails when older rows of Django verify and the newest do not: the secret key was rotated at the Django site only.',
    remedy:
      'Set `DJANGO_SECRET_KEY` to the new `SECRET_KEY`, and add the old one to `DJANGO_SECRET_KEY_FALLBACKS`.',
    after: ['database.E001', 'database.E002', 'sessions.E010'],
    isCheap: true,
    run: (evidence) => of(evidence, 'rotated'),
  },
  {
    id: 'sessions.E012',
    title: "the class of the session store is Django's",
    meaning:
      'The name of the class is part of the salt of each signature. Fails when rows verify with the secret key and the name of another known class, or when the secret key is right, since it made their `_auth_user_hash`, and their signatures do not verify.',
    remedy:
      'Set `SESSION_STORE_CLASS` to the `__qualname__` of the class `SessionStore` in the module that `SESSION_ENGINE` of the Django site names; leave it empty if that is `SessionStore`.',
    after: ['database.E001', 'database.E002', 'sessions.E010'],
    isCheap: true,
    run: (evidence) => of(evidence, 'store-class'),
  },
  {
    id: 'sessions.E013',
    title: 'DJANGO_VERSION reads and writes the format of the newest sessions',
    meaning:
      'Django before 3.1 writes another format than Django since 3.1, and neither reads the format of the other (only 3.1 and 3.2 read both). Rows in the old format that an upgrade left are no failure. Without DJANGO_VERSION, the version that the migrations show is used.',
    remedy:
      'Set `DJANGO_VERSION` to what `python -m django --version` prints at the Django site. If it is 3.1 or 3.2, set `DEFAULT_HASHING_ALGORITHM` as in its settings.',
    after: ['database.E001', 'database.E002', 'sessions.E010'],
    isCheap: true,
    run: (evidence) => of(evidence, 'version'),
  },
  {
    id: 'sessions.E014',
    title: "SESSION_SERIALIZER is Django's",
    meaning:
      'Fails when the signature of the newest row of Django is right and its content is a pickle instead of JSON, or the reverse, or cannot be read at all.',
    remedy: 'Set `SESSION_SERIALIZER` as in the settings of the Django site.',
    after: ['database.E001', 'database.E002', 'sessions.E010'],
    isCheap: true,
    run: (evidence) => of(evidence, 'serializer'),
  },
  {
    id: 'sessions.W010',
    title: 'Django signs with DJANGO_SECRET_KEY, not with a fallback',
    meaning:
      'During a rotation each side signs with its own first key. Fails when Django still signs with a fallback after this service has begun to sign with `DJANGO_SECRET_KEY`. Django reads those rows only if the key is among its own `SECRET_KEY_FALLBACKS`.',
    remedy:
      'Finish the rotation at the Django site: set its `SECRET_KEY` to `DJANGO_SECRET_KEY`, and keep the old key in `SECRET_KEY_FALLBACKS`.',
    after: ['database.E001', 'database.E002', 'sessions.E010', 'sessions.E011'],
    isCheap: true,
    run: signsWithFirstKey,
  },
  {
    id: 'sessions.W011',
    title: 'no session is cut off',
    meaning:
      'A text that ends before its signature does was cut by a column `session_data` that is too short, or by a copy of the table.',
    remedy:
      'Give `session_data` the type that `manage.py migrate` gives it: `longtext` on MySQL, `text` elsewhere. The sessions that were cut are lost.',
    after: ['database.E001', 'database.E002'],
    isCheap: true,
    async run(evidence) {
      const rows = await newestSessions(evidence)
      const { all } = rows
      const cut = all.filter(({ diagnosis }) => diagnosis?.shape === 'cut')
      const none = whyNoRows(evidence.project, rows)
      if (none !== null) return none
      if (cut.length === 0) return { outcome: 'ok', read: `${sessionsText(all.length)} read, none cut off` }
      const longest = Math.max(...cut.map(({ size }) => size))
      return {
        outcome: 'failed',
        read: `${cut.length} of the ${sessionsText(all.length)} read end in the middle; the longest has ${longest} bytes`,
        hint: `give the column session_data of ${evidence.project.table} the type that Django's migrations give it (longtext on MySQL, text elsewhere)`,
      }
    },
  },
  {
    id: 'sessions.W012',
    title: 'DJANGO_VERSION is set',
    meaning:
      'Without it, the version is guessed from the migrations, which Django 3.1 to 6.1 have in common. Those versions differ in many small rules.',
    remedy: 'Set `DJANGO_VERSION` to what `python -m django --version` prints at the Django site.',
    isCheap: true,
    async run({ project: { settings, profile } }) {
      if (settings.profile !== null) return { outcome: 'ok', read: profile.version }
      if (settings.database.kind === 'sqlite' && settings.database.embedded)
        return { outcome: 'skipped', because: 'the database is the embedded demo' }
      return {
        outcome: 'failed',
        read: `it is empty, and ${profile.version} is guessed from the migrations`,
        hint: 'set DJANGO_VERSION to what `python -m django --version` prints at the Django site',
      }
    },
  },
]

async function of(evidence: Evidence, is: Cause['is']): Promise<Result> {
  const { cause, because, read } = await verdictOn(evidence)
  if (because !== null) return { outcome: 'skipped', because }
  if (cause === null) return { outcome: 'ok', read }
  if (cause.is === is) return { outcome: 'failed', read: cause.read, hint: cause.hint }
  return { outcome: 'skipped', because: `another setting explains what was found: ${CHECK_OF[cause.is]}` }
}

const CHECK_OF: Readonly<Record<Cause['is'], string>> = {
  key: 'sessions.E010',
  rotated: 'sessions.E011',
  'store-class': 'sessions.E012',
  version: 'sessions.E013',
  serializer: 'sessions.E014',
}

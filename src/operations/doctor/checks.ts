import type { Check } from './check.ts'
import { DATABASE_RIGHTS_CHECKS } from './database-rights.ts'
import { DJANGO_CHECKS } from './django-settings.ts'
import { COOKIE_CHECKS } from './http-cookies.ts'
import { FORM_CHECKS } from './http-forms.ts'
import { OWN_SETTING_CHECKS } from './http-own-settings.ts'
import { UPSTREAM_CHECKS, UPSTREAM_WARNINGS } from './http-upstream.ts'
import { LOGGED_IN_CHECKS } from './logged-in-sessions.ts'
import { LOST_CHANGE_CHECKS } from './lost-changes.ts'
import { ROUND_TRIP_CHECKS } from './round-trip.ts'
import { SERVER_SETTINGS_CHECKS } from './server-settings.ts'
import { SESSION_COLUMN_CHECKS, SESSION_COLUMN_WARNINGS } from './session-columns.ts'
import { SESSION_TABLE_CHECKS } from './session-table.ts'
import { SESSION_COUNT_CHECKS } from './sessions-counts.ts'
import { SESSION_EXPIRY_CHECKS } from './sessions-expiry.ts'
import { SESSION_KEY_CHECKS } from './sessions-keys.ts'
import { SESSION_STORAGE_CHECKS } from './sessions-storage.ts'
import { SESSION_VALUE_CHECKS } from './sessions-values.ts'
import { STORED_PASSWORD_CHECKS } from './stored-passwords.ts'
import { USER_TABLE_CHECKS } from './user-tables.ts'

/** Every check, in the order in which they run: what explains others comes first. */
export const CHECKS: readonly Check[] = [
  ...SESSION_TABLE_CHECKS,
  ...SESSION_COLUMN_CHECKS,
  ...DATABASE_RIGHTS_CHECKS,
  ...SERVER_SETTINGS_CHECKS,
  ...DJANGO_CHECKS,
  ...SESSION_STORAGE_CHECKS,
  ...SESSION_KEY_CHECKS,
  ...SESSION_EXPIRY_CHECKS,
  ...SESSION_VALUE_CHECKS,
  ...LOST_CHANGE_CHECKS,
  ...SESSION_COLUMN_WARNINGS,
  ...USER_TABLE_CHECKS,
  ...LOGGED_IN_CHECKS,
  ...STORED_PASSWORD_CHECKS,
  ...OWN_SETTING_CHECKS,
  ...UPSTREAM_CHECKS,
  ...COOKIE_CHECKS,
  ...FORM_CHECKS,
  ...UPSTREAM_WARNINGS,
  ...ROUND_TRIP_CHECKS,
  ...SESSION_COUNT_CHECKS,
]

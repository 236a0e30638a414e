import { quoted } from '../../checks/quoted.ts'
import { type CookieSettings, CSRF_COOKIE, CSRF_COOKIE_AGE } from '../../django/cookie.ts'
import { CSRF_HEADER_NAME } from '../../django/csrf.ts'
import type { VersionProfile } from '../../django/versions.ts'
import { readCookieSettings } from './cookie-settings.ts'
import { type Environment, readList } from './environment.ts'

/** Django's CSRF_… settings. */
export interface CsrfSettings {
  readonly useSessions: boolean
  readonly cookie: CookieSettings
  /** Seconds; null until the browser closes. */
  readonly cookieAge: number | null
  readonly headerName: string
  /** Origins such as `https://*.example.com`; before Django 4.0 hosts such as `.example.com`. */
  readonly trustedOrigins: readonly string[]
}

export interface CsrfContext {
  /** Null when DJANGO_VERSION is not set. */
  readonly profile: VersionProfile | null
  readonly problems: string[]
  readonly warnings: string[]
}

export function readCsrfSettings(environment: Environment, context: CsrfContext): CsrfSettings {
  return {
    useSessions: environment.boolean('CSRF_USE_SESSIONS', false),
    cookie: readCookieSettings(environment, 'CSRF_COOKIE', { ...context, defaults: CSRF_COOKIE }),
    cookieAge:
      environment.text('CSRF_COOKIE_AGE') === 'None'
        ? null
        : environment.number('CSRF_COOKIE_AGE', CSRF_COOKIE_AGE),
    headerName: readHeaderName(environment, context),
    trustedOrigins: readTrustedOrigins(environment, context),
  }
}

function readHeaderName(environment: Environment, { problems }: CsrfContext): string {
  const name = environment.text('CSRF_HEADER_NAME') ?? CSRF_HEADER_NAME
  if (!/^HTTP_[A-Z0-9_]+$/.test(name)) {
    problems.push(
      `CSRF_HEADER_NAME ${quoted(name)} is not the name of a header; write it as Django does, e.g. HTTP_X_CSRFTOKEN for X-CSRFToken`,
    )
  }
  return name
}

/** Source: django/core/checks/compatibility/django_4_0.py, check_csrf_trusted_origins. */
function readTrustedOrigins(
  environment: Environment,
  { profile, problems, warnings }: CsrfContext,
): readonly string[] {
  const origins = readList(environment.text('CSRF_TRUSTED_ORIGINS') ?? '')
  for (const origin of origins) {
    const hasScheme = origin.includes('://')
    if (!hasScheme && profile?.csrf.checksOrigin !== false) {
      problems.push(
        `CSRF_TRUSTED_ORIGINS ${quoted(origin)} has no scheme, which it needs since Django 4.0; write ${quoted(`https://${origin.replace(/^\./, '*.')}`).slice(1, -1)}, or set DJANGO_VERSION to an older one`,
      )
    }
    if (hasScheme && profile?.csrf.checksOrigin === false) {
      warnings.push(
        `CSRF_TRUSTED_ORIGINS ${quoted(origin)} has a scheme, and Django ${profile.version} compares hosts: it matches nothing`,
      )
    }
  }
  return origins
}

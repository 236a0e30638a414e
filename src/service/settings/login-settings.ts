import { quoted } from '../../checks/quoted.ts'
import { lenientPath } from '../../django/path-info.ts'
import type { SettingName } from './definitions.ts'
import type { Environment } from './environment.ts'

export interface LoginSettings {
  /** SERVE_LOGIN: whether this service has the login and logout pages. */
  readonly isServed: boolean
  /** LOGIN_URL: a path, or a URL of another site. With SERVE_LOGIN, the login page is at this path. */
  readonly loginUrl: string
  /** LOGIN_REDIRECT_URL: the target of a login without `next`. */
  readonly loginRedirectUrl: string
  /** LOGOUT_REDIRECT_URL; null for the page that confirms the logout. */
  readonly logoutRedirectUrl: string | null
  /** DJANGO_BASE_URL: the prefix of links to pages of Django; '' for the same origin. */
  readonly djangoBaseUrl: string
  readonly tries: TriesSettings
}

/** How many logins may fail. */
export interface TriesSettings {
  /** LOGIN_TRIES_BY_NAME */
  readonly byName: number
  /** LOGIN_TRIES_BY_ADDRESS */
  readonly byAddress: number
  /** LOGIN_TRIES_WINDOW, seconds. */
  readonly window: number
}

export function readLoginSettings(environment: Environment, problems: string[]): LoginSettings {
  function url(name: SettingName): string | null {
    const text = environment.text(name)
    if (text !== null && !/^(?:https?:\/)?\/[\x21-\x7e]*$/i.test(text)) {
      // Django also takes names of URL patterns, which only Django can look up.
      problems.push(
        `${name} ${quoted(text)} is neither a path nor a URL; write the path of that URL pattern, e.g. /accounts/login/`,
      )
    }
    return text
  }
  const loginUrl = url('LOGIN_URL') ?? '/accounts/login/'
  // Without empty segments and dot segments: servers differ in reading them.
  const isPath = /^\/[\w./~-]*$/.test(loginUrl) && lenientPath(loginUrl) === loginUrl
  // With an upstream, Django's own pages stay, unless SERVE_LOGIN is set.
  const isServed = environment.boolean('SERVE_LOGIN', isPath && environment.text('DJANGO_UPSTREAM') === null)
  if (isServed && !isPath) {
    problems.push(
      'LOGIN_URL is not a plain path of this site, and SERVE_LOGIN is True; set LOGIN_URL to a path',
    )
  }
  return {
    isServed,
    loginUrl,
    loginRedirectUrl: url('LOGIN_REDIRECT_URL') ?? '/',
    logoutRedirectUrl: url('LOGOUT_REDIRECT_URL'),
    djangoBaseUrl: readBaseUrl(environment, problems),
    tries: {
      byName: environment.number('LOGIN_TRIES_BY_NAME', 10),
      byAddress: environment.number('LOGIN_TRIES_BY_ADDRESS', 50),
      window: environment.number('LOGIN_TRIES_WINDOW', 900),
    },
  }
}

function readBaseUrl(environment: Environment, problems: string[]): string {
  const text = environment.text('DJANGO_BASE_URL') ?? ''
  const url = URL.parse(text)
  if (
    text === '' ||
    (url !== null && /^https?:$/.test(url.protocol) && url.search + url.hash + url.username === '')
  )
    return text.replace(/\/$/, '')
  problems.push(
    `DJANGO_BASE_URL ${quoted(text)} is not the URL of a site; write https://django.example.com, or leave it empty for the same origin`,
  )
  return ''
}

import { quoted } from '../../checks/quoted.ts'
import { lenientPath } from '../../django/path-info.ts'
import type { SettingName } from './definitions.ts'
import type { Environment } from './environment.ts'

export interface LoginSettings {
  /** SERVE_LOGIN: whether the login and logout pages are ours. */
  readonly isServed: boolean
  /** LOGIN_URL: a path, or a URL elsewhere. Where it is a path and the page is ours, it is there. */
  readonly loginUrl: string
  /** LOGIN_REDIRECT_URL: where a login without `next` leads. */
  readonly loginRedirectUrl: string
  /** LOGOUT_REDIRECT_URL; null for the page that says so. */
  readonly logoutRedirectUrl: string | null
  /** DJANGO_BASE_URL: what stands before the paths that Django serves; '' for the same origin. */
  readonly djangoBaseUrl: string
  readonly tries: TriesSettings
}

/** How many tries to log in may fail. */
export interface TriesSettings {
  /** LOGIN_TRIES_BY_NAME */
  readonly byName: number
  /** LOGIN_TRIES_BY_ADDRESS */
  readonly byAddress: number
  /** LOGIN_TRIES_WINDOW, seconds. */
  readonly window: number
}

export function readLoginSettings(environment: Environment, problems: string[]): LoginSettings {
  const count = (name: SettingName, byDefault: number) =>
    environment.number(name, byDefault, { min: 1, max: 1_000_000 })
  function url(name: SettingName): string | null {
    const text = environment.text(name)
    if (text !== null && !/^(?:https?:\/)?\/[\x21-\x7e]*$/i.test(text)) {
      // Django takes names of URL patterns, too, which only it can look up.
      problems.push(
        `${name} ${quoted(text)} is no path and no URL; write what it stands for, e.g. /accounts/login/`,
      )
    }
    return text
  }
  const loginUrl = url('LOGIN_URL') ?? '/accounts/login/'
  // No segment that is empty or dots: servers disagree about those.
  const isPath = /^\/[\w./~-]*$/.test(loginUrl) && lenientPath(loginUrl) === loginUrl
  // With Django behind us its own pages stay until they are asked for here.
  const isServed = environment.boolean('SERVE_LOGIN', isPath && environment.text('DJANGO_UPSTREAM') === null)
  if (isServed && !isPath) {
    problems.push('LOGIN_URL is no plain path of this site, and SERVE_LOGIN is True; set LOGIN_URL to a path')
  }
  return {
    isServed,
    loginUrl,
    loginRedirectUrl: url('LOGIN_REDIRECT_URL') ?? '/',
    logoutRedirectUrl: url('LOGOUT_REDIRECT_URL'),
    djangoBaseUrl: readBaseUrl(environment, problems),
    tries: {
      byName: count('LOGIN_TRIES_BY_NAME', 10),
      byAddress: count('LOGIN_TRIES_BY_ADDRESS', 50),
      window: count('LOGIN_TRIES_WINDOW', 900),
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
    `DJANGO_BASE_URL ${quoted(text)} is no URL of a site; write https://django.example.com, or nothing for the same origin`,
  )
  return ''
}

import { type Form, type FormLimits, readWebForm } from '../http/form.ts'
import type { SessionClient } from '../session/engine.ts'
import type { SiteRequest } from '../site/site-request.ts'

/** What the framework knows of a request better than its URL and headers. */
export interface FetchRequestInfo {
  /** Whether the visitor's browser used HTTPS. */
  readonly isSecure?: boolean
  /** The host that the browser asked for, with its port unless that is the default. */
  readonly host?: string
  /** The visitor's address, for engines that store it. */
  readonly ip?: string
}

/** A `Request` of the Web, for a Django site. */
export class FetchSiteRequest implements SiteRequest {
  readonly #request: Request
  readonly #info: FetchRequestInfo
  readonly #proxy: TrustedProxy

  constructor(request: Request, { info, proxy }: { info: FetchRequestInfo; proxy: TrustedProxy }) {
    this.#request = request
    this.#info = info
    this.#proxy = proxy
  }

  get method(): string {
    return this.#request.method
  }

  /** Source: django/http/request.py, HttpRequest.scheme. */
  get isSecure(): boolean {
    if (this.#info.isSecure !== undefined) return this.#info.isSecure
    const header = this.#proxy.secureProxySslHeader
    const sent = header === null ? undefined : this.header(header[0].toLowerCase())
    // Django takes the first of several values.
    if (header !== null && sent !== undefined) return sent.split(',')[0]?.trim() === header[1]
    return new URL(this.#request.url).protocol === 'https:'
  }

  /** Source: django/http/request.py, HttpRequest._get_raw_host. */
  get host(): string {
    const { host } = this.#info
    if (host !== undefined) return host
    const forwarded = this.#proxy.useXForwardedHost ? this.header('x-forwarded-host') : undefined
    return forwarded ?? this.header('host') ?? new URL(this.#request.url).host
  }

  get client(): SessionClient {
    return { ip: this.#info.ip ?? null, userAgent: this.header('user-agent') ?? '' }
  }

  header(name: string): string | undefined {
    return this.#request.headers.get(name) ?? undefined
  }

  readForm(limits?: FormLimits): Promise<Form> {
    return readWebForm(this.#request, limits)
  }
}

export interface TrustedProxy {
  readonly secureProxySslHeader: readonly [name: string, value: string] | null
  readonly useXForwardedHost: boolean
}

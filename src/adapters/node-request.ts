import type { IncomingMessage } from 'node:http'
import { clientOf } from '../http/client-info.ts'
import { type Form, type FormLimits, formOfParsed, readNodeForm } from '../http/form.ts'
import type { SiteRequest } from '../site/site-request.ts'

/** What a framework knows of a request better than Node: it considers proxies, and may have parsed the body. */
export interface FrameworkRequest {
  readonly isSecure: () => boolean
  readonly host: () => string
  readonly ip: () => string | undefined
  /** The parsed body; undefined where it was not parsed. */
  readonly body: () => unknown
}

/** A request of Node's, for a Django site. */
export class NodeSiteRequest implements SiteRequest {
  readonly #request: IncomingMessage
  readonly #framework: FrameworkRequest

  constructor(request: IncomingMessage, framework: FrameworkRequest) {
    this.#request = request
    this.#framework = framework
  }

  get method(): string {
    return this.#request.method ?? 'GET'
  }

  get isSecure(): boolean {
    return this.#framework.isSecure()
  }

  get host(): string {
    return this.#framework.host()
  }

  get client(): ReturnType<typeof clientOf> {
    return clientOf(this.#request, this.#framework.ip)
  }

  header(name: string): string | undefined {
    const value = this.#request.headers[name]
    return Array.isArray(value) ? value.join(', ') : value
  }

  /** A body that the framework has parsed is used as it is: its limits were the framework's. */
  async readForm(limits?: FormLimits): Promise<Form> {
    const body = this.#framework.body()
    return typeof body === 'object' && body !== null
      ? formOfParsed(body)
      : readNodeForm(this.#request, limits)
  }
}

import type { IncomingMessage } from 'node:http'
import { clientOf } from '../http/client-info.ts'
import { type Form, type FormLimits, formOfParsed, readNodeForm } from '../http/form.ts'
import type { SiteRequest } from '../site/site-request.ts'

/** What a request of Express or Fastify knows better than Node's: it considers proxies, and its body may be parsed. */
export interface FrameworkRequest {
  readonly protocol?: unknown
  readonly host?: unknown
  readonly ip?: unknown
  readonly body?: unknown
}

/** A request of Node's, for a Django site. What the framework does not know is read from the socket. */
export class NodeSiteRequest implements SiteRequest {
  readonly #request: IncomingMessage
  readonly #framework: FrameworkRequest

  /** Express' request is Node's own, with more properties; Fastify's is another object. */
  constructor(request: IncomingMessage & FrameworkRequest, framework: FrameworkRequest = request) {
    this.#request = request
    this.#framework = framework
  }

  get method(): string {
    return this.#request.method ?? 'GET'
  }

  get isSecure(): boolean {
    const { protocol } = this.#framework
    return typeof protocol === 'string' ? protocol === 'https' : 'encrypted' in this.#request.socket
  }

  get host(): string {
    const { host } = this.#framework
    return typeof host === 'string' ? host : (this.#request.headers.host ?? '')
  }

  get client(): ReturnType<typeof clientOf> {
    return clientOf(this.#request, () => {
      const { ip } = this.#framework
      return typeof ip === 'string' ? ip : this.#request.socket.remoteAddress
    })
  }

  header(name: string): string | undefined {
    const value = this.#request.headers[name]
    return Array.isArray(value) ? value.join(', ') : value
  }

  /** A body that the framework has parsed is used as it is: its limits were the framework's. */
  async readForm(limits?: FormLimits): Promise<Form> {
    const { body } = this.#framework
    return typeof body === 'object' && body !== null
      ? formOfParsed(body)
      : readNodeForm(this.#request, limits)
  }
}

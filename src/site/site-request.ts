import type { Auth, Credentials } from '../auth/auth.ts'
import type { User } from '../auth/user.ts'
import { createVisitor, type Visitor } from '../auth/visitor.ts'
import type { Csrf, CsrfRequests } from '../http/csrf.ts'
import type { Form, FormLimits } from '../http/form.ts'
import type { Messages, MessagesRequests } from '../http/messages.ts'
import type { ResponseHeaders } from '../http/response-headers.ts'
import type { SessionRequests } from '../http/session-exchange.ts'
import type { SessionClient } from '../session/engine.ts'
import type { SessionHandle } from '../session/handle.ts'

/** A request as a Django site needs it, whatever framework it came through. Each part is asked for only when it is needed. */
export interface SiteRequest {
  readonly method: string
  /** Whether the visitor's browser used HTTPS. */
  readonly isSecure: boolean
  /** The host that the browser asked for, with its port unless that is the default; '' when it is not known. */
  readonly host: string
  /** For engines that store the address and the browser of a session. */
  readonly client?: SessionClient
  /** The header of this name in lower case; several of one name are joined by commas, as Node does. */
  header(name: string): string | undefined
  /** The form in the body; each call returns the same. */
  readForm(limits?: FormLimits): Promise<Form>
}

/** A request to a Django site: its session and its visitor. */
export interface DjangoRequest extends Visitor {
  /** Not yet loaded: `const session = await request.django.session.load()`. */
  readonly session: SessionHandle
  /** The user with this name and password, or null; see `Auth`. */
  authenticate(credentials: Credentials): Promise<User | null>
}

/** A request with all that a Django view has of it: also its CSRF token, its messages and its form. */
export interface DjangoExchange extends DjangoRequest {
  /** The token against cross-site request forgery; `await csrf.check()` refuses a request without a valid one. */
  readonly csrf: Csrf
  /** django.contrib.messages: notes to the visitor, shown once, on whichever side shows a page next. */
  readonly messages: Messages
  /**
   * The form in the request's body, urlencoded or multipart; empty for any other type of body, which is left unread.
   * @throws {RequestDataTooBig} {TooManyFieldsSent} {TooManyFilesSent} {UnreadablePost}
   */
  form(limits?: FormLimits): Promise<Form>
}

/** An opened request: what its handler uses, and what the adapter calls when it ends. */
export interface OpenedExchange {
  readonly django: DjangoExchange
  /**
   * To be called once, when the status is known and before headers are sent: stores messages, the CSRF secret and the
   * session, and returns the headers for them. If it throws, the response must be an error.
   * @throws {SessionInterrupted} with the status 400.
   */
  respond(status: number): Promise<readonly ResponseHeaders[]>
}

/** Opens requests as Django's MIDDLEWARE does: sessions, CSRF, users and messages, in this order. */
export function createExchanges({
  requests,
  auth,
  csrf: csrfRequests,
  messages: messagesRequests,
  usesCsrfSessions,
}: {
  requests: SessionRequests
  auth: Auth
  csrf: CsrfRequests
  messages: MessagesRequests
  usesCsrfSessions: boolean
}): (request: SiteRequest) => Promise<OpenedExchange> {
  return async function openExchange(request) {
    const opened = requests.open(request.header('cookie'), request.client)
    const { session } = opened
    const csrf = await csrfRequests.open(new SiteCsrfRequest(request, usesCsrfSessions ? session : null))
    const messages = messagesRequests.open({ cookieHeader: request.header('cookie'), session })
    const shown: ResponseHeaders[] = []
    return {
      django: {
        session,
        ...createVisitor(auth, session, csrf.csrf),
        authenticate: auth.authenticate,
        csrf: csrf.csrf,
        messages: {
          ...messages.messages,
          take() {
            if (shown.length === 0) shown.push({ setCookie: null, vary: messagesRequests.vary })
            return messages.messages.take()
          },
        },
        form: (limits) => request.readForm(limits),
      },
      // From the inside out: messages and CSRF may store in the session, which is saved last.
      async respond(status) {
        const headers = [...shown, await messages.respond(), await csrf.respond()]
        return [...headers, await opened.respond(status)]
      },
    }
  }
}

/** A class, because V8 gives each object literal with getters a hidden class of its own. */
class SiteCsrfRequest {
  readonly session: SessionHandle | null
  readonly #request: SiteRequest

  constructor(request: SiteRequest, session: SessionHandle | null) {
    this.session = session
    this.#request = request
  }

  get method(): string {
    return this.#request.method
  }

  get isSecure(): boolean {
    return this.#request.isSecure
  }

  get host(): string {
    return this.#request.host
  }

  header(name: string): string | undefined {
    return this.#request.header(name)
  }

  async readField(name: string): Promise<string | undefined> {
    return (await this.#request.readForm()).get(name)
  }
}

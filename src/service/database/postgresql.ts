import type { Duplex } from 'node:stream'
import type { Knex } from 'knex'
import type pg from 'pg'
import { APPLICATION_NAME } from '../settings/database-postgresql.ts'
import type { PostgresqlSettings } from '../settings/database-settings.ts'
import { DatabaseMismatch, query, type ServerDialect, UnfitServer } from './connection.ts'
import { createPreparedStatements } from './prepared-statements.ts'
import { lackOfTls, refusedCertificate, secureOptions } from './tls.ts'

/** pg's options, except the host. */
export function postgresqlConnection(
  settings: PostgresqlSettings,
): Knex.PgConnectionConfig & Pick<pg.ClientConfig, 'enableChannelBinding'> {
  const { user, password, database, options } = settings
  return {
    ...(user !== '' && { user }),
    ...(password !== '' && { password }),
    database,
    ...(options !== null && { options }),
    keepAlive: true,
    enableChannelBinding: settings.requiresChannelBinding,
    ...(settings.tls?.isDirect && { sslnegotiation: 'direct' }),
  }
}

/**
 * Startup parameters of each connection. A pooler such as PgBouncer tracks them for each of its clients. It does not
 * track a `SET`: with transaction pooling it would stay on a server connection that Django gets next. The text of a
 * timestamp depends on the first two. Source: django/db/backends/postgresql/base.py, get_connection_params and
 * ensure_timezone; PgBouncer's `track_extra_parameters`.
 */
const PARAMETERS = { DateStyle: 'ISO', TimeZone: 'UTC', client_encoding: 'UTF8' }

/** pg's client, with members that its types leave out. */
interface PgClient extends Omit<pg.Client, 'connect' | 'query'> {
  connection: pg.Connection & { readonly stream: Duplex }
  processID: number
  secretKey: number
  saslSession: unknown
  getStartupConf(): object
  connect(): Promise<void>
  query(statement: string | Query | pg.Query, callback?: Callback): unknown
}

/** As Knex sends it: without other members, unless its caller gave `options`. */
interface Query {
  readonly text: string
  readonly values?: unknown[]
}

type Callback = (error: unknown, result?: unknown) => void

/**
 * pg with a client that sends PARAMETERS, closes its socket after an error, checks the authentication method, and prepares
 * the statements that it runs often.
 */
export function postgresqlDriver(driver: typeof pg, settings: PostgresqlSettings): typeof pg {
  const Client = driver.Client as unknown as new (...config: unknown[]) => PgClient
  const prepared = createPreparedStatements(settings.prepareThreshold)
  class SetUpClient extends Client {
    private isInTransaction = false

    constructor(...config: unknown[]) {
      super(...config)
      guardAuthentication(this, settings)
    }

    /** Unlike pg's, which leaves the socket open after a message that it cannot parse. */
    override async connect(): Promise<void> {
      try {
        await super.connect()
      } catch (error) {
        this.connection.stream.destroy()
        throw error
      }
    }

    /** A name that the server refuses would abort a transaction, so only a statement of its own has one. */
    override query(statement: string | Query, callback?: Callback): unknown {
      const text = typeof statement === 'string' ? statement : statement.text
      if (BEGINS.test(text)) this.isInTransaction = true
      else if (ENDS.test(text)) this.isInTransaction = false
      if (callback === undefined || typeof statement === 'string' || this.isInTransaction)
        return super.query(statement, callback)
      const hasOptions = Object.keys(statement).length > 2
      const name = hasOptions ? undefined : prepared.nameOf(text)
      if (name === undefined) return super.query(statement, callback)
      // Made here, because pg copies what is not yet its Query, which takes as long as the rest of its work for one.
      const query = new driver.Query(text, statement.values, (error: unknown, result: unknown) => {
        if (prepared.isNameRefused(error, text)) super.query(statement, callback)
        else callback(error, result)
      })
      return super.query(Object.assign(query, { name }))
    }

    override getStartupConf(): object {
      return { ...super.getStartupConf(), ...PARAMETERS }
    }
  }
  return { ...driver, Client: SetUpClient as unknown as typeof pg.Client }
}

const BEGINS = /^(?:begin|start transaction)\b/i
const ENDS = /^(?:commit|rollback(?! to\b)|end)\b/i

/** Closes a connection whose server authenticates in a way that the URL excludes. */
function refuse({ connection }: PgClient, what: string): void {
  // Immediately: the server may already have reported success.
  connection.emit(
    'error',
    new DatabaseMismatch(
      `the server ${what}, which require_auth or channel_binding in the URL of the database excludes; ` +
        'change pg_hba.conf to a method that they allow, or change them to what the server uses',
    ),
  )
}

/**
 * Closes the connection before any proof of the password is sent. pg itself accepts every authentication method, and
 * takes a SASL exchange for a success when the server ends it early.
 * Source: src/interfaces/libpq/fe-auth.c, check_expected_areq.
 */
function guardAuthentication(client: PgClient, settings: PostgresqlSettings): void {
  const { authMethods, requiresChannelBinding } = settings
  if (authMethods === null && !requiresChannelBinding) return
  let asked = 'none'
  const check = (method: string, isBound: boolean): void => {
    asked = method
    if (authMethods !== null && !authMethods.includes(method)) refuse(client, `asks for ${method}`)
    else if (requiresChannelBinding && !isBound) refuse(client, `asks for ${method} without channel binding`)
  }
  // These run before pg's own listeners, which are added on connecting.
  const on = (event: string, listener: (message: { mechanisms?: string[] }) => void): void => {
    client.connection.on(event as 'end', listener as () => void)
  }
  on('authenticationCleartextPassword', () => check('password', false))
  on('authenticationMD5Password', () => check('md5', false))
  on('authenticationSASL', ({ mechanisms }) =>
    check('scram-sha-256', mechanisms?.includes('SCRAM-SHA-256-PLUS') ?? false),
  )
  on('authenticationOk', () => {
    if (asked === 'none') check('none', false)
    else if (asked === 'scram-sha-256' && client.saslSession !== null)
      refuse(client, 'ends scram-sha-256 early')
  })
}

/** How a connection to PostgreSQL is made. `driver` returns the loaded pg, with which statements are cancelled. */
export function postgresqlDialect(settings: PostgresqlSettings, driver: () => typeof pg): ServerDialect {
  const { tls, timeout } = settings
  const ssl = tls !== null && {
    ...secureOptions(tls),
    ...(tls.verify !== 'host' && { checkServerIdentity: () => undefined }),
  }
  const isNamed = settings.applicationName !== APPLICATION_NAME
  /** Whether the server accepts the startup parameter `statement_timeout`; PgBouncer may refuse it. */
  let acceptsLimit = true
  return {
    protocol: 'postgresql',
    // libpq does not encrypt a Unix socket, whatever sslmode says.
    encrypts: ({ host }) => tls !== null && tls.use !== 'allowed' && !host.startsWith('/'),

    address: ({ host, port }, { milliseconds, isEncrypted }) => ({
      host,
      port,
      connectionTimeoutMillis: milliseconds,
      statement_timeout: acceptsLimit ? timeout * 1000 : undefined,
      // PgBouncer would keep it for clients that set none, such as Django.
      application_name: acceptsLimit || isNamed ? settings.applicationName : undefined,
      ssl: isEncrypted && ssl,
    }),

    retryAfter(error, { isEncrypted }) {
      if (!(error instanceof Error)) return null
      // Several connections may be refused at the same time.
      if (UNSUPPORTED_LIMIT.test(error.message)) {
        acceptsLimit = false
        return { isEncrypted }
      }
      const parameter = UNSUPPORTED_PARAMETER.exec(error.message)?.[1]
      if (parameter !== undefined) throw new DatabaseMismatch(unsupportedText(parameter), { cause: error })
      if (isEncrypted) {
        const refused = refusedCertificate(error, 'sslrootcert')
        if (refused !== null) throw refused
        if (tls?.use === 'preferred' && isLackOfTls(error)) return { isEncrypted: false }
        if (NO_TLS.test(error.message)) throw lackOfTls('sslmode', error)
      }
      if (!isEncrypted && tls?.use === 'allowed' && isRefusal(error)) return { isEncrypted: true }
      return null
    },

    async setUp(connection) {
      // For this connection only: pg's own parsers are global, and a Date would lose the microseconds.
      for (const type of TEXT_TYPES) connection.setTypeParser?.(type, String)
      if (!settings.writableOnly) return 0
      // On a standby it is "on", too. Source: libpq's target_session_attrs=read-write.
      const [row] = await query(connection, 'SHOW transaction_read_only')
      if (row?.transaction_read_only !== 'off') throw new UnfitServer('is read-only', { code: '25006' })
      return 0
    },

    /**
     * A pooler may accept `statement_timeout` and ignore it. Closing the connection does not end a statement that waits
     * for a lock: it would run later. Source: PostgreSQL's manual, "Canceling Requests in Progress".
     */
    cancel(connection, { host, port }) {
      const { processID, secretKey, connection: original } = connection as unknown as PgClient
      const isEncrypted = 'encrypted' in original.stream && original.stream.encrypted === true
      const isDirect = isEncrypted && tls?.isDirect === true
      const canceller = new (driver().Connection as unknown as new (config: object) => Canceller)({
        ssl: isEncrypted && ssl,
        sslNegotiation: isDirect ? 'direct' : 'postgres',
      })
      const send = (): void => canceller.cancel(processID, secretKey)
      canceller.on('connect', () => (isEncrypted ? isDirect || canceller.requestSsl() : send()))
      canceller.on('sslconnect', send)
      canceller.on('error', () => {}) // The connection is closed a moment later.
      if (host.startsWith('/')) canceller.connect(`${host}/.s.PGSQL.${port}`)
      else canceller.connect(port, host)
      // The server closes it after reading the request.
      setTimeout(() => canceller.stream.destroy(), CANCEL_TIMEOUT).unref()
    },
  }
}

/** pg's protocol handler, without a client. */
interface Canceller {
  readonly stream: Duplex
  connect(portOrPath: number | string, host?: string): void
  requestSsl(): void
  cancel(processID: number, secretKey: number): void
  on(event: string, listener: () => void): void
}

const CANCEL_TIMEOUT = 5000

/** date, timestamp, timestamptz and int8, by their OIDs in pg_type. */
const TEXT_TYPES = [1082, 1114, 1184, 20]

/** PgBouncer's message; its code is 08P01. */
const UNSUPPORTED_PARAMETER = /unsupported startup parameter(?: in options)?: (\w+)/

/** The one that `address` sends; in `options` it is the URL's. */
const UNSUPPORTED_LIMIT = /unsupported startup parameter: statement_timeout\b/

function unsupportedText(parameter: string): string {
  return (
    `a pooler such as PgBouncer, in front of the server, does not take the parameter ${parameter}; ` +
    'leave currentSchema, options and assume_role out of the URL of the database, and set them for its user instead: ' +
    'ALTER ROLE … SET search_path = …, which a Django behind that pooler needs, too'
  )
}

/** pg's message. */
const NO_TLS = /does not support SSL connections$/

/** The server does not support TLS, or no common version of it, or accepts this client without TLS only. */
function isLackOfTls(error: Error): boolean {
  if (NO_TLS.test(error.message) || /error establishing an SSL connection$/.test(error.message)) return true
  return 'code' in error && /^(28000|ERR_SSL|ERR_TLS|EPROTO)/.test(String(error.code))
}

/** pg_hba.conf has no entry for this connection, or a pooler requires TLS. */
function isRefusal(error: Error): boolean {
  return 'code' in error && (error.code === '28000' || error.code === '08P01')
}

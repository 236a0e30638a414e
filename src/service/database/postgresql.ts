import type { Duplex } from 'node:stream'
import type { Knex } from 'knex'
import type pg from 'pg'
import { APPLICATION_NAME } from '../settings/database-postgresql.ts'
import type { PostgresqlSettings } from '../settings/database-settings.ts'
import { DatabaseMismatch, query, type ServerDialect, UnfitServer } from './connection.ts'
import { lackOfTls, refusedCertificate, secureOptions } from './tls.ts'

/** What pg's client is told, but for the host. */
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
 * Parameters of each connection, which a pooler such as PgBouncer keeps for each of its clients. A `SET` it would not:
 * in transaction pooling it would stay on a connection that Django gets next. A time stamp's text depends on the
 * first two. Source: django/db/backends/postgresql/base.py, get_connection_params and ensure_timezone; PgBouncer's
 * `track_extra_parameters`.
 */
const PARAMETERS = { DateStyle: 'ISO', TimeZone: 'UTC', client_encoding: 'UTF8' }

/** What pg has and its types do not. */
interface PgClient extends Omit<pg.Client, 'connect'> {
  connection: pg.Connection & { readonly stream: Duplex }
  processID: number
  secretKey: number
  saslSession: unknown
  getStartupConf(): object
  connect(): Promise<void>
}

/** pg, with clients that send our parameters, end with an error, and check how the server asks for the password. */
export function postgresqlDriver(driver: typeof pg, settings: PostgresqlSettings): typeof pg {
  const Client = driver.Client as unknown as new (...config: unknown[]) => PgClient
  class SetUpClient extends Client {
    constructor(...config: unknown[]) {
      super(...config)
      guardAuthentication(this, settings)
    }

    /** Unlike pg's, which leaves the socket open when it does not understand what it reads. */
    override async connect(): Promise<void> {
      try {
        await super.connect()
      } catch (error) {
        this.connection.stream.destroy()
        throw error
      }
    }

    override getStartupConf(): object {
      return { ...super.getStartupConf(), ...PARAMETERS }
    }
  }
  return { ...driver, Client: SetUpClient as unknown as typeof pg.Client }
}

/** Ends a connection whose server authenticates in a way that the URL excludes. */
function refuse({ connection }: PgClient, what: string): void {
  // At once: the server may already have said that we are in.
  connection.emit(
    'error',
    new DatabaseMismatch(
      `the server ${what}, which require_auth or channel_binding in the URL of the database excludes; ` +
        'set up pg_hba.conf for what they ask, or write what the server has',
    ),
  )
}

/**
 * Ends the connection before anything that proves the password is sent. pg takes every way to authenticate; and a SASL
 * exchange that the server breaks off as if it had succeeded.
 * Source: src/interfaces/libpq/fe-auth.c, check_expected_areq.
 */
function guardAuthentication(client: PgClient, settings: PostgresqlSettings): void {
  const { authMethods, requiresChannelBinding } = settings
  if (authMethods === null && !requiresChannelBinding) return
  let asked = 'none'
  const take = (method: string, isBound: boolean): void => {
    asked = method
    if (authMethods !== null && !authMethods.includes(method)) refuse(client, `asks for ${method}`)
    else if (requiresChannelBinding && !isBound) refuse(client, `asks for ${method} without channel binding`)
  }
  // Before pg's own listeners, which come when it connects.
  const on = (event: string, listener: (message: { mechanisms?: string[] }) => void): void => {
    client.connection.on(event as 'end', listener as () => void)
  }
  on('authenticationCleartextPassword', () => take('password', false))
  on('authenticationMD5Password', () => take('md5', false))
  on('authenticationSASL', ({ mechanisms }) =>
    take('scram-sha-256', mechanisms?.includes('SCRAM-SHA-256-PLUS') ?? false),
  )
  on('authenticationOk', () => {
    if (asked === 'none') take('none', false)
    else if (asked === 'scram-sha-256' && client.saslSession !== null)
      refuse(client, 'breaks off scram-sha-256')
  })
}

/** How a connection to PostgreSQL is made, and by `driver` a statement is cancelled. */
export function postgresqlDialect(settings: PostgresqlSettings, driver: () => typeof pg): ServerDialect {
  const { tls, timeout } = settings
  const ssl = tls !== null && {
    ...secureOptions(tls),
    ...(tls.verify !== 'host' && { checkServerIdentity: () => undefined }),
  }
  const isNamed = settings.applicationName !== APPLICATION_NAME
  /** Whether the server takes `statement_timeout`; PgBouncer refuses to be told. */
  let isLimitTaken = true
  return {
    protocol: 'postgresql',
    // libpq does not encrypt what goes through a socket of the machine, whatever sslmode says.
    encrypts: ({ host }) => tls !== null && tls.use !== 'allowed' && !host.startsWith('/'),

    address: ({ host, port }, { milliseconds, isEncrypted }) => ({
      host,
      port,
      connectionTimeoutMillis: milliseconds,
      statement_timeout: isLimitTaken ? timeout * 1000 : undefined,
      // PgBouncer lets it stay for clients that have none, as Django.
      application_name: isLimitTaken || isNamed ? settings.applicationName : undefined,
      ssl: isEncrypted && ssl,
    }),

    again(error, { isEncrypted }) {
      if (!(error instanceof Error)) return null
      const parameter = UNSUPPORTED_PARAMETER.exec(error.message)?.[1]
      if (parameter === 'statement_timeout' && isLimitTaken) {
        isLimitTaken = false
        return { isEncrypted }
      }
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
      // On these connections only: pg's own parsers are global, and make a Date of what has microseconds.
      for (const type of TEXT_TYPES) connection.setTypeParser?.(type, String)
      if (!settings.writableOnly) return
      // Also "on" for a standby. Source: libpq's target_session_attrs=read-write.
      const [row] = await query(connection, 'SHOW transaction_read_only')
      if (row?.transaction_read_only !== 'off') throw new UnfitServer('is read-only', { code: '25006' })
    },

    /**
     * A pooler may take `statement_timeout` and drop it, and to lose the connection does not end a statement that waits
     * for a lock: it would be carried out later. Source: PostgreSQL's manual, "Canceling Requests in Progress".
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
      canceller.on('error', () => {}) // the connection is given up, then
      if (host.startsWith('/')) canceller.connect(`${host}/.s.PGSQL.${port}`)
      else canceller.connect(port, host)
      // The server ends it once it has read the request.
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

/** date, timestamp, timestamptz, int8: by their numbers in pg_type. */
const TEXT_TYPES = [1082, 1114, 1184, 20]

/** PgBouncer's, with the code 08P01. */
const UNSUPPORTED_PARAMETER = /unsupported startup parameter(?: in options)?: (\w+)/

function unsupportedText(parameter: string): string {
  return (
    `a pooler such as PgBouncer stands before the server, and does not take the parameter ${parameter}; ` +
    'leave currentSchema, options and assume_role out of the URL of the database, and give them to its user: ' +
    'ALTER ROLE … SET search_path = …, as a Django behind that pooler needs it, too'
  )
}

/** pg's. */
const NO_TLS = /does not support SSL connections$/

/** The server has no TLS, or none that we can do with, or takes this client only in clear. */
function isLackOfTls(error: Error): boolean {
  if (NO_TLS.test(error.message) || /error establishing an SSL connection$/.test(error.message)) return true
  return 'code' in error && /^(28000|ERR_SSL|ERR_TLS|EPROTO)/.test(String(error.code))
}

/** pg_hba.conf has no line for this connection, or a pooler wants TLS. */
function isRefusal(error: Error): boolean {
  return 'code' in error && (error.code === '28000' || error.code === '08P01')
}

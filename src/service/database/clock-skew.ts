import type { Knex } from 'knex'
import type { DatabaseKind } from '../../django/datetime.ts'

/**
 * Returns how many seconds the database's clock is ahead of this machine's, measured at the middle of a round trip.
 * Django and this service compare `expire_date` with their own machines' clocks. A large skew means that the machines
 * disagree on when a session expires.
 */
export async function measureClockSkew(
  db: Knex,
  kind: DatabaseKind,
  { now = () => new Date() }: { now?: () => Date } = {},
): Promise<number> {
  const read = async (): Promise<number> => Number((await db.select(db.raw(SECONDS[kind])).first()).seconds)
  await read() // Opens a connection, so that the measured round trip is of the statement alone.
  const sent = now().getTime()
  const databaseSeconds = await read()
  return databaseSeconds - (sent + now().getTime()) / 2000
}

/** Seconds since 1970 by the server's clock, whatever the time zone of its session. */
const SECONDS: Readonly<Record<DatabaseKind, string>> = {
  mysql: "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) / 1e6 AS seconds",
  postgresql: 'extract(epoch FROM clock_timestamp()) AS seconds',
  sqlite: "(julianday('now') - 2440587.5) * 86400 AS seconds",
}

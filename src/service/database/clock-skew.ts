import type { Knex } from 'knex'
import type { DatabaseKind } from '../../django/datetime.ts'

/**
 * How many seconds the database's clock is ahead of ours, judged at the middle of a round trip. Django and we compare
 * `expire_date` with our own clocks; a large skew says that some of the machines disagree on when a session ends.
 */
export async function measureClockSkew(
  db: Knex,
  kind: DatabaseKind,
  { now = () => new Date() }: { now?: () => Date } = {},
): Promise<number> {
  const read = async (): Promise<number> => Number((await db.select(db.raw(SECONDS[kind])).first()).seconds)
  await read() // So that below a connection is there: the round trip is that of a statement alone.
  const sent = now().getTime()
  const theirs = await read()
  return theirs - (sent + now().getTime()) / 2000
}

/** Seconds since 1970 by the server's clock, whatever the time zone of its session. */
const SECONDS: Readonly<Record<DatabaseKind, string>> = {
  mysql: "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) / 1e6 AS seconds",
  postgresql: 'extract(epoch FROM clock_timestamp()) AS seconds',
  sqlite: "(julianday('now') - 2440587.5) * 86400 AS seconds",
}

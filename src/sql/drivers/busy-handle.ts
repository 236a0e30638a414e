/**
 * The program has a transaction open on the handle that it shares with us: a write would become part of it, and be lost
 * with its ROLLBACK. The code is SQLite's for a lock that another connection holds, so that the write is repeated.
 */
export function busyHandle(): Error {
  const message =
    'the program has a transaction open on this database handle, which an ended save must not depend on; end the ' +
    'transaction before you await anything else, or open a second handle for the sessions'
  return Object.assign(new Error(message), { code: 'SQLITE_BUSY' })
}

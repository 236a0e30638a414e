import test from 'ava'
import * as classes from '../../src/sql/driver-errors.ts'

type Class = Exclude<keyof typeof classes, 'codeOf' | 'codesOf'>

/** An error as a driver makes it. */
type Sample =
  | { readonly mysql: readonly [name: string | undefined, number: number, sqlState: string] }
  | { readonly postgresql: string }
  | { readonly code: string; readonly message?: string }
  | { readonly message: string }
  | { readonly name: string }

/** An error of MySQL or MariaDB; mysql2 has no name for what only MariaDB has. */
const my = (name: string | undefined, number: number, sqlState = 'HY000'): Sample => ({
  mysql: [name, number, sqlState],
})
const pg = (postgresql: string): Sample => ({ postgresql })
const coded = (code: string, message = ''): Sample => ({ code, message })
const said = (message: string): Sample => ({ message })

function errorOf(sample: Sample): Error {
  if ('mysql' in sample) {
    const [code, errno, sqlState] = sample.mysql
    return Object.assign(new Error(`insert … - ${code}`), { code, errno, sqlState })
  }
  if ('postgresql' in sample)
    return Object.assign(new Error('insert … - x'), { code: sample.postgresql, severity: 'ERROR' })
  const { message = '', ...rest } = { message: '', ...sample }
  return Object.assign(new Error(message), rest)
}

/** Every class that an error is of; a class that is not named here does not hold. */
const TABLE: readonly (readonly [what: string, of: readonly Class[], samples: readonly Sample[]])[] = [
  [
    'a conflict of locks was rolled back by the server',
    ['isLockConflict', 'isNotExecuted', 'isTransientDriverError', 'isRefused'],
    [
      my('ER_LOCK_WAIT_TIMEOUT', 1205),
      my('ER_LOCK_DEADLOCK', 1213, '40001'),
      pg('40001'),
      pg('40P01'),
      pg('55P03'),
    ],
  ],
  [
    'a busy SQLite has looked at nothing yet',
    ['isLockConflict', 'isNotExecuted', 'isTransientDriverError'],
    [
      'SQLITE_BUSY',
      'SQLITE_BUSY_SNAPSHOT',
      'SQLITE_BUSY_RECOVERY',
      'SQLITE_LOCKED',
      'SQLITE_LOCKED_SHAREDCACHE',
    ].map((code) => coded(code)),
  ],
  [
    'a server without a free connection has seen no statement',
    ['isTooManyConnections', 'isNotExecuted', 'isTransientDriverError'],
    [my('ER_CON_COUNT_ERROR', 1040, '08004'), my('ER_TOO_MANY_USER_CONNECTIONS', 1203, '42000'), pg('53300')],
  ],
  [
    'a pool without a free connection has sent no statement',
    ['isPoolExhausted', 'isNotExecuted', 'isTransientDriverError'],
    [said('Queue limit reached.'), said('No connections available.')],
  ],
  [
    'a server that is not ready has executed nothing',
    ['isNotReady', 'isNotExecuted', 'isTransientDriverError'],
    [my('ER_UNKNOWN_COM_ERROR', 1047, '08S01'), pg('57P03')],
  ],
  [
    'a refused connection has carried nothing',
    ['isConnectionRefused', 'isNotExecuted', 'isTransientDriverError'],
    [coded('ECONNREFUSED')],
  ],
  [
    'a connection that had ended before has carried nothing',
    ['isNeverSent', 'isNotExecuted', 'isTransientDriverError'],
    [
      said("update … - Can't add new command when connection is in closed state"),
      said('update … - Client has encountered a connection error and is not queryable'),
      said('Client was closed and is not queryable'),
    ],
  ],
  [
    'of several hosts without a connection, the cause says whether it is transient',
    ['isNotExecuted'],
    [coded('ERR_NO_DATABASE_HOST')],
  ],
  [
    'a server that is not available may have executed the statement',
    ['isUnavailable', 'isTransientDriverError'],
    [my('ER_SERVER_OFFLINE_MODE', 3032), my('ER_SERVER_ISNT_AVAILABLE', 3168), pg('08001'), pg('08004')],
  ],
  [
    'a server without resources has refused the statement',
    ['isOutOfResources', 'isTransientDriverError', 'isRefused'],
    [
      ...[my('ER_OUTOFMEMORY', 1037, 'HY001'), my('ER_OUT_OF_RESOURCES', 1041), pg('53000'), pg('53200')],
      ...[my('ER_CANT_CREATE_THREAD', 1135), my('ER_USER_LIMIT_REACHED', 1226, '42000'), pg('53400')],
    ],
  ],
  [
    'a connection that hung up may have executed the statement',
    ['isHungUp', 'isConnectionLost', 'isTransientDriverError'],
    [
      ...['PROTOCOL_CONNECTION_LOST', 'ECONNRESET', 'ECONNABORTED', 'EPIPE'].map((code) => coded(code)),
      ...[said('select … - Connection terminated'), said('Connection terminated unexpectedly')],
    ],
  ],
  [
    'a connection that the server ended may have executed the statement',
    ['isEndedByServer', 'isConnectionLost', 'isTransientDriverError'],
    [
      ...[my('ER_SERVER_SHUTDOWN', 1053, '08S01'), my('ER_NORMAL_SHUTDOWN', 1077)],
      ...[my('ER_ABORTING_CONNECTION', 1152, '08S01'), my('ER_NEW_ABORTING_CONNECTION', 1184, '08S01')],
      ...[my(undefined, 1927, '70100'), my('ER_CLIENT_INTERACTION_TIMEOUT', 4031)],
      ...['08000', '08003', '08006', '57P01', '57P02', '57P05'].map(pg),
    ],
  ],
  [
    'a host that is not found is transient, and is not asked again at once',
    ['isTransientDriverError'],
    ['EAI_AGAIN', 'ENOTFOUND', 'EHOSTDOWN', 'EHOSTUNREACH', 'ENETDOWN', 'ENETUNREACH'].map((code) =>
      coded(code),
    ),
  ],
  [
    'a time-out of the client leaves open what was executed',
    ['isTimedOut', 'isTransientDriverError'],
    [
      ...[coded('ETIMEDOUT'), coded('PROTOCOL_SEQUENCE_TIMEOUT'), { name: 'KnexTimeoutError' }],
      ...[said('timeout expired'), said('select … - Query read timeout')],
      said('Connection terminated due to connection timeout'),
      said('timeout exceeded when trying to connect'),
    ],
  ],
  [
    'a time-out of the server was rolled back, but has used up the time for another try',
    ['isTimedOut', 'isTransientDriverError', 'isRefused'],
    [
      ...[my('ER_QUERY_INTERRUPTED', 1317, '70100'), my('ER_QUERY_TIMEOUT', 3024)],
      ...[my(undefined, 1969, '70100'), pg('57014')],
    ],
  ],
  [
    'a read-only server has refused the statement',
    ['isReadOnly', 'isTransientDriverError', 'isRefused'],
    [
      ...[my('ER_OPTION_PREVENTS_STATEMENT', 1290), my('ER_READ_ONLY_MODE', 1836)],
      ...[my('ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION', 1792, '25006'), my('ER_INNODB_READ_ONLY', 1874)],
      ...[pg('25006'), coded('SQLITE_READONLY'), coded('SQLITE_READONLY_DIRECTORY')],
    ],
  ],
  ['a read-only file system', ['isReadOnly', 'isTransientDriverError'], [coded('EROFS')]],
  [
    'a full disk of the server',
    ['isDiskFull', 'isTransientDriverError', 'isRefused'],
    [my('ER_DISK_FULL', 1021), my('ER_RECORD_FILE_FULL', 1114), pg('53100'), coded('SQLITE_FULL')],
  ],
  ['a full disk of ours', ['isDiskFull', 'isTransientDriverError'], [coded('ENOSPC'), coded('EDQUOT')]],
  [
    'a COMMIT that failed may have been done',
    ['isTransientDriverError'],
    [my('ER_ERROR_DURING_COMMIT', 1180)],
  ],
  ['an unknown error says nothing', [], [my('ER_UNKNOWN_ERROR', 1105)]],
  [
    'a key that exists',
    ['isDuplicateKey', 'isRefused'],
    [
      ...[my('ER_DUP_ENTRY', 1062, '23000'), pg('23505')],
      ...[coded('SQLITE_CONSTRAINT_PRIMARYKEY'), coded('SQLITE_CONSTRAINT_UNIQUE')],
    ],
  ],
  [
    'a NOT NULL column without a value',
    ['isMissingValue', 'isRefused'],
    [
      ...[my('ER_BAD_NULL_ERROR', 1048, '23000'), my('ER_NO_DEFAULT_FOR_FIELD', 1364)],
      ...[pg('23502'), coded('SQLITE_CONSTRAINT_NOTNULL')],
    ],
  ],
  [
    'a table that does not exist',
    ['isMissingTable', 'isRefused'],
    [
      ...[my('ER_NO_SUCH_TABLE', 1146, '42S02'), pg('42P01'), pg('3F000')],
      coded('SQLITE_ERROR', 'select … - no such table: django_session'),
    ],
  ],
  [
    'a column that does not exist',
    ['isMissingColumn', 'isRefused'],
    [
      ...[my('ER_BAD_FIELD_ERROR', 1054, '42S22'), pg('42703')],
      coded('SQLITE_ERROR', 'select … - no such column: last_login'),
    ],
  ],
  [
    'a right that the user lacks',
    ['isPermissionDenied', 'isRefused'],
    [
      ...[my('ER_TABLEACCESS_DENIED_ERROR', 1142, '42000'), pg('42501')],
      my('ER_COLUMNACCESS_DENIED_ERROR', 1143, '42000'),
    ],
  ],
  [
    'a text that the column cannot hold',
    ['isNotInCharset', 'isRefused'],
    [my('ER_CANT_AGGREGATE_2COLLATIONS', 1267), my('ER_CANNOT_CONVERT_STRING', 3854)],
  ],
  [
    'a statement that is too large, and not even read',
    ['isTooLargeForPacket', 'isTooLarge', 'isRefused'],
    [my('ER_NET_PACKET_TOO_LARGE', 1153, '08S01'), my('ER_WARN_ALLOWED_PACKET_OVERFLOWED', 1301)],
  ],
  [
    'a text that is too long for its column',
    ['isTooLongForColumn', 'isTooLarge', 'isRefused'],
    [my('ER_DATA_TOO_LONG', 1406, '22001'), pg('22001')],
  ],
  [
    'a row that is too large',
    ['isTooLarge', 'isRefused'],
    [my('ER_TOO_BIG_ROWSIZE', 1118, '42000'), pg('54000'), coded('SQLITE_TOOBIG')],
  ],
  [
    'any other error of a statement',
    ['isRefused'],
    [my('ER_PARSE_ERROR', 1064, '42000'), pg('22012'), coded('SQLITE_ERROR', 'near "x": syntax error')],
  ],
  [
    'the login, the name of the database, and the end of the server refuse no statement',
    [],
    [my('ER_ACCESS_DENIED_ERROR', 1045, '28000'), ...['28P01', '3D000', '57P04', '08P01'].map(pg)],
  ],
  ['an error of another kind', [], [coded('ERR_SOMETHING'), said('no such table'), said('timeout')]],
]

const NAMES = (Object.keys(classes) as (keyof typeof classes)[]).filter(
  (name): name is Class => name !== 'codeOf' && name !== 'codesOf',
)
const predicates: Readonly<Record<Class, classes.ErrorClass>> = classes
const classesOf = (error: unknown): Class[] => NAMES.filter((name) => predicates[name](error))

for (const [what, of, samples] of TABLE) {
  test(`${what}: ${of.join(', ') || 'of no class'}`, (t) => {
    for (const sample of samples) {
      const error = errorOf(sample)
      t.deepEqual(classesOf(error), [...of].sort(), JSON.stringify(sample))
    }
  })
}

test('the number is enough, and so is the name', (t) => {
  const numbered = Object.assign(new Error(), { code: 'ER_NAMED_OTHERWISE', errno: 1290 })
  t.true(classes.isReadOnly(numbered))
  t.true(classes.isReadOnly(Object.assign(new Error(), { code: 'ER_OPTION_PREVENTS_STATEMENT' })))
})

test('what mysql2 marks as fatal is transient, and says nothing about a statement', (t) => {
  const error = Object.assign(errorOf(my('ER_PARSE_ERROR', 1064, '42000')), { fatal: true })
  t.deepEqual(classesOf(error), ['isTransientDriverError'])
})

test('a connection that is not made is transient, whatever its code', (t) => {
  const error = Object.assign(new Error('connect'), { code: 'ENOENT', errno: -2, syscall: 'connect' })
  t.deepEqual(classesOf(error), ['isTransientDriverError'])
})

test('a value that is quoted in a message decides nothing', (t) => {
  const message = "Duplicate entry 'Connection terminated' for key 'PRIMARY'"
  const error = Object.assign(errorOf(my('ER_DUP_ENTRY', 1062, '23000')), { message })
  t.deepEqual(classesOf(error), ['isDuplicateKey', 'isRefused'])
})

test('the cause of an error is not looked at, and what is not an error is of no class', (t) => {
  t.deepEqual(classesOf(new Error('away', { cause: errorOf(coded('ECONNREFUSED')) })), [])
  for (const value of [undefined, null, 'ECONNREFUSED', { code: 'ECONNREFUSED' }])
    t.deepEqual(classesOf(value), [])
})

test('codes are texts, and numbers of servers', (t) => {
  t.deepEqual([...classes.codesOf(errorOf(my(undefined, 1927)))], [1927])
  t.deepEqual([...classes.codesOf(Object.assign(new Error(), { code: 'ENOENT', errno: -2 }))], ['ENOENT'])
  t.deepEqual([...classes.codesOf(new Error('without'))], [])
  t.is(classes.codeOf(errorOf(coded('23505'))), '23505')
  t.is(classes.codeOf('23505'), undefined)
})

test('an error of node:sqlite is of the same class as that of better-sqlite3', (t) => {
  for (const [errcode, code] of [
    [5, 'SQLITE_BUSY'],
    [517, 'SQLITE_BUSY'], // SQLITE_BUSY_SNAPSHOT
    [262, 'SQLITE_LOCKED'], // SQLITE_LOCKED_SHAREDCACHE
    [1288, 'SQLITE_READONLY'], // SQLITE_READONLY_CANTLOCK
    [13, 'SQLITE_FULL'],
    [18, 'SQLITE_TOOBIG'],
    [1299, 'SQLITE_CONSTRAINT_NOTNULL'],
    [1555, 'SQLITE_CONSTRAINT_PRIMARYKEY'],
    [2067, 'SQLITE_CONSTRAINT_UNIQUE'],
    [787, 'SQLITE_CONSTRAINT'], // SQLITE_CONSTRAINT_FOREIGNKEY
    [1, 'SQLITE_ERROR'],
  ] as const)
    t.is(classes.codeOf(Object.assign(new Error('x'), { code: 'ERR_SQLITE_ERROR', errcode })), code)
  const missing = { code: 'ERR_SQLITE_ERROR', errcode: 1 }
  t.true(classes.isMissingTable(Object.assign(new Error('no such table: a'), missing)))
  t.true(classes.isRefused(Object.assign(new Error('no such table: a'), missing)))
})

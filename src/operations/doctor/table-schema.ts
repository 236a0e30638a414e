import type { Knex } from 'knex'
import type { DatabaseKind } from '../../django/datetime.ts'
import { databaseKindOf } from '../../sql/dialect.ts'
import { selectRows } from '../../sql/executor.ts'

/** A table as its database describes it. */
export interface TableSchema {
  /** In the order of the table; empty if there is no such table, or this user has no right on it. */
  readonly columns: readonly Column[]
  readonly indexes: readonly Index[]
  /** MySQL's storage engine; null on other databases, and for a view. */
  readonly engine: { readonly name: string; readonly hasTransactions: boolean } | null
  /** A view has no indexes of its own. */
  readonly isView: boolean
}

export interface Column {
  readonly name: string
  /** As the database writes it, in lower case, e.g. `varchar(40)`. */
  readonly type: string
  /** Whether an INSERT must name it: NOT NULL without a default. */
  readonly needsValue: boolean
  /** MySQL's; null on other databases, and for a column without text. */
  readonly charset: string | null
  readonly collation: string | null
}

export interface Index {
  /** The name of the first column. */
  readonly first: string
  /** Whether it allows each value of the first column once: it is unique and has no other column. */
  readonly isUnique: boolean
}

/** Reads the schema of one table; no row of the table is read. */
export async function readTableSchema(db: Knex, table: string): Promise<TableSchema> {
  const kind = databaseKindOf(db)
  const name = kind === 'postgresql' ? db.ref(table).toQuery() : table
  const ask = (sql: string) => selectRows(db, sql, [name])
  const { columns, indexes, storage } = QUERIES[kind]
  const [row] = await ask(storage)
  if (row === undefined) return { columns: [], indexes: [], engine: null, isView: false }
  return {
    columns: (await ask(columns)).map((column) => ({
      name: String(column.name),
      type: String(column.type).toLowerCase(),
      needsValue: isTrue(column.needs_value),
      charset: textOf(column.charset),
      collation: textOf(column.collation),
    })),
    indexes: (await ask(indexes)).map((index) => ({
      first: String(index.first_column).replace(/^"(.*)"$/, '$1'),
      isUnique: isTrue(index.is_unique) && Number(index.width) === 1,
    })),
    engine:
      typeof row.engine === 'string'
        ? { name: row.engine, hasTransactions: row.has_transactions !== 'NO' }
        : null,
    isView: isTrue(row.is_view),
  }
}

/**
 * Names of the tables that have all these columns, e.g. of models that inherit from AbstractBaseUser; also of views, but
 * not on SQLite. Those that the database user may not see are missing. `most`: how many are read; default: all.
 */
export async function tablesWith(
  db: Knex,
  columns: readonly string[],
  { most = null }: { most?: number | null } = {},
): Promise<string[]> {
  const { from, table, column } = COLUMNS[databaseKindOf(db)]
  const places = columns.map(() => '?').join(', ')
  const limit = most === null ? '' : ` limit ${most}`
  const sql = `select ${table} as name from ${from} and ${column} in (${places}) group by ${table} having count(*) = ${columns.length} order by ${table}${limit}`
  return (await selectRows(db, sql, columns)).map(({ name }) => String(name))
}

/** Where a database lists its columns. */
const COLUMNS: Readonly<Record<DatabaseKind, { from: string; table: string; column: string }>> = {
  mysql: {
    from: 'information_schema.columns where table_schema = database()',
    table: 'table_name',
    column: 'column_name',
  },
  postgresql: {
    from: 'information_schema.columns where table_schema = any (current_schemas(false))',
    table: 'table_name',
    column: 'column_name',
  },
  sqlite: {
    from: "sqlite_master join pragma_table_info(sqlite_master.name) as columns on true where sqlite_master.type = 'table'",
    table: 'sqlite_master.name',
    column: 'columns.name',
  },
}

interface Queries {
  readonly columns: string
  readonly indexes: string
  readonly storage: string
}

const QUERIES: Readonly<Record<DatabaseKind, Queries>> = {
  mysql: {
    columns: `select column_name as name, column_type as type, character_set_name as charset, collation_name as collation,
      is_nullable = 'NO' and column_default is null and extra not regexp 'auto_increment|generated' as needs_value
      from information_schema.columns where table_schema = database() and table_name = ? order by ordinal_position`,
    indexes: `select min(case when seq_in_index = 1 then column_name end) as first_column, count(*) as width,
      max(non_unique) = 0 as is_unique
      from information_schema.statistics where table_schema = database() and table_name = ? group by index_name`,
    storage: `select t.engine as engine, e.transactions as has_transactions, t.table_type = 'VIEW' as is_view
      from information_schema.tables t left join information_schema.engines e on e.engine = t.engine
      where t.table_schema = database() and t.table_name = ?`,
  },
  postgresql: {
    columns: `select a.attname as name, format_type(a.atttypid, a.atttypmod) as type, null as charset, null as collation,
      a.attnotnull and not a.atthasdef and i.is_identity is distinct from 'YES' as needs_value
      from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
      left join information_schema.columns i
        on i.table_schema = n.nspname and i.table_name = c.relname and i.column_name = a.attname
      where a.attrelid = to_regclass(?) and a.attnum > 0 and not a.attisdropped order by a.attnum`,
    indexes: `select pg_get_indexdef(indexrelid, 1, true) as first_column, indnatts as width, indisunique as is_unique
      from pg_index where indrelid = to_regclass(?) and indisvalid and indpred is null`,
    storage: `select relkind in ('v', 'm', 'f') as is_view from pg_class where oid = to_regclass(?)`,
  },
  sqlite: {
    columns: `select name, type, null as charset, null as collation,
      "notnull" = 1 and dflt_value is null and pk = 0 as needs_value from pragma_table_info(?)`,
    indexes: `select i.name as first_column, l."unique" as is_unique,
      (select count(*) from pragma_index_info(l.name)) as width
      from pragma_index_list(?) l join pragma_index_info(l.name) i where i.seqno = 0 and l.partial = 0`,
    storage: `select type = 'view' as is_view from sqlite_master where type in ('table', 'view') and name = ?`,
  },
}

/** SQLite and MySQL have numbers for truth values. */
function isTrue(value: unknown): boolean {
  return value === true || value === 1
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null
}

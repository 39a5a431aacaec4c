import type { Knex } from 'knex'
import type { Connection, QueryResult } from 'mysql2'
import { repeatingStatement } from './transaction.js'

/** What may be bound to a `?`. An object would be spelled out as SQL by the driver, so none is taken. */
export type Bindable = string | number | boolean | bigint | Date | Buffer | null

/** Knex, or a connection that the broker has lent: stores that are on a hot path run on both. */
export type Executor<Db extends Knex = Knex> = Db | Connection

/**
 * Rows of a statement written by hand, for what the query builder says less well. With `timeoutMs`
 * it is given up after so long, and its connection with it.
 */
export async function rowsOf<Row>(
  db: Executor,
  sql: string,
  values: readonly Bindable[] = [],
  timeoutMs?: number,
): Promise<Row[]> {
  return (await execute(db, sql, values, timeoutMs)) as Row[]
}

/** How many rows a statement matched: by the driver's choice also those that had the values already. */
export async function affectedBy(
  db: Executor,
  sql: string,
  values: readonly Bindable[] = [],
): Promise<number> {
  return ((await execute(db, sql, values)) as { affectedRows: number }).affectedRows
}

async function execute(
  db: Executor,
  sql: string,
  values: readonly Bindable[],
  timeoutMs?: number,
): Promise<unknown> {
  if (!isKnex(db)) return runOn(db, sql, values)
  const run = async (): Promise<unknown> => {
    const statement = db.raw(sql, values as Knex.RawBinding[])
    const [result] = (await (timeoutMs === undefined
      ? statement
      : statement.timeout(timeoutMs))) as [unknown]
    return result
  }
  // outside of a transaction the statement is one of its own, and may be repeated like one
  return db.isTransaction ? run() : repeatingStatement(run)
}

/** Knex and its transactions are functions; a connection is an object. */
const isKnex = (db: Executor): db is Knex => typeof db === 'function'

/** One statement on a lent connection. Values are escaped by the driver. */
export const runOn = <Result extends QueryResult>(
  connection: Connection,
  sql: string,
  values: readonly unknown[] = [],
): Promise<Result> =>
  new Promise((done, fail) => {
    connection.query<Result>(sql, values as unknown[], (error, result) => {
      if (error) fail(error)
      else done(result)
    })
  })

type Row = Readonly<Record<string, Bindable>>

/** `insert into table (columns) values (?, …)`, for one row. */
export const insertRow = (db: Executor, table: string, row: Row): Promise<void> =>
  insertRows(db, table, [row])

/** How much one statement carries: far from what a packet holds. */
const VALUES_AT_A_TIME = 8_000
const BYTES_AT_A_TIME = 2_097_152

/** The first rows, of which there is always one, that come to so many bytes. */
function upTo(rows: readonly Row[], bytes: number): readonly Row[] {
  let size = 0
  const end = rows.findIndex((row) => {
    for (const value of Object.values(row))
      size += typeof value === 'string' ? value.length * 2 : 16
    return size > bytes
  })
  return end < 0 ? rows : rows.slice(0, Math.max(1, end))
}

/** The same for many rows with the same columns, as few statements as that takes. */
export async function insertRows(db: Executor, table: string, rows: readonly Row[]): Promise<void> {
  const columns = Object.keys(rows[0] ?? {})
  const atATime = Math.max(1, Math.floor(VALUES_AT_A_TIME / Math.max(1, columns.length)))
  const places = `(${columns.map(() => '?').join(', ')})`
  for (let start = 0; start < rows.length; ) {
    const some = upTo(rows.slice(start, start + atATime), BYTES_AT_A_TIME)
    start += some.length
    await execute(
      db,
      `insert into ${table} (${columns.join(', ')}) values ${some.map(() => places).join(', ')}`,
      some.flatMap((row) => columns.map((column) => row[column] ?? null)),
    )
  }
}

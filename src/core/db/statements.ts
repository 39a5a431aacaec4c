import type { Knex } from 'knex'

/** What may be bound to a `?`. An object would be spelled out as SQL by the driver, so none is taken. */
export type Bindable = string | number | boolean | bigint | Date | Buffer | null

/**
 * Rows of a statement written by hand, for what the query builder says less well. With `timeoutMs`
 * it is given up after so long, and its connection with it.
 */
export async function rowsOf<Row>(
  db: Knex,
  sql: string,
  values: readonly Bindable[] = [],
  timeoutMs?: number,
): Promise<Row[]> {
  const statement = db.raw(sql, values as Knex.RawBinding[])
  const [rows] = (await (timeoutMs === undefined ? statement : statement.timeout(timeoutMs))) as [
    Row[],
  ]
  return rows
}

/** How many rows a statement matched: by the driver's choice also those that had the values already. */
export async function affectedBy(
  db: Knex,
  sql: string,
  values: readonly Bindable[] = [],
): Promise<number> {
  const [result] = (await db.raw(sql, values as Knex.RawBinding[])) as [{ affectedRows: number }]
  return result.affectedRows
}

import type { Knex } from 'knex'

/** What may be bound to a `?`. An object would be spelled out as SQL by the driver, so none is taken. */
export type Bindable = string | number | boolean | bigint | Date | Buffer | null

/** Rows of a statement written by hand, for what the query builder says less well. */
export async function rowsOf<Row>(
  db: Knex,
  sql: string,
  values: readonly Bindable[] = [],
): Promise<Row[]> {
  const [rows] = (await db.raw(sql, values as Knex.RawBinding[])) as [Row[]]
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

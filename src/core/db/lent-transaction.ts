import type { Connection, QueryResult } from 'mysql2'

/** One statement on a lent connection. Values are escaped by the driver; never pass it an object. */
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

/**
 * A transaction on a lent connection, for the few hot writes that cannot afford the query builder.
 * Anything thrown leaves the transaction open: the broker destroys the connection, and the server
 * rolls back. A failed COMMIT is thrown like everything else.
 */
export async function inLentTransaction<T>(
  connection: Connection,
  work: () => Promise<T>,
): Promise<T> {
  await runOn(connection, 'start transaction')
  const result = await work()
  await runOn(connection, 'commit')
  return result
}

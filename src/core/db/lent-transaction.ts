import type { Connection } from 'mysql2'
import { AppError } from '../errors.js'
import { runOn } from './statements.js'

/**
 * A transaction on a lent connection, for the few hot writes that cannot afford the query builder.
 * A refusal of ours rolls it back; any other error leaves it open, and the broker then destroys the
 * connection. A failed COMMIT is thrown like everything else.
 */
export async function inLentTransaction<T>(
  connection: Connection,
  work: () => Promise<T>,
): Promise<T> {
  await runOn(connection, 'start transaction')
  try {
    const result = await work()
    await runOn(connection, 'commit')
    return result
  } catch (error) {
    if (error instanceof AppError) await runOn(connection, 'rollback')
    throw error
  }
}

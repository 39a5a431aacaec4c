import type { Connection } from 'mysql2'
import { AppError } from '../errors.js'
import { runOn } from './statements.js'
import { failedCommit } from './transaction.js'

/**
 * A transaction on a lent connection, for the few hot writes that cannot afford the query builder.
 * A refusal of ours rolls it back; any other error leaves it open, and the broker then destroys the
 * connection.
 *
 * @throws what `work` throws; DATABASE.OUTCOME_UNKNOWN if COMMIT failed and the server did not say that
 *   it rolled back
 */
export async function inLentTransaction<T>(
  connection: Connection,
  work: () => Promise<T>,
): Promise<T> {
  await runOn(connection, 'start transaction')
  let isCommitting = false
  try {
    const result = await work()
    isCommitting = true
    await runOn(connection, 'commit')
    return result
  } catch (error) {
    if (isCommitting) throw failedCommit(error)
    if (error instanceof AppError) await runOn(connection, 'rollback')
    throw error
  }
}

/** A reading transaction that sees one instant: of several statements none sees what was written in between. */
export async function inSnapshot<T>(connection: Connection, work: () => Promise<T>): Promise<T> {
  await runOn(connection, 'set transaction isolation level repeatable read')
  await runOn(connection, 'start transaction with consistent snapshot, read only')
  try {
    return await work()
  } finally {
    // nothing was written: this gives the snapshot back, whatever came of it
    await runOn(connection, 'rollback')
  }
}

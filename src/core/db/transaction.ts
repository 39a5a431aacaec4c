import type { Knex } from 'knex'
import { type FailureKind, isFailure } from '../driver-failure.js'
import { AppError } from '../errors.js'
import { retrying } from '../retrying.js'
import { retireIfSpent } from './spent-connection.js'

/** Within the patience of most callers, and longer than one lock wait. */
const RETRY_FOR_MS = 15_000
const FIRST_PAUSE_MS = 20
const LONGEST_PAUSE_MS = 1_000

/**
 * Runs `work` in one transaction and starts it over when the server rolled it back (deadlock, lock
 * wait, certification conflict). Only ever the whole of it: after a deadlock the session is out of its
 * transaction, and a statement that went on would be committed alone.
 *
 * @throws what `work` throws; the server's error after 15 s; DATABASE.OUTCOME_UNKNOWN if COMMIT failed
 *   and the server did not say that it rolled back: whether the rows are there is for the caller to ask
 */
export const inTransaction = <Db extends Knex, T>(
  db: Db,
  work: (transaction: Db) => Promise<T>,
): Promise<T> =>
  startingOver(async () => {
    let isCommitting = false
    try {
      // the callback form: Knex's `await trx.commit()` resolves even if COMMIT failed
      return await db.transaction(async (transaction) => {
        const connection = await transaction.client.acquireConnection()
        transaction.on('query-error', (error: unknown, { sql }: { sql: string }) =>
          retireIfSpent(connection, error, sql),
        )
        const result = await work(transaction as unknown as Db)
        isCommitting = true
        return result
      })
    } catch (error) {
      throw isCommitting ? failedCommit(error) : error
    }
  })

/**
 * Runs a whole transaction, and again if the server rolled it back or refused it without running it.
 * An AppError is a decision of ours and ends it.
 */
export const startingOver = <T>(transaction: () => Promise<T>): Promise<T> =>
  repeating(transaction, 'transaction rolled back', 'statement rolled back', 'not ready')

/**
 * Runs a statement that is its own transaction, and again if the server rolled it back or refused it
 * without running it. After a timeout it may have been committed, so that ends it.
 */
export const repeatingStatement = <T>(statement: () => Promise<T>): Promise<T> =>
  repeating(statement, 'transaction rolled back', 'not ready')

const repeating = <T>(work: () => Promise<T>, ...kinds: readonly FailureKind[]): Promise<T> =>
  retrying(work, {
    isRetryable: (thrown) => !(thrown instanceof AppError) && isFailure(thrown, ...kinds),
    forMs: RETRY_FOR_MS,
    firstPauseMs: FIRST_PAUSE_MS,
    longestPauseMs: LONGEST_PAUSE_MS,
  })

/**
 * What a failed COMMIT means. Only two failures certainly rolled back: one that the server reports as a
 * rollback, and a read-only server. A timeout, a kill or a node that left its cluster may come after the commit
 * took effect.
 */
export const failedCommit = (error: unknown): unknown =>
  isFailure(error, 'transaction rolled back', 'read only', 'connection lost')
    ? error
    : new AppError('DATABASE.OUTCOME_UNKNOWN').because(error)

/** Whether the work may have taken effect although it failed. */
export const isOutcomeUnknown = (thrown: unknown): boolean =>
  isFailure(thrown, 'connection lost', 'outcome unknown') ||
  (thrown instanceof AppError && thrown.code === 'DATABASE.OUTCOME_UNKNOWN')

import { setTimeout as sleep } from 'node:timers/promises'
import type { Knex } from 'knex'
import { isFailure } from '../driver-failure.js'

const ATTEMPTS = 6

/**
 * Runs `work` in one transaction and starts it over when the server rolled it back (deadlock, lock
 * wait). Only ever the whole of it: after a deadlock the session is out of its transaction, and a
 * statement that went on would be committed alone.
 *
 * @throws what `work` throws; the server's error after six attempts. A connection lost around COMMIT
 *   is not retried: whether the rows are there is for the caller to ask.
 */
export const inTransaction = <Db extends Knex, T>(
  db: Db,
  work: (transaction: Db) => Promise<T>,
): Promise<T> =>
  // the callback form: Knex's `await trx.commit()` resolves even where COMMIT failed
  startingOver(() => db.transaction((transaction) => work(transaction as unknown as Db)))

/** Runs a whole transaction, and again where the server rolled it back. */
export async function startingOver<T>(transaction: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await transaction()
    } catch (error) {
      const again = isFailure(error, 'transaction rolled back', 'statement rolled back')
      if (!again || attempt === ATTEMPTS) throw error
      await sleep(Math.random() * 20 * 2 ** attempt)
    }
  }
}

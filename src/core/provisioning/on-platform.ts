import type { PlatformDb } from '../db/connect.js'
import { inTransaction } from '../db/transaction.js'
import type { Job } from './stage.js'

/**
 * Writes of a stage to the platform, and the record of its end: one transaction that a process which
 * lost its lease cannot commit.
 *
 * @throws LEASE.LOST
 */
export const onPlatform = <T>(
  { ctx, recordEnd }: Job,
  work: (transaction: PlatformDb, at: Date) => Promise<T>,
): Promise<T> =>
  inTransaction(ctx.platform, async (transaction) => {
    const result = await work(transaction, ctx.now())
    await recordEnd(transaction)
    return result
  })

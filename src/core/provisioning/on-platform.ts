import type { PlatformDb } from '../db/connect.js'
import { inTransaction } from '../db/transaction.js'
import type { Job } from './stage.js'

/**
 * Writes of a stage to the platform: one transaction that a process which lost its lease cannot commit.
 *
 * @throws LEASE.LOST
 */
export const onPlatform = <T>(
  { ctx, lease }: Job,
  work: (transaction: PlatformDb, at: Date) => Promise<T>,
): Promise<T> =>
  inTransaction(ctx.platform, async (transaction) => {
    await lease.fence(transaction)
    return work(transaction, ctx.now())
  })

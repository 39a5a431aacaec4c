import type { Context } from '../context.js'
import type { Lease } from '../db/lease.js'
import { inTransaction } from '../db/transaction.js'
import { chainHash, GENESIS } from './audit-record.js'
import { findHead, listUnsealed, type Seal, setSeals } from './audit-record-store.js'
import { findLastCheckpoint } from './checkpoint-store.js'
import { enqueueDeliveries } from './enqueue-deliveries.js'

/** What one process at a time does: the lease's name. */
export const SEALING = 'audit-seal'

const AT_A_TIME = 1_000

/**
 * Gives the rows that have no place in the chain theirs, in the order of their arrival, a batch at a time. A row
 * that was committed late comes after those that were there before it, so whoever follows the sequence misses none.
 * Cut off at any point, the next one goes on.
 *
 * @returns how many were sealed
 */
export async function sealAudit(ctx: Context, lease: Lease, key: Buffer): Promise<number> {
  let sealed = 0
  for (;;) {
    const count = await inTransaction(ctx.platform, async (transaction) => {
      await lease.fence(transaction)
      const records = await listUnsealed(transaction, AT_A_TIME)
      if (records.length === 0) return 0
      const head = (await findHead(transaction)) ?? (await findLastCheckpoint(transaction))
      let { sequence, hash } = head ?? { sequence: 0, hash: GENESIS }
      const seals = records.map((record): Seal => {
        const previousHash = hash
        sequence += 1
        hash = chainHash(key, previousHash, sequence, record)
        return { id: record.id, sequence, previousHash, hash }
      })
      await enqueueDeliveries(transaction, records, seals, ctx.now())
      return setSeals(transaction, seals)
    })
    sealed += count
    if (count < AT_A_TIME) return sealed
  }
}

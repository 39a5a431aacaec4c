import { createHmac, timingSafeEqual } from 'node:crypto'
import { type Executor, rowsOf } from '../db/statements.js'

/** Stands for all rows up to its sequence, which were removed. */
export type Checkpoint = {
  readonly sequence: number
  /** Of the last row that was removed: what the next one is chained to. */
  readonly hash: Buffer
  readonly removed: number
  readonly signature: Buffer
}

export async function findLastCheckpoint(db: Executor): Promise<Checkpoint | undefined> {
  const [row] = await rowsOf<{
    sequence: number | string
    hash: Buffer
    removed: number | string
    signature: Buffer
  }>(
    db,
    'select sequence, hash, removed, signature from audit_checkpoints order by sequence desc limit 1',
  )
  return (
    row && {
      sequence: Number(row.sequence),
      hash: row.hash,
      removed: Number(row.removed),
      signature: row.signature,
    }
  )
}

/** HMAC-SHA256 under the chain's key. */
export const signCheckpoint = (
  key: Buffer,
  { sequence, hash, removed }: Pick<Checkpoint, 'sequence' | 'hash' | 'removed'>,
): Buffer =>
  createHmac('sha256', key)
    .update(JSON.stringify(['checkpoint', sequence, hash.toString('hex'), removed]))
    .digest()

export const isGenuine = (key: Buffer, checkpoint: Checkpoint): boolean =>
  timingSafeEqual(signCheckpoint(key, checkpoint), checkpoint.signature)

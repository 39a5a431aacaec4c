import type { ResultSetHeader } from 'mysql2'
import type { Context } from '../context.js'
import { quoteName } from '../db/sql.js'
import { recordAudit } from '../events/audit-store.js'
import { GENESIS } from './audit-record.js'
import { findFirstSince, findHead, listSealed } from './audit-record-store.js'
import { findLastCheckpoint, signCheckpoint } from './checkpoint-store.js'

const AT_A_TIME = 5_000

export type Pruned = {
  /** The last place that was removed; 0 where nothing was. */
  readonly upTo: number
  readonly removed: number
}

/**
 * Removes what happened before a time, from the beginning of the chain, and leaves a signed checkpoint in its place:
 * what stands after it can still be verified. Only the provisioner's login may do this. Cut off in the middle, the
 * next run finishes it: the checkpoint comes first.
 *
 * @throws CONFIG.PROVISIONER_MISSING
 */
export async function pruneAudit(
  ctx: Context,
  key: Buffer,
  before: Date,
  report: (removed: number) => void = () => {},
): Promise<Pruned> {
  const provisioner = await ctx.provisioner()
  const table = `${quoteName(ctx.config.platformDatabase)}.audit_logs`
  const checkpoints = `${quoteName(ctx.config.platformDatabase)}.audit_checkpoints`
  const standing = await findLastCheckpoint(ctx.platform)
  const upTo = await lastBefore(ctx, before)
  const last = upTo > (standing?.sequence ?? 0) ? await rowAt(ctx, upTo) : undefined
  if (last?.hash) {
    const checkpoint = { sequence: upTo, hash: last.hash ?? GENESIS, removed: upTo }
    await provisioner.run(
      `insert ignore into ${checkpoints} (sequence, hash, removed, removed_before, signature, created_at) values (?, ?, ?, ?, ?, ?)`,
      [
        checkpoint.sequence,
        checkpoint.hash,
        checkpoint.removed,
        before,
        signCheckpoint(key, checkpoint),
        ctx.now(),
      ],
    )
  }
  const end = Math.max(upTo, standing?.sequence ?? 0)
  let removed = 0
  for (;;) {
    const { affectedRows } = (await provisioner.run(
      `delete from ${table} where sequence <= ? order by sequence limit ${AT_A_TIME}`,
      [end],
    )) as ResultSetHeader
    removed += affectedRows
    report(removed)
    if (affectedRows < AT_A_TIME) break
  }
  if (removed > 0) {
    await recordAudit(ctx.platform, ctx, null, {
      at: ctx.now(),
      action: 'audit.pruned',
      objectType: 'audit',
      objectId: String(end),
      changes: { after: { up_to: end, removed } },
    })
  }
  return { upTo: removed > 0 ? end : 0, removed }
}

/** The end of the unbroken beginning that lies before a time: a row that came late keeps what follows it. */
async function lastBefore({ platform }: Context, before: Date): Promise<number> {
  const first = await findFirstSince(platform, before)
  return first === undefined ? ((await findHead(platform))?.sequence ?? 0) : first - 1
}

const rowAt = async ({ platform }: Context, sequence: number) =>
  (await listSealed(platform, { afterSequence: sequence - 1, upToSequence: sequence, limit: 1 }))[0]

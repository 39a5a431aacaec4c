import type { Context } from '../context.js'
import type { Anchor } from './anchor.js'
import { type AuditRecord, chainHash, GENESIS } from './audit-record.js'
import {
  countAudit,
  findFirstSince,
  findHead,
  type Head,
  listLastSealed,
  listSealed,
} from './audit-record-store.js'
import { findLastCheckpoint, isGenuine } from './checkpoint-store.js'

const AT_A_TIME = 2_000

export type Fault = {
  /** The first place where the chain does not hold. */
  readonly sequence: number
  readonly what: 'changed' | 'missing' | 'added or moved' | 'cut off' | 'checkpoint'
  readonly why: string
}

export type Verdict = {
  readonly intact: boolean
  /** Rows that were recomputed. */
  readonly verified: number
  readonly from: number
  readonly head: { readonly sequence: number; readonly hash: string } | undefined
  readonly unsealed: number
  readonly fault: Fault | undefined
}

export type VerifyOptions = {
  /** Begins at the first row that happened at or after, held against the one before it. */
  readonly since?: Date | undefined
  /** Counts the rows of this tenant. All are recomputed: one that was taken from it shows in the chain alone. */
  readonly tenantId?: string | undefined
  /** A head that was kept elsewhere: the chain must still have it. */
  readonly anchor?: Anchor | undefined
  readonly report?: (verified: number) => void
}

/**
 * Recomputes the chain from its beginning, or from the last checkpoint, and names the first row that was changed,
 * removed, added or moved. That its tail was cut off shows only against an anchor that was kept elsewhere.
 */
export async function verifyAudit(
  ctx: Context,
  key: Buffer,
  { since, tenantId, anchor, report }: VerifyOptions = {},
): Promise<Verdict> {
  const db = ctx.platform
  const head = await findHead(db)
  const { unsealed } = await countAudit(db)
  const verdict = (verified: number, from: number, fault?: Fault): Verdict => ({
    intact: fault === undefined,
    verified,
    from,
    head: head && { sequence: head.sequence, hash: head.hash.toString('hex') },
    unsealed,
    fault,
  })
  const checkpoint = await findLastCheckpoint(db)
  if (checkpoint && !isGenuine(key, checkpoint)) {
    return verdict(0, checkpoint.sequence, {
      sequence: checkpoint.sequence,
      what: 'checkpoint',
      why: 'its signature does not agree',
    })
  }
  let place = await beginningOf(ctx, checkpoint, since)
  const from = place.sequence + 1
  let verified = 0
  for (;;) {
    const records = await listSealed(db, { afterSequence: place.sequence, limit: AT_A_TIME })
    for (const record of records) {
      const fault = faultOf(key, record, place)
      if (fault) return verdict(verified, from, fault)
      place = { sequence: record.sequence ?? 0, hash: record.hash ?? GENESIS }
      if (tenantId === undefined || record.tenantId === tenantId) verified += 1
    }
    report?.(verified)
    if (records.length < AT_A_TIME) break
  }
  return verdict(verified, from, await cutFault(ctx, anchor, checkpoint?.sequence ?? 0))
}

/** The place before the first row that is to be recomputed. A row that is not there is missed by the next one. */
async function beginningOf(
  { platform }: Context,
  checkpoint: Head | undefined,
  since: Date | undefined,
): Promise<Head> {
  const start = checkpoint ?? { sequence: 0, hash: GENESIS }
  if (since === undefined) return start
  const first = (await findFirstSince(platform, since)) ?? Number.MAX_SAFE_INTEGER
  const [before] = await listLastSealed(platform, { upToSequence: first - 1, limit: 1 })
  return before?.hash && (before.sequence ?? 0) > start.sequence
    ? { sequence: before.sequence ?? 0, hash: before.hash }
    : start
}

function faultOf(key: Buffer, record: AuditRecord, before: Head): Fault | undefined {
  const sequence = record.sequence ?? 0
  if (sequence !== before.sequence + 1) {
    return {
      sequence: before.sequence + 1,
      what: 'missing',
      why: `the next row there is has sequence ${sequence}`,
    }
  }
  const { previousHash, hash } = record
  if (!previousHash || !hash) return { sequence, what: 'changed', why: 'its hash was taken away' }
  if (!previousHash.equals(before.hash)) {
    return { sequence, what: 'added or moved', why: 'it is not chained to the row before' }
  }
  if (!chainHash(key, previousHash, sequence, record).equals(hash))
    return { sequence, what: 'changed', why: 'its content does not agree with its hash' }
  return undefined
}

/** Whether the chain still has the head that the anchor tells of. */
async function cutFault(
  { platform }: Context,
  anchor: Anchor | undefined,
  removedUpTo: number,
): Promise<Fault | undefined> {
  if (!anchor || anchor.sequence <= removedUpTo) return undefined
  const [row] = await listSealed(platform, {
    afterSequence: anchor.sequence - 1,
    upToSequence: anchor.sequence,
    limit: 1,
  })
  if (row?.hash?.toString('hex') === anchor.hash) return undefined
  if (row)
    return {
      sequence: anchor.sequence,
      what: 'changed',
      why: 'the anchor tells of another row here',
    }
  const head = await findHead(platform)
  return {
    sequence: (head?.sequence ?? removedUpTo) + 1,
    what: 'cut off',
    why: `the anchor tells of rows up to ${anchor.sequence}`,
  }
}

import type { Context } from '../context.js'
import type { Anchor } from './anchor.js'
import { type AuditRecord, chainHash, GENESIS } from './audit-record.js'
import { countAudit, findHead, listSealed } from './audit-record-store.js'
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
  /** Begins at the first row that happened at or after. */
  readonly since?: Date | undefined
  /** Recomputes the rows of one tenant alone. */
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
  const wholeChain = since === undefined && tenantId === undefined
  let place = { sequence: checkpoint?.sequence ?? 0, hash: checkpoint?.hash ?? GENESIS }
  let isLinked = wholeChain
  const from = place.sequence + 1
  let verified = 0
  for (;;) {
    const records = await listSealed(db, {
      since,
      tenantId,
      afterSequence: place.sequence,
      limit: AT_A_TIME,
    })
    for (const record of records) {
      const fault = faultOf(key, record, isLinked ? place : undefined, tenantId === undefined)
      if (fault) return verdict(verified, from, fault)
      place = { sequence: record.sequence ?? 0, hash: record.hash ?? GENESIS }
      // the first one of a part is taken at its word for what came before
      isLinked = tenantId === undefined
      verified += 1
    }
    report?.(verified)
    if (records.length < AT_A_TIME) break
  }
  return verdict(verified, from, await cutFault(ctx, anchor, checkpoint?.sequence ?? 0))
}

function faultOf(
  key: Buffer,
  record: AuditRecord,
  before: { readonly sequence: number; readonly hash: Buffer } | undefined,
  isContiguous: boolean,
): Fault | undefined {
  const sequence = record.sequence ?? 0
  if (before && isContiguous && sequence !== before.sequence + 1) {
    return {
      sequence: before.sequence + 1,
      what: 'missing',
      why: `the next row there is has sequence ${sequence}`,
    }
  }
  const { previousHash, hash } = record
  if (!previousHash || !hash) return { sequence, what: 'changed', why: 'its hash was taken away' }
  if (before && !previousHash.equals(before.hash)) {
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

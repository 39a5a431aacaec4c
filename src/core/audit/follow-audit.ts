import { setTimeout as sleep } from 'node:timers/promises'
import type { Context } from '../context.js'
import { isFailure } from '../driver-failure.js'
import type { AuditRecord } from './audit-record.js'
import {
  findFirstSince,
  findHead,
  listLastSealed,
  listSealed,
  type SealedFilter,
} from './audit-record-store.js'

const POLL_MS = 200
const AT_A_TIME = 500

export type FollowOptions = Omit<SealedFilter, 'limit' | 'afterSequence' | 'upToSequence'> & {
  /** Begins after this place, and shows all from there on. */
  readonly fromSequence?: number | undefined
  /** Else shows the last so many first; all that `since` lets through where absent. */
  readonly last?: number | undefined
  /** Goes on until told to stop. */
  readonly follow: boolean
}

export type Followed = {
  readonly records: readonly AuditRecord[]
  /** Where to go on: everything up to here has been shown, or is none of what was asked for. */
  readonly upTo: number
}

/**
 * The sealed trail, batch by batch. It follows the sequence, which is given in the order of the commits, so it can
 * neither miss a row nor show one twice; while the database is away it waits and goes on where it was.
 */
export async function* followAudit(
  ctx: Context,
  { fromSequence, last, follow, ...filter }: FollowOptions,
  signal: AbortSignal,
  wait: (error: unknown) => void,
): AsyncGenerator<Followed> {
  const first = await (fromSequence === undefined
    ? lastOf(ctx, filter, last)
    : { records: [], upTo: fromSequence })
  yield first
  let { upTo } = first
  while (!signal.aborted) {
    let found: Followed
    try {
      found = await nextOf(ctx, filter, upTo)
    } catch (error) {
      if (
        !follow ||
        !isFailure(error, 'connection lost', 'unreachable', 'too many connections', 'not ready')
      )
        throw error
      wait(error)
      await sleep(POLL_MS, undefined, { signal }).catch(() => {})
      continue
    }
    const isAtHead = found.records.length < AT_A_TIME
    if (found.upTo > upTo) {
      upTo = found.upTo
      yield found
    }
    if (isAtHead && !follow) return
    if (isAtHead) await sleep(POLL_MS, undefined, { signal }).catch(() => {})
  }
}

async function lastOf(
  { platform }: Context,
  filter: Omit<SealedFilter, 'limit'>,
  last: number | undefined,
): Promise<Followed> {
  // what is sealed from here on comes with the next batch
  const upTo = (await findHead(platform))?.sequence ?? 0
  if (last === undefined) {
    const first = filter.since === undefined ? 1 : await findFirstSince(platform, filter.since)
    return { records: [], upTo: first === undefined ? upTo : first - 1 }
  }
  const records =
    last === 0 ? [] : await listLastSealed(platform, { ...filter, upToSequence: upTo, limit: last })
  return { records, upTo }
}

async function nextOf(
  { platform }: Context,
  filter: Omit<SealedFilter, 'limit'>,
  afterSequence: number,
): Promise<Followed> {
  const head = (await findHead(platform))?.sequence ?? 0
  if (head <= afterSequence) return { records: [], upTo: afterSequence }
  const records = await listSealed(platform, {
    ...filter,
    afterSequence,
    upToSequence: head,
    limit: AT_A_TIME,
  })
  const isAll = records.length < AT_A_TIME
  return { records, upTo: isAll ? head : (records.at(-1)?.sequence ?? head) }
}

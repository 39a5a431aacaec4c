import { z } from 'zod'
import { addMilliseconds } from '../clock.js'
import type { Context } from '../context.js'
import type { PlatformDb } from '../db/connect.js'
import type { IdempotentResult } from '../db/idempotency.js'
import { withLease } from '../db/lease.js'
import { inTransaction } from '../db/transaction.js'
import { AppError } from '../errors.js'
import { insertAudit } from '../events/audit-store.js'
import { parse } from '../parse.js'
import type { Preconditions } from '../preconditions.js'
import { inPlatformChange } from '../tenants/platform-change.js'
import { slugSchema, type Tenant } from '../tenants/tenant.js'
import { getTenant } from '../tenants/tenant-store.js'
import { type ApiKey, isCalled, isLive } from './api-key.js'
import { findRateLimit, listApiKeys, lockLiveApiKeys, setApiKeyExpiry } from './api-key-store.js'
import { addApiKey, type MintedApiKey } from './create-api-key.js'
import { deliverApiKey } from './deliver-api-key.js'
import { endApiKey } from './revoke-api-key.js'

export const RotateApiKeyInput = z.strictObject({
  slug: slugSchema,
  /** Its id, its prefix as it is displayed, or its last four characters. */
  key: z.string().min(4, 'must be at least 4 characters').max(64).optional(),
  graceSeconds: z
    .number()
    .min(0, 'must be at least 0')
    .max(31_536_000, 'must be at most a year')
    .default(86_400),
})

type Wish = z.output<typeof RotateApiKeyInput>

export type Rotated = MintedApiKey & {
  readonly replaced: ApiKey
  /** When the old key ends; it may have ended already. */
  readonly oldEndsAt: Date
  /** The line of predecessors that still works, newest first, each with the end that it was promised. */
  readonly stillWorking: readonly ApiKey[]
}

/**
 * Makes a successor of a key, with its name, scopes and limits. The old key works for the grace time,
 * never longer than it would have. A key that is in its grace already keeps the end it was promised: a
 * further rotation neither shortens nor extends it. Only `graceSeconds: 0` for a key that is named ends
 * that key at once. A successor that couldn't be shown is revoked, and the old key is left as it was.
 *
 * @param deliver shows the new key; the rotation takes effect once it has resolved
 * @throws TENANT.NOT_FOUND, API_KEY.NOT_FOUND, API_KEY.NONE_SHOWN, API_KEY.AMBIGUOUS,
 *   API_KEY.REVOKED_WHILE_SHOWN, LEASE.HELD
 */
export async function rotateApiKey(
  ctx: Context,
  input: unknown,
  deliver: (rotated: Rotated) => Promise<void>,
): Promise<Rotated> {
  const wish = parse(RotateApiKeyInput, input)
  const tenant = await getTenant(ctx.platform, wish.slug)
  // under the lease an unseen successor is a dead process's, never one that is being shown
  return withLease(ctx.platform, `api-keys/${tenant.slug}`, ctx.lease, async (lease) => {
    const rotated = await inTransaction(ctx.platform, async (transaction) => {
      await lease.fence(transaction)
      const { all, live, old, oldEndsAt } = await decide(ctx, transaction, tenant, wish)
      for (const key of live)
        if (key.replacesId === old.id && key.deliveredAt === undefined)
          await endApiKey(ctx, transaction, key, ctx.now())
      return addSuccessor(ctx, transaction, { all, live, old, oldEndsAt }, undefined)
    })
    let { oldEndsAt } = rotated
    await deliverApiKey(
      ctx,
      rotated.key,
      () => deliver(rotated),
      async (transaction, at) => {
        oldEndsAt = await endOld(ctx, transaction, rotated, at)
      },
    )
    return { ...rotated, oldEndsAt }
  })
}

/** The same over HTTP, where the response shows the key: with an idempotency key, one successor is made. */
export async function rotateApiKeyOnce(
  ctx: Context,
  input: unknown,
  { idempotencyKey }: Preconditions = {},
): Promise<IdempotentResult<Rotated>> {
  const wish = parse(RotateApiKeyInput, input)
  const tenant = await getTenant(ctx.platform, wish.slug)
  const { key: named, graceSeconds } = wish
  const request = {
    operation: 'api_keys.rotate',
    key: idempotencyKey,
    request: { named, graceSeconds },
  }
  return inPlatformChange(ctx, tenant.id, request, async (transaction) => {
    const decision = await decide(ctx, transaction, tenant, wish)
    const at = ctx.now()
    const rotated = await addSuccessor(ctx, transaction, decision, at)
    await endOld(ctx, transaction, rotated, at)
    return rotated
  })
}

type Decision = {
  /** The tenant's keys, also those that have ended. */
  readonly all: readonly ApiKey[]
  readonly live: readonly ApiKey[]
  readonly old: ApiKey
  readonly oldEndsAt: Date
}

/** Locks the tenant's live keys, and decides which one is replaced and when it ends. */
async function decide(
  ctx: Context,
  transaction: PlatformDb,
  { id: tenantId, slug }: Tenant,
  { key: named, graceSeconds }: Wish,
): Promise<Decision> {
  const at = ctx.now()
  const live = await lockLiveApiKeys(transaction, tenantId, at)
  const all = await listApiKeys(transaction, tenantId)
  const old = pick(slug, all, live, named)
  const promised = promisedEnd(all, old)
  const endsByName = named !== undefined && graceSeconds === 0
  const graceEnds = earlier(old.expiresAt, addMilliseconds(at, graceSeconds * 1000))
  const shownEndsAt = promised && !endsByName ? promised : graceEnds
  // nobody has a key that was never shown, so it ends at once
  return { all, live, old, oldEndsAt: old.deliveredAt === undefined ? at : shownEndsAt }
}

/** The end that an earlier rotation promised for this key. */
const promisedEnd = (all: readonly ApiKey[], old: ApiKey): Date | undefined =>
  all.some(({ replacesId, deliveredAt }) => replacesId === old.id && deliveredAt !== undefined)
    ? old.expiresAt
    : undefined

async function addSuccessor(
  ctx: Context,
  transaction: PlatformDb,
  { all, live, old, oldEndsAt }: Decision,
  deliveredAt: Date | undefined,
): Promise<Rotated> {
  const minted = await addApiKey(ctx, transaction, {
    tenantId: old.tenantId,
    name: old.name,
    isBootstrap: false,
    scopes: old.scopes,
    rateLimit: await findRateLimit(transaction, old.id),
    replacesId: old.id,
    deliveredAt,
  })
  const before = predecessors(all, old).filter(({ id }) => live.some((key) => key.id === id))
  const stillWorking = [{ ...old, expiresAt: oldEndsAt }, ...before].filter((key) =>
    isLive(key, ctx.now()),
  )
  return { ...minted, replaced: old, oldEndsAt, stillWorking }
}

/** The key that this one replaced, the one that that replaced, and so on. */
function predecessors(all: readonly ApiKey[], of: ApiKey): ApiKey[] {
  const before = all.find(({ id }) => id === of.replacesId)
  return before ? [before, ...predecessors(all, before)] : []
}

/** Gives the old key its end, and returns it. If another rotation has promised a later one, that holds. */
async function endOld(
  ctx: Context,
  transaction: PlatformDb,
  { key, replaced, oldEndsAt }: Rotated,
  at: Date,
): Promise<Date> {
  const live = await lockLiveApiKeys(transaction, replaced.tenantId, at)
  const old = live.find(({ id }) => id === replaced.id)
  const wasPromisedMore =
    old?.expiresAt !== undefined && old.expiresAt.getTime() !== replaced.expiresAt?.getTime()
  const decided =
    wasPromisedMore && old.expiresAt && old.expiresAt > oldEndsAt ? old.expiresAt : oldEndsAt
  const endsAt = decided > at ? decided : at
  if (old && endsAt <= at) await endApiKey(ctx, transaction, old, at)
  else if (old) await setApiKeyExpiry(transaction, old.id, endsAt, at)
  await insertAudit(transaction, {
    occurredAt: at,
    actor: ctx.actor,
    requestId: ctx.requestId,
    action: 'api_key.rotated',
    objectType: 'api_key',
    objectId: replaced.id,
    tenantId: replaced.tenantId,
    changes: { after: { successor: key.id, ends_at: endsAt } },
  })
  return endsAt
}

/** The named key, or the only one: a successor that was never shown stands for the key that it replaces. */
function pick(
  slug: string,
  all: readonly ApiKey[],
  live: readonly ApiKey[],
  named: string | undefined,
): ApiKey {
  const candidates = named === undefined ? unnamed(live) : calledOrTheirs(all, live, named)
  const [only, ...others] = candidates
  if (!only) {
    throw named === undefined
      ? new AppError('API_KEY.NONE_SHOWN', slug)
      : new AppError('API_KEY.NOT_FOUND', named, slug)
  }
  if (others.length > 0) {
    throw new AppError(
      'API_KEY.AMBIGUOUS',
      slug,
      candidates.map(({ prefix }) => prefix),
    )
  }
  return only
}

/** The keys that were shown and have no shown successor; if none was shown, all. */
function unnamed(live: readonly ApiKey[]): ApiKey[] {
  const shown = live.filter(({ deliveredAt }) => deliveredAt !== undefined)
  const superseded = new Set(shown.map(({ replacesId }) => replacesId))
  return (shown.length > 0 ? shown : live).filter((key) => !superseded.has(key.id))
}

/** The live key of that name, or the unseen successor of one that has ended: its rotation was cut off. */
function calledOrTheirs(all: readonly ApiKey[], live: readonly ApiKey[], named: string): ApiKey[] {
  const called = live.filter((key) => isCalled(key, named))
  if (called.length > 0) return called
  const ended = new Set(all.filter((key) => isCalled(key, named)).map(({ id }) => id))
  return live.filter(
    ({ replacesId, deliveredAt }) =>
      replacesId !== undefined && ended.has(replacesId) && deliveredAt === undefined,
  )
}

const earlier = (one: Date | undefined, other: Date): Date => (one && one < other ? one : other)

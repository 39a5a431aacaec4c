import { z } from 'zod'
import { addMilliseconds } from '../clock.js'
import type { Context } from '../context.js'
import type { PlatformDb } from '../db/connect.js'
import type { IdempotentResult } from '../db/idempotency.js'
import { AppError } from '../errors.js'
import { insertAudit } from '../events/audit-store.js'
import { parse } from '../parse.js'
import type { Preconditions } from '../preconditions.js'
import { inPlatformChange } from '../tenants/platform-change.js'
import { slugSchema } from '../tenants/tenant.js'
import { getTenant } from '../tenants/tenant-store.js'
import type { ApiKey } from './api-key.js'
import {
  findRateLimit,
  listApiKeys,
  lockLiveApiKeys,
  setApiKeyDelivered,
  setApiKeyExpiry,
  setApiKeyRevoked,
} from './api-key-store.js'
import { addApiKey, type MintedApiKey, recordRevocation } from './create-api-key.js'

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

export type Rotated = MintedApiKey & {
  readonly replaced: ApiKey
  /** When the old key ends; it may have ended already. */
  readonly oldEndsAt: Date
}

/**
 * Makes a successor of a key, with its name, scopes and limits, and lets the old one live for the grace
 * time, never longer than it would have lived. There are two live keys in a line of successors at the
 * most: an older one still in its grace ends. A successor that nobody was shown is replaced, not added to.
 *
 * @param deliver shows the new key; only once it has resolved does it count as shown
 * @throws TENANT.NOT_FOUND, API_KEY.NOT_FOUND, API_KEY.AMBIGUOUS
 */
export const rotateApiKey = async (
  ctx: Context,
  input: unknown,
  deliver: (rotated: Rotated) => Promise<void>,
): Promise<Rotated> => (await rotateApiKeyOnce(ctx, input, deliver)).result

/** The same for a caller who may repeat the request: with a key for it, one successor is made. */
export async function rotateApiKeyOnce(
  ctx: Context,
  input: unknown,
  deliver: (rotated: Rotated) => Promise<void>,
  { idempotencyKey }: Preconditions = {},
): Promise<IdempotentResult<Rotated>> {
  const { slug, key: named, graceSeconds } = parse(RotateApiKeyInput, input)
  const tenant = await getTenant(ctx.platform, slug)
  const request = {
    operation: 'api_keys.rotate',
    key: idempotencyKey,
    request: { named, graceSeconds },
  }
  const rotated = await inPlatformChange(ctx, tenant.id, request, async (transaction) => {
    const at = ctx.now()
    const live = await lockLiveApiKeys(transaction, tenant.id, at)
    const old = pick(slug, await listApiKeys(transaction, tenant.id), live, named)
    await endRelatives(ctx, transaction, live, old, at)
    // nobody has a key that was never shown, so it ends at once
    const oldEndsAt =
      old.deliveredAt === undefined
        ? at
        : earlier(old.expiresAt, addMilliseconds(at, graceSeconds * 1000))
    if (oldEndsAt <= at) {
      await setApiKeyRevoked(transaction, old.id, at)
      await recordRevocation(ctx, transaction, tenant.id, old.id, at)
    } else {
      await setApiKeyExpiry(transaction, old.id, oldEndsAt, at)
    }
    const minted = await addApiKey(ctx, transaction, {
      tenantId: tenant.id,
      name: old.name,
      isBootstrap: false,
      scopes: old.scopes,
      rateLimit: await findRateLimit(transaction, old.id),
      replacesId: old.id,
    })
    await insertAudit(transaction, {
      occurredAt: at,
      actor: ctx.actor,
      requestId: ctx.requestId,
      action: 'api_key.rotated',
      objectType: 'api_key',
      objectId: old.id,
      tenantId: tenant.id,
      changes: { after: { successor: minted.key.id, ends_at: oldEndsAt } },
    })
    return { ...minted, replaced: old, oldEndsAt }
  })
  await deliver(rotated.result)
  await setApiKeyDelivered(ctx.platform, rotated.result.key.id, ctx.now())
  return rotated
}

/** The named key, or the one there is: a successor that nobody was shown stands for the key that it replaces. */
function pick(
  slug: string,
  all: readonly ApiKey[],
  live: readonly ApiKey[],
  named: string | undefined,
): ApiKey {
  const candidates = named === undefined ? unnamed(live) : calledOrTheirs(all, live, named)
  const [only, ...others] = candidates
  if (!only) throw new AppError('API_KEY.NOT_FOUND', named ?? 'that was shown', slug)
  if (others.length > 0) {
    throw new AppError(
      'API_KEY.AMBIGUOUS',
      slug,
      candidates.map(({ prefix }) => prefix),
    )
  }
  return only
}

/** Those that were shown and have no shown successor; where none was shown, all. */
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

export const isCalled = ({ id, prefix, lastFour }: ApiKey, named: string): boolean =>
  named === id || named === prefix || named === lastFour

/** What a line of successors must not keep: an unseen successor of the key, and what it had itself replaced. */
async function endRelatives(
  ctx: Context,
  transaction: PlatformDb,
  live: readonly ApiKey[],
  old: ApiKey,
  at: Date,
): Promise<void> {
  for (const key of live) {
    const isUnseenSuccessor = key.replacesId === old.id && key.deliveredAt === undefined
    const isPredecessor = key.id === old.replacesId
    if (!isUnseenSuccessor && !isPredecessor) continue
    await setApiKeyRevoked(transaction, key.id, at)
    await recordRevocation(ctx, transaction, key.tenantId, key.id, at)
  }
}

const earlier = (one: Date | undefined, other: Date): Date => (one && one < other ? one : other)

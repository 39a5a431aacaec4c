import { z } from 'zod'
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
import { type ApiKey, isCalled } from './api-key.js'
import { listApiKeys, lockLiveApiKeys, setApiKeyRevoked } from './api-key-store.js'

export const RevokeApiKeyInput = z.strictObject({
  slug: slugSchema,
  key: z.string().min(4, 'must be at least 4 characters').max(64),
})

/**
 * Ends a key for good, in every process within a second.
 *
 * @throws TENANT.NOT_FOUND, API_KEY.NOT_FOUND, API_KEY.INVALID_STATE, API_KEY.AMBIGUOUS
 */
export const revokeApiKey = async (ctx: Context, input: unknown): Promise<ApiKey> =>
  (await revokeApiKeyOnce(ctx, input)).result

/** The same for a caller who may repeat the request. */
export async function revokeApiKeyOnce(
  ctx: Context,
  input: unknown,
  { idempotencyKey }: Preconditions = {},
): Promise<IdempotentResult<ApiKey>> {
  const { slug, key: named } = parse(RevokeApiKeyInput, input)
  const tenant = await getTenant(ctx.platform, slug)
  const request = { operation: 'api_keys.revoke', key: idempotencyKey, request: { named } }
  return inPlatformChange(ctx, tenant.id, request, async (transaction) => {
    const at = ctx.now()
    const called = (await lockLiveApiKeys(transaction, tenant.id, at)).filter((key) =>
      isCalled(key, named),
    )
    const [key, ...others] = called
    if (!key) {
      const ended = (await listApiKeys(transaction, tenant.id)).find((each) =>
        isCalled(each, named),
      )
      if (ended) throw new AppError('API_KEY.INVALID_STATE', ended.prefix)
      throw new AppError('API_KEY.NOT_FOUND', named, slug)
    }
    if (others.length > 0)
      throw new AppError(
        'API_KEY.AMBIGUOUS',
        slug,
        called.map(({ prefix }) => prefix),
      )
    await endApiKey(ctx, transaction, key, at)
    return { ...key, revokedAt: at }
  })
}

/** Revokes a key and records that, in the caller's transaction. */
export async function endApiKey(
  ctx: Context,
  transaction: PlatformDb,
  { id, tenantId }: Pick<ApiKey, 'id' | 'tenantId'>,
  at: Date,
): Promise<void> {
  if (await setApiKeyRevoked(transaction, id, at))
    await recordRevocation(ctx, transaction, tenantId, id, at)
}

export const recordRevocation = (
  ctx: Context,
  transaction: PlatformDb,
  tenantId: string,
  keyId: string,
  at: Date,
): Promise<boolean> =>
  insertAudit(transaction, {
    occurredAt: at,
    actor: ctx.actor,
    requestId: ctx.requestId,
    action: 'api_key.revoked',
    objectType: 'api_key',
    objectId: keyId,
    tenantId,
  })

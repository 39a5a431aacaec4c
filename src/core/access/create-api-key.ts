import { z } from 'zod'
import type { Context } from '../context.js'
import type { PlatformDb } from '../db/connect.js'
import type { IdempotentResult } from '../db/idempotency.js'
import { AppError } from '../errors.js'
import { insertAudit } from '../events/audit-store.js'
import { newId } from '../ids.js'
import { instantSchema, parse } from '../parse.js'
import type { Preconditions } from '../preconditions.js'
import { inPlatformChange } from '../tenants/platform-change.js'
import { slugSchema } from '../tenants/tenant.js'
import { getTenant } from '../tenants/tenant-store.js'
import {
  API_KEY_SCOPES,
  type ApiKey,
  type ApiKeyScope,
  displayPartsOf,
  mintApiKey,
} from './api-key.js'
import { insertApiKey, type RateLimit, revokeApiKeysNamed } from './api-key-store.js'
import { deliverApiKey } from './deliver-api-key.js'
import { recordRevocation } from './revoke-api-key.js'

export const rateLimitSchema = z.strictObject({
  requests: z
    .number()
    .int('must be a whole number')
    .min(1, 'must be at least 1')
    .max(1_000_000_000),
  periodSeconds: z
    .number()
    .int('must be a whole number')
    .min(1, 'must be at least 1')
    .max(2_678_400),
})

export const CreateApiKeyInput = z.strictObject({
  slug: slugSchema,
  name: z.string().trim().min(1, 'must not be empty').max(120, 'must be at most 120 characters'),
  scopes: z
    .array(z.enum(API_KEY_SCOPES, `must be among ${API_KEY_SCOPES.join(', ')}`))
    .min(1, 'must name at least one scope')
    .optional(),
  expiresAt: instantSchema.optional(),
  rateLimit: rateLimitSchema.optional(),
  /** Revokes the tenant's live keys of the same name in the same transaction. */
  replaceNamesakes: z.boolean().default(false),
})

/** A key and, this one time, its secret: it is stored nowhere. */
export type MintedApiKey = { readonly key: ApiKey; readonly secret: string }

/**
 * Makes a key. With `deliver` the key counts as shown once that has resolved, and is revoked if it fails.
 *
 * @throws TENANT.NOT_FOUND, API_KEY.REVOKED_WHILE_SHOWN
 */
export async function createApiKey(
  ctx: Context,
  input: unknown,
  deliver?: (minted: MintedApiKey) => Promise<void>,
): Promise<MintedApiKey> {
  const { result: minted } = await create(ctx, input, {}, deliver ? undefined : ctx.now())
  if (deliver) await deliverApiKey(ctx, minted.key, () => deliver(minted))
  return minted
}

/** The same over HTTP, where the response shows the key: with an idempotency key, one API key is made. */
export const createApiKeyOnce = (
  ctx: Context,
  input: unknown,
  preconditions: Preconditions = {},
): Promise<IdempotentResult<MintedApiKey>> => create(ctx, input, preconditions, ctx.now())

async function create(
  ctx: Context,
  input: unknown,
  { idempotencyKey }: Preconditions,
  deliveredAt: Date | undefined,
): Promise<IdempotentResult<MintedApiKey>> {
  const { slug, replaceNamesakes, ...wish } = parse(CreateApiKeyInput, input)
  if (wish.expiresAt && wish.expiresAt <= ctx.now()) {
    throw new AppError('VALIDATION.FAILED').with({ expiresAt: ['must be in the future'] })
  }
  const tenant = await getTenant(ctx.platform, slug)
  const request = { operation: 'api_keys.create', key: idempotencyKey, request: wish }
  return inPlatformChange(ctx, tenant.id, request, async (transaction) => {
    if (replaceNamesakes) {
      const at = ctx.now()
      for (const id of await revokeApiKeysNamed(transaction, tenant.id, wish.name, at)) {
        await recordRevocation(ctx, transaction, tenant.id, id, at)
      }
    }
    return addApiKey(ctx, transaction, {
      ...wish,
      tenantId: tenant.id,
      isBootstrap: false,
      deliveredAt,
    })
  })
}

export type NewApiKey = {
  readonly tenantId: string
  readonly name: string
  readonly isBootstrap: boolean
  readonly deliveredAt?: Date | undefined
  readonly scopes?: readonly ApiKeyScope[] | undefined
  readonly expiresAt?: Date | undefined
  readonly rateLimit?: RateLimit | undefined
  readonly replacesId?: string | undefined
}

/** Mints a key and writes it with its audit row, in the caller's transaction. */
export async function addApiKey(
  ctx: Context,
  transaction: PlatformDb,
  of: NewApiKey,
): Promise<MintedApiKey> {
  const secret = mintApiKey()
  const at = ctx.now()
  const key: ApiKey = {
    id: newId(),
    tenantId: of.tenantId,
    name: of.name,
    ...displayPartsOf(secret),
    isBootstrap: of.isBootstrap,
    scopes: of.scopes,
    replacesId: of.replacesId,
    deliveredAt: of.deliveredAt,
    lastUsedAt: undefined,
    expiresAt: of.expiresAt,
    revokedAt: undefined,
    createdAt: at,
  }
  await insertApiKey(transaction, {
    ...key,
    hash: ctx.keyring.hashApiKey(secret),
    appKeyId: ctx.keyring.currentId,
    rateLimit: of.rateLimit,
  })
  await insertAudit(transaction, {
    occurredAt: at,
    actor: ctx.actor,
    requestId: ctx.requestId,
    action: 'api_key.created',
    objectType: 'api_key',
    objectId: key.id,
    tenantId: of.tenantId,
    changes: { after: { name: key.name, prefix: key.prefix, last_four: key.lastFour } },
  })
  return { key, secret }
}

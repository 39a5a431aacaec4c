import { z } from 'zod'
import type { Context } from '../context.js'
import type { PlatformDb } from '../db/connect.js'
import { inTransaction } from '../db/transaction.js'
import { insertAudit } from '../events/audit-store.js'
import { newId } from '../ids.js'
import { parse } from '../parse.js'
import { slugSchema } from '../tenants/tenant.js'
import { getTenant } from '../tenants/tenant-store.js'
import { type ApiKey, displayPartsOf, mintApiKey } from './api-key.js'
import { insertApiKey, revokeApiKeysNamed } from './api-key-store.js'

export const CreateApiKeyInput = z.strictObject({
  slug: slugSchema,
  name: z.string().trim().min(1, 'must not be empty').max(120, 'must be at most 120 characters'),
  /** Revokes the tenant's live keys of the same name in the same transaction. */
  replaceNamesakes: z.boolean().default(false),
})

/** A key and, this one time, its secret: it is stored nowhere. */
export type MintedApiKey = { readonly key: ApiKey; readonly secret: string }

/** @throws TENANT.NOT_FOUND */
export async function createApiKey(ctx: Context, input: unknown): Promise<MintedApiKey> {
  const { slug, name, replaceNamesakes } = parse(CreateApiKeyInput, input)
  const tenant = await getTenant(ctx.platform, slug)
  return inTransaction(ctx.platform, async (transaction) => {
    if (replaceNamesakes) {
      const at = ctx.now()
      for (const id of await revokeApiKeysNamed(transaction, tenant.id, name, at)) {
        await recordRevocation(ctx, transaction, tenant.id, id, at)
      }
    }
    return addApiKey(ctx, transaction, {
      tenantId: tenant.id,
      name,
      isBootstrap: false,
      deliveredAt: ctx.now(),
    })
  })
}

/** Mints a key and writes it with its audit row, in the caller's transaction. */
export async function addApiKey(
  ctx: Context,
  transaction: PlatformDb,
  of: {
    readonly tenantId: string
    readonly name: string
    readonly isBootstrap: boolean
    readonly deliveredAt?: Date
  },
): Promise<MintedApiKey> {
  const secret = mintApiKey()
  const at = ctx.now()
  const key: ApiKey = {
    id: newId(),
    tenantId: of.tenantId,
    name: of.name,
    ...displayPartsOf(secret),
    isBootstrap: of.isBootstrap,
    deliveredAt: of.deliveredAt,
    lastUsedAt: undefined,
    expiresAt: undefined,
    revokedAt: undefined,
    createdAt: at,
  }
  await insertApiKey(transaction, {
    ...key,
    hash: ctx.keyring.hashApiKey(secret),
    appKeyId: ctx.keyring.currentId,
  })
  await insertAudit(transaction, {
    occurredAt: at,
    actor: ctx.actor,
    action: 'api_key.created',
    objectType: 'api_key',
    objectId: key.id,
    tenantId: of.tenantId,
    changes: { after: { name: key.name, prefix: key.prefix, last_four: key.lastFour } },
  })
  return { key, secret }
}

export const recordRevocation = (
  ctx: Context,
  transaction: PlatformDb,
  tenantId: string,
  keyId: string,
  at: Date,
) =>
  insertAudit(transaction, {
    occurredAt: at,
    actor: ctx.actor,
    action: 'api_key.revoked',
    objectType: 'api_key',
    objectId: keyId,
    tenantId,
  })

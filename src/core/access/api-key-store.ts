import type { PlatformDb } from '../db/connect.js'
import { rowsOf } from '../db/statements.js'
import type { TenantStatus } from '../tenants/tenant.js'
import type { ApiKey } from './api-key.js'

type Row = {
  id: string
  tenant_id: string
  name: string
  prefix: string
  last_four: string
  is_bootstrap: number
  delivered_at: Date | null
  last_used_at: Date | null
  expires_at: Date | null
  revoked_at: Date | null
  created_at: Date
}

// never the hash
const COLUMNS = [
  'id',
  'tenant_id',
  'name',
  'prefix',
  'last_four',
  'is_bootstrap',
  'delivered_at',
  'last_used_at',
  'expires_at',
  'revoked_at',
  'created_at',
] as const

const toApiKey = (row: Row): ApiKey => ({
  id: row.id,
  tenantId: row.tenant_id,
  name: row.name,
  prefix: row.prefix,
  lastFour: row.last_four,
  isBootstrap: row.is_bootstrap === 1,
  deliveredAt: row.delivered_at ?? undefined,
  lastUsedAt: row.last_used_at ?? undefined,
  expiresAt: row.expires_at ?? undefined,
  revokedAt: row.revoked_at ?? undefined,
  createdAt: row.created_at,
})

export async function listApiKeys(db: PlatformDb, tenantId: string): Promise<ApiKey[]> {
  const rows = await db<Row>('api_keys')
    .select(...COLUMNS)
    .where({ tenant_id: tenantId })
    .orderBy('id')
  return (rows as Row[]).map(toApiKey)
}

export type StoredApiKey = ApiKey & { readonly hash: Buffer; readonly appKeyId: string }

export async function insertApiKey(db: PlatformDb, key: StoredApiKey): Promise<void> {
  await db('api_keys').insert({
    id: key.id,
    tenant_id: key.tenantId,
    name: key.name,
    hash: key.hash,
    app_key_id: key.appKeyId,
    prefix: key.prefix,
    last_four: key.lastFour,
    is_bootstrap: key.isBootstrap,
    delivered_at: key.deliveredAt ?? null,
    expires_at: key.expiresAt ?? null,
    created_at: key.createdAt,
    updated_at: key.createdAt,
  })
}

/** The tenant's bootstrap key that lives and was shown. */
export async function findDeliveredBootstrapKey(
  db: PlatformDb,
  tenantId: string,
): Promise<ApiKey | undefined> {
  const row = await db<Row>('api_keys')
    .first(...COLUMNS)
    .where({ tenant_id: tenantId, is_bootstrap: 1, revoked_at: null })
    .whereNotNull('delivered_at')
  return row && toApiKey(row)
}

export async function hasUndeliveredBootstrapKey(
  db: PlatformDb,
  tenantId: string,
): Promise<boolean> {
  return (await undeliveredBootstrapKeys(db, tenantId).first('id')) !== undefined
}

const undeliveredBootstrapKeys = (db: PlatformDb, tenantId: string) =>
  db('api_keys').where({
    tenant_id: tenantId,
    is_bootstrap: 1,
    delivered_at: null,
    revoked_at: null,
  })

/** Revokes the tenant's live bootstrap keys that nobody was shown, and answers their ids. */
export async function revokeUndeliveredBootstrapKeys(
  db: PlatformDb,
  tenantId: string,
  at: Date,
): Promise<string[]> {
  const ids: string[] = await undeliveredBootstrapKeys(db, tenantId).pluck('id')
  if (ids.length > 0)
    await undeliveredBootstrapKeys(db, tenantId).update({ revoked_at: at, updated_at: at })
  return ids
}

export async function revokeApiKeysNamed(
  db: PlatformDb,
  tenantId: string,
  name: string,
  at: Date,
): Promise<string[]> {
  const live = () => db('api_keys').where({ tenant_id: tenantId, name, revoked_at: null })
  const ids: string[] = await live().pluck('id')
  if (ids.length > 0) await live().update({ revoked_at: at, updated_at: at })
  return ids
}

export async function setApiKeyDelivered(db: PlatformDb, id: string, at: Date): Promise<void> {
  await db('api_keys')
    .where({ id, delivered_at: null })
    .update({ delivered_at: at, updated_at: at })
}

/** What decides whether a request may pass: the key's state and its tenant's, read together. */
export type KeyStanding = {
  readonly keyId: string
  readonly expiresAt: Date | undefined
  readonly revokedAt: Date | undefined
  readonly tenant: {
    readonly id: string
    readonly slug: string
    readonly status: TenantStatus
    readonly database: string
    readonly serverId: string
    readonly credentialsKeyId: string
    readonly credentialsGeneration: number
  }
}

type StandingRow = {
  hash: Buffer
  id: string
  expires_at: Date | null
  revoked_at: Date | null
  tenant_id: string
  slug: string
  status: TenantStatus
  database_name: string
  server_id: string
  credentials_key_id: string
  credentials_generation: number
}

/**
 * Standings by hash (in hex), for as many hashes as are asked: one statement, given up after
 * `timeoutMs`.
 */
export async function findKeyStandings(
  db: PlatformDb,
  hashes: readonly Buffer[],
  timeoutMs: number,
): Promise<Map<string, KeyStanding>> {
  const rows = await rowsOf<StandingRow>(
    db,
    `select api_keys.hash, api_keys.id, api_keys.expires_at, api_keys.revoked_at, api_keys.tenant_id,
        tenants.slug, tenants.status, tenants.database_name, tenants.server_id,
        tenants.credentials_key_id, tenants.credentials_generation
      from api_keys join tenants on tenants.id = api_keys.tenant_id
      where api_keys.hash in (${hashes.map(() => '?').join(', ')})`,
    hashes,
    timeoutMs,
  )
  return new Map(
    rows.map((row) => [
      row.hash.toString('hex'),
      {
        keyId: row.id,
        expiresAt: row.expires_at ?? undefined,
        revokedAt: row.revoked_at ?? undefined,
        tenant: {
          id: row.tenant_id,
          slug: row.slug,
          status: row.status,
          database: row.database_name,
          serverId: row.server_id,
          credentialsKeyId: row.credentials_key_id,
          credentialsGeneration: row.credentials_generation,
        },
      },
    ]),
  )
}

import type { PlatformDb } from '../db/connect.js'
import { affectedBy, rowsOf } from '../db/statements.js'
import { fromJsonColumn } from '../parse.js'
import type { TenantStatus } from '../tenants/tenant.js'
import type { ApiKey, ApiKeyScope } from './api-key.js'

type Row = {
  id: string
  tenant_id: string
  name: string
  prefix: string
  last_four: string
  is_bootstrap: number
  scopes: unknown
  replaces_id: string | null
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
  'scopes',
  'replaces_id',
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
  scopes: row.scopes === null ? undefined : fromJsonColumn<ApiKeyScope[]>(row.scopes),
  replacesId: row.replaces_id ?? undefined,
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

/** Newest first, a page at a time. */
export async function pageApiKeys(
  db: PlatformDb,
  tenantId: string,
  { beforeId, limit }: { readonly beforeId?: string | undefined; readonly limit: number },
): Promise<ApiKey[]> {
  const query = db<Row>('api_keys')
    .select(...COLUMNS)
    .where({ tenant_id: tenantId })
    .orderBy('id', 'desc')
    .limit(limit)
  if (beforeId !== undefined) query.where('id', '<', beforeId)
  return ((await query) as Row[]).map(toApiKey)
}

export async function findApiKey(
  db: PlatformDb,
  tenantId: string,
  id: string,
): Promise<ApiKey | undefined> {
  const row = await db<Row>('api_keys')
    .first(...COLUMNS)
    .where({ tenant_id: tenantId, id })
  return row && toApiKey(row)
}

/** A limit of a key's own, instead of the configured one. */
export type RateLimit = { readonly requests: number; readonly periodSeconds: number }

export type StoredApiKey = ApiKey & {
  readonly hash: Buffer
  readonly appKeyId: string
  readonly rateLimit: RateLimit | undefined
}

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
    scopes: key.scopes === undefined ? null : JSON.stringify(key.scopes),
    replaces_id: key.replacesId ?? null,
    rate_limit_requests: key.rateLimit?.requests ?? null,
    rate_limit_period_seconds: key.rateLimit?.periodSeconds ?? null,
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

/** Whether the tenant's bootstrap keys, also those revoked since, include none that was ever shown. */
export async function isBootstrapKeyUnseen(db: PlatformDb, tenantId: string): Promise<boolean> {
  const made: (Date | null)[] = await db('api_keys')
    .where({ tenant_id: tenantId, is_bootstrap: 1 })
    .pluck('delivered_at')
  return made.length > 0 && made.every((deliveredAt) => deliveredAt === null)
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

/** Records that a key was shown. Returns false if it has been revoked. */
export async function setApiKeyDelivered(db: PlatformDb, id: string, at: Date): Promise<boolean> {
  const delivered = await affectedBy(
    db,
    'update api_keys set delivered_at = ?, updated_at = ? where id = ? and delivered_at is null and revoked_at is null',
    [at, at, id],
  )
  return delivered === 1
}

/** What decides whether a request may pass: the key's state and its tenant's, read together. */
export type KeyStanding = {
  readonly keyId: string
  readonly appKeyId: string
  readonly expiresAt: Date | undefined
  readonly revokedAt: Date | undefined
  readonly scopes: readonly ApiKeyScope[] | undefined
  readonly rateLimit: RateLimit | undefined
  /** Requests that the tenant's plan allows in a calendar month; undefined is unlimited. */
  readonly monthlyRequests: number | undefined
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
  app_key_id: string
  expires_at: Date | null
  revoked_at: Date | null
  scopes: unknown
  rate_limit_requests: number | null
  rate_limit_period_seconds: number | null
  monthly_requests: unknown
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
    `select api_keys.hash, api_keys.id, api_keys.app_key_id, api_keys.expires_at, api_keys.revoked_at,
        api_keys.scopes, api_keys.rate_limit_requests, api_keys.rate_limit_period_seconds, api_keys.tenant_id,
        tenants.slug, tenants.status, tenants.database_name, tenants.server_id,
        tenants.credentials_key_id, tenants.credentials_generation,
        plan_entitlements.value as monthly_requests
      from api_keys join tenants on tenants.id = api_keys.tenant_id
        left join plan_entitlements on plan_entitlements.plan_id = tenants.plan_id
          and plan_entitlements.code = 'api_calls.monthly'
      where api_keys.hash in (${hashes.map(() => '?').join(', ')})`,
    hashes,
    timeoutMs,
  )
  return new Map(
    rows.map((row) => [
      row.hash.toString('hex'),
      {
        keyId: row.id,
        appKeyId: row.app_key_id,
        scopes: row.scopes === null ? undefined : fromJsonColumn<ApiKeyScope[]>(row.scopes),
        rateLimit:
          row.rate_limit_requests === null || row.rate_limit_period_seconds === null
            ? undefined
            : { requests: row.rate_limit_requests, periodSeconds: row.rate_limit_period_seconds },
        monthlyRequests:
          row.monthly_requests === null ? undefined : fromJsonColumn<number>(row.monthly_requests),
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

/** Locks a tenant's live keys until the transaction ends. */
export async function lockLiveApiKeys(
  db: PlatformDb,
  tenantId: string,
  at: Date,
): Promise<ApiKey[]> {
  const rows = await db<Row>('api_keys')
    .select(...COLUMNS)
    .where({ tenant_id: tenantId, revoked_at: null } as object)
    .where((either) => either.whereNull('expires_at').orWhere('expires_at', '>', at))
    .orderBy('id')
    .forUpdate()
  return (rows as Row[]).map(toApiKey)
}

/** Returns false if the key was revoked before. */
export async function setApiKeyRevoked(db: PlatformDb, id: string, at: Date): Promise<boolean> {
  const revoked = await affectedBy(
    db,
    'update api_keys set revoked_at = ?, updated_at = ? where id = ? and revoked_at is null',
    [at, at, id],
  )
  return revoked === 1
}

export async function setApiKeyExpiry(
  db: PlatformDb,
  id: string,
  expiresAt: Date,
  at: Date,
): Promise<void> {
  await db('api_keys').where({ id }).update({ expires_at: expiresAt, updated_at: at })
}

/** Limits of a key's own, for a successor to inherit. */
export async function findRateLimit(db: PlatformDb, id: string): Promise<RateLimit | undefined> {
  const row = await db('api_keys')
    .first('rate_limit_requests', 'rate_limit_period_seconds')
    .where({ id })
  if (!row || row.rate_limit_requests === null) return undefined
  return { requests: row.rate_limit_requests, periodSeconds: row.rate_limit_period_seconds }
}

/** How many live keys hang on each application key. */
export async function countByAppKey(db: PlatformDb, at: Date): Promise<Map<string, number>> {
  const rows = await rowsOf<{ app_key_id: string; count: number }>(
    db,
    'select app_key_id, count(*) as count from api_keys where revoked_at is null and (expires_at is null or expires_at > ?) group by app_key_id',
    [at],
  )
  return new Map(rows.map((row) => [row.app_key_id, Number(row.count)]))
}

/** Moves a key to another application key. Its old hash must still stand, so that two do no harm. */
export async function rehashApiKey(
  db: PlatformDb,
  {
    id,
    from,
    to,
    appKeyId,
    at,
  }: { id: string; from: Buffer; to: Buffer; appKeyId: string; at: Date },
): Promise<void> {
  await affectedBy(
    db,
    'update api_keys set hash = ?, app_key_id = ?, updated_at = ? where id = ? and hash = ?',
    [to, appKeyId, at, id, from],
  )
}

/** Writes down when keys were last used: those that were used later already are left. */
export async function setLastUsed(
  db: PlatformDb,
  used: readonly (readonly [id: string, at: Date])[],
): Promise<void> {
  const rows = used.map((_, index) => (index === 0 ? 'select ? as id, ? as at' : 'select ?, ?'))
  await affectedBy(
    db,
    `update api_keys join (${rows.join(' union all ')}) used on used.id = api_keys.id
      set api_keys.last_used_at = used.at
      where api_keys.last_used_at is null or api_keys.last_used_at < used.at`,
    used.flat(),
  )
}

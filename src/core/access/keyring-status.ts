import type { Context } from '../context.js'
import type { PlatformDb } from '../db/connect.js'
import { rowsOf } from '../db/statements.js'
import { AppError } from '../errors.js'
import { plural } from '../plural.js'
import { countByAppKey } from './api-key-store.js'

export type AppKeyStatus = {
  readonly keyId: string
  /** `unknown`: rows depend on it and it isn't in the ring, so they can't be used. */
  readonly role: 'current' | 'previous' | 'unknown'
  readonly apiKeys: number
  readonly tenantLogins: number
  readonly webhookSecrets: number
  /** Sealed logins of database servers; undefined if only the runtime login is configured. */
  readonly serverLogins: number | undefined
  /** Keys of the trail's chain: one, under whichever application key `init` saw last. */
  readonly auditKeys: number
  /** Runtime logins: one for each key that `init` ran under. */
  readonly runtimeLogins: number
}

/** Counts what depends on each application key: those of the ring, and those that only rows name. */
export async function keyringStatus(ctx: Context): Promise<AppKeyStatus[]> {
  const { platform, keyring } = ctx
  const apiKeys = await countByAppKey(platform, ctx.now())
  const tenantLogins = await countLogins(platform)
  const webhookSecrets = await countSecrets(platform)
  const serverLogins = await countServerLogins(ctx)
  const auditKeys = await countAuditKeys(platform)
  const runtimeLogins = await countRuntimeLogins(platform)
  const counts = [apiKeys, tenantLogins, webhookSecrets, serverLogins, auditKeys, runtimeLogins]
  const ids = new Set([...keyring.ids, ...counts.flatMap((count) => [...(count?.keys() ?? [])])])
  return [...ids].map((keyId) => ({
    keyId,
    role: keyId === keyring.currentId ? 'current' : keyring.has(keyId) ? 'previous' : 'unknown',
    apiKeys: apiKeys.get(keyId) ?? 0,
    tenantLogins: tenantLogins.get(keyId) ?? 0,
    webhookSecrets: webhookSecrets.get(keyId) ?? 0,
    serverLogins: serverLogins && (serverLogins.get(keyId) ?? 0),
    auditKeys: auditKeys.get(keyId) ?? 0,
    runtimeLogins: runtimeLogins.get(keyId) ?? 0,
  }))
}

/** One thing that depends on an application key. */
export type Dependent = {
  readonly kind: 'api key' | 'tenant login' | 'webhook secret'
  readonly tenant: string
  /** The id of the API key or webhook endpoint; the tenant's for its login. */
  readonly id: string
  /** What a person recognizes it by. */
  readonly name: string
  readonly lastUsedAt: Date | undefined
}

type Row = { tenant: string; id: string; name: string; last_used_at: Date | null }

/** Lists what depends on an application key, sorted by tenant. */
export async function listDependents(ctx: Context, keyId: string): Promise<Dependent[]> {
  const list = async (kind: Dependent['kind'], sql: string, values: readonly (string | Date)[]) =>
    (await rowsOf<Row>(ctx.platform, sql, values)).map(
      ({ last_used_at, ...row }): Dependent => ({
        kind,
        ...row,
        lastUsedAt: last_used_at ?? undefined,
      }),
    )
  const keys = await list(
    'api key',
    `select tenants.slug as tenant, api_keys.id, concat(prefix, '…', last_four, ' ', api_keys.name) as name, last_used_at
      from api_keys join tenants on tenants.id = api_keys.tenant_id
      where app_key_id = ? and revoked_at is null and (expires_at is null or expires_at > ?)`,
    [keyId, ctx.now()],
  )
  const logins = await list(
    'tenant login',
    "select slug as tenant, id, database_user as name, null as last_used_at from tenants where credentials_key_id = ? and status <> 'archived'",
    [keyId],
  )
  const secrets = await list(
    'webhook secret',
    `select tenants.slug as tenant, webhook_endpoints.id, coalesce(url, 'no URL yet') as name, null as last_used_at
      from webhook_endpoints join tenants on tenants.id = webhook_endpoints.tenant_id
      where secret_encrypted like ? or previous_secret_encrypted like ?`,
    [`v1.${keyId}.%`, `v1.${keyId}.%`],
  )
  // the sort is stable: within a tenant the kinds stay in this order
  return [...keys, ...logins, ...secrets].sort((one, other) =>
    one.tenant < other.tenant ? -1 : one.tenant > other.tenant ? 1 : 0,
  )
}

/**
 * Confirms that nothing that can't be moved depends on an earlier application key.
 *
 * @throws KEYRING.UNKNOWN, KEYRING.IN_USE with `details`: what is left
 */
export async function assertRetirable(ctx: Context, keyId: string): Promise<void> {
  const status = (await keyringStatus(ctx)).find(
    (each) => each.keyId === keyId && each.role !== 'current',
  )
  if (!status) throw new AppError('KEYRING.UNKNOWN', keyId)
  const serverLogins = status.serverLogins ?? 0
  const named = [
    status.apiKeys > 0 &&
      plural(
        status.apiKeys,
        'API key that was not used since',
        'API keys that were not used since',
      ),
    status.tenantLogins > 0 && plural(status.tenantLogins, 'tenant login'),
    status.webhookSecrets > 0 && plural(status.webhookSecrets, 'webhook secret'),
    serverLogins > 0 && plural(serverLogins, 'database server login'),
    status.auditKeys > 0 && 'the key of the audit chain ("validonx init" seals it again)',
  ].filter((each) => each !== false)
  if (named.length > 0) {
    throw new AppError('KEYRING.IN_USE', keyId, named.join(', ')).with({
      api_keys: status.apiKeys,
      tenant_logins: status.tenantLogins,
      webhook_secrets: status.webhookSecrets,
      server_logins: status.serverLogins ?? null,
      audit_keys: status.auditKeys,
    })
  }
}

const countLogins = async (db: PlatformDb): Promise<Map<string, number>> =>
  toMap(
    await rowsOf(
      db,
      "select credentials_key_id as key_id, count(*) as count from tenants where status <> 'archived' group by credentials_key_id",
    ),
  )

/** The key's id is the second part of what is sealed under it. A secret that signs beside another counts as well. */
const countSecrets = async (db: PlatformDb): Promise<Map<string, number>> =>
  toMap(
    await rowsOf(
      db,
      `select substring_index(substring_index(sealed, '.', 2), '.', -1) as key_id, count(*) as count from (
        select secret_encrypted as sealed from webhook_endpoints
        union all select previous_secret_encrypted from webhook_endpoints where previous_secret_encrypted is not null
      ) secrets group by key_id`,
    ),
  )

/** Only the provisioner may read these. */
const countServerLogins = async (ctx: Context): Promise<Map<string, number> | undefined> => {
  if (!ctx.access.provisionerLogin) return undefined
  const provisioner = await ctx.provisioner()
  return provisioner.withDatabase(ctx.config.platformDatabase, async (db: PlatformDb) =>
    toMap(
      await rowsOf(
        db,
        "select substring_index(substring_index(provisioner_login_encrypted, '.', 2), '.', -1) as key_id, count(*) as count from database_servers where provisioner_login_encrypted is not null group by key_id",
      ),
    ),
  )
}

const countAuditKeys = async (db: PlatformDb): Promise<Map<string, number>> =>
  toMap(
    await rowsOf(
      db,
      "select substring_index(substring_index(value, '.', 2), '.', -1) as key_id, count(*) as count from platform_settings where name = 'audit_key' group by key_id",
    ),
  )

const countRuntimeLogins = async (db: PlatformDb): Promise<Map<string, number>> =>
  toMap(
    await rowsOf(
      db,
      "select substring(name, 15) as key_id, count(*) as count from platform_settings where left(name, 14) = 'runtime_login:' group by key_id",
    ),
  )

const toMap = (rows: readonly { key_id: string; count: number }[]): Map<string, number> =>
  new Map(rows.map(({ key_id, count }) => [key_id, Number(count)]))

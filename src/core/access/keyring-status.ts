import type { Context } from '../context.js'
import type { PlatformDb } from '../db/connect.js'
import { rowsOf } from '../db/statements.js'
import { AppError } from '../errors.js'
import { countByAppKey } from './api-key-store.js'

export type AppKeyStatus = {
  readonly keyId: string
  readonly role: 'current' | 'previous' | 'unknown'
  readonly apiKeys: number
  readonly tenantLogins: number
  readonly webhookSecrets: number
  /** Keys of the trail's chain: one, under whichever application key `init` saw last. */
  readonly auditKeys: number
}

/** What still hangs on each application key: those of the ring, and those that rows name and the ring lacks. */
export async function keyringStatus(ctx: Context): Promise<AppKeyStatus[]> {
  const apiKeys = await countByAppKey(ctx.platform, ctx.now())
  const logins = await countLogins(ctx.platform)
  const secrets = await countSecrets(ctx.platform)
  const auditKeys = await countAuditKeys(ctx.platform)
  const ids = new Set([
    ...ctx.keyring.ids,
    ...apiKeys.keys(),
    ...logins.keys(),
    ...secrets.keys(),
    ...auditKeys.keys(),
  ])
  return [...ids].map((keyId) => ({
    keyId,
    role:
      keyId === ctx.keyring.currentId ? 'current' : ctx.keyring.has(keyId) ? 'previous' : 'unknown',
    apiKeys: apiKeys.get(keyId) ?? 0,
    tenantLogins: logins.get(keyId) ?? 0,
    webhookSecrets: secrets.get(keyId) ?? 0,
    auditKeys: auditKeys.get(keyId) ?? 0,
  }))
}

/**
 * Confirms that nothing hangs on a previous application key any more, so that it can be taken out of
 * VALIDONX_APP_PREVIOUS_KEYS.
 *
 * @throws KEYRING.UNKNOWN, KEYRING.IN_USE with `details`: what is left
 */
export async function assertRetirable(ctx: Context, keyId: string): Promise<void> {
  const status = (await keyringStatus(ctx)).find(
    (each) => each.keyId === keyId && each.role !== 'current',
  )
  if (!status) throw new AppError('KEYRING.UNKNOWN', keyId)
  const left = [
    [status.apiKeys, 'API keys that were not used since'],
    [status.tenantLogins, 'logins of tenants'],
    [status.webhookSecrets, 'webhook secrets'],
    [status.auditKeys, 'key of the audit chain ("validonx init" seals it anew)'],
  ] as const
  const named = left.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`)
  if (named.length > 0) {
    throw new AppError('KEYRING.IN_USE', keyId, named.join(', ')).with({
      api_keys: status.apiKeys,
      tenant_logins: status.tenantLogins,
      webhook_secrets: status.webhookSecrets,
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

const countAuditKeys = async (db: PlatformDb): Promise<Map<string, number>> =>
  toMap(
    await rowsOf(
      db,
      "select substring_index(substring_index(value, '.', 2), '.', -1) as key_id, count(*) as count from platform_settings where name = 'audit_key' group by key_id",
    ),
  )

const toMap = (rows: readonly { key_id: string; count: number }[]): Map<string, number> =>
  new Map(rows.map(({ key_id, count }) => [key_id, Number(count)]))

import type { PlatformDb } from '../db/connect.js'
import { type Holder, isKnownDead } from '../db/holder.js'
import type { Provisioner } from '../db/provisioner.js'
import { rowsOf } from '../db/statements.js'

/** What the platform knows of a tenant's traffic, for all tenants in one statement. */
export type Traffic = {
  readonly liveKeys: number
  /** Live keys whose application key isn't configured: every request with one is refused. */
  readonly deadKeys: number
  readonly lastRequestAt: Date | undefined
  /** Webhook endpoints by state. */
  readonly endpoints: Readonly<Record<string, number>>
}

/** @param appKeyIds the ids of the ring: API keys of any other can't be used */
export async function readTraffic(
  db: PlatformDb,
  appKeyIds: readonly string[],
): Promise<Map<string, Traffic>> {
  const isLive = 'revoked_at is null and (expires_at is null or expires_at > utc_timestamp(6))'
  const isKnown = `app_key_id in (${appKeyIds.map(() => '?').join(', ')})`
  const keys = await rowsOf<{
    tenant_id: string
    live: number
    dead: number
    last_used_at: Date | null
  }>(
    db,
    `select tenant_id, sum(${isLive} and ${isKnown}) as live, sum(${isLive} and not ${isKnown}) as dead,
      max(last_used_at) as last_used_at from api_keys group by tenant_id`,
    [...appKeyIds, ...appKeyIds],
  )
  const endpoints = await rowsOf<{ tenant_id: string; status: string; count: number }>(
    db,
    'select tenant_id, status, count(*) as count from webhook_endpoints group by tenant_id, status',
  )
  const byTenant = new Map<string, Record<string, number>>()
  for (const { tenant_id, status, count } of endpoints) {
    const own = byTenant.get(tenant_id) ?? {}
    own[status] = Number(count)
    byTenant.set(tenant_id, own)
  }
  return new Map(
    keys.map(({ tenant_id, live, dead, last_used_at }) => [
      tenant_id,
      {
        liveKeys: Number(live),
        deadKeys: Number(dead),
        lastRequestAt: last_used_at ?? undefined,
        endpoints: byTenant.get(tenant_id) ?? {},
      },
    ]),
  )
}

/** Leases that have time left and whose process is known to be dead: they would be waited for in vain elsewhere. */
export async function findStaleLeases(db: PlatformDb, self: Holder): Promise<string[]> {
  const rows = await rowsOf<{ name: string; holder: string; machine: string | null; pid: number }>(
    db,
    'select name, holder, machine, pid from leases where expires_at > utc_timestamp(6)',
  )
  return rows
    .filter(({ holder, machine, pid }) =>
      isKnownDead({ name: holder, machine: machine ?? undefined, pid }, self),
    )
    .map(({ name }) => name)
}

export async function listDatabases(provisioner: Provisioner, prefix: string): Promise<string[]> {
  const rows = await provisioner.rows<{ name: string }>(
    'select schema_name as name from information_schema.schemata where left(schema_name, ?) = ?',
    [prefix.length, prefix],
  )
  return rows.map(({ name }) => name)
}

/** Database users that look like tenants'; undefined if this login may not see users. */
export async function listTenantUsers(
  provisioner: Provisioner,
): Promise<readonly { readonly user: string; readonly hosts: readonly string[] }[] | undefined> {
  try {
    const rows = await provisioner.rows<{ user: string; host: string }>(
      "select user as user, host as host from mysql.user where user regexp '^vx_[0-9a-z]{20,}$' order by user, host",
    )
    const hosts = new Map<string, string[]>()
    for (const { user, host } of rows) hosts.set(user, [...(hosts.get(user) ?? []), host])
    return [...hosts].map(([user, own]) => ({ user, hosts: own }))
  } catch {
    return undefined
  }
}

/**
 * Bytes on disk of each database, from InnoDB's own list of files: `information_schema.TABLES` would open
 * every table. Undefined where this login lacks the PROCESS privilege.
 */
export async function readSizes(
  provisioner: Provisioner,
  prefix: string,
): Promise<Map<string, number> | undefined> {
  for (const table of ['innodb_sys_tablespaces', 'innodb_tablespaces']) {
    try {
      const rows = await provisioner.rows<{ db: string; size: unknown }>(
        `select substring_index(name, '/', 1) as db, sum(file_size) as size from information_schema.${table} where left(name, ?) = ? group by db`,
        [prefix.length, prefix],
      )
      return new Map(rows.map(({ db, size }) => [db, Number(size)]))
    } catch {
      // the other engine's name for it, or not for this login
    }
  }
  return undefined
}

import { relayOutbox } from '../../src/core/audit/relay-outbox.js'
import type { Context } from '../../src/core/context.js'
import type { Provisioner } from '../../src/core/db/provisioner.js'
import { quoteName, quoteUser } from '../../src/core/db/sql.js'
import { placeOf } from '../../src/core/tenants/scope.js'
import type { Tenant } from '../../src/core/tenants/tenant.js'
import { getTenant } from '../../src/core/tenants/tenant-store.js'
import { type Schema, schemaOf } from './schema.js'

export type Grounds = { readonly ctx: Context; readonly provisioner: Provisioner }

type Rows = readonly Readonly<Record<string, unknown>>[]

/** All that provisioning leaves behind for one tenant, without what differs from tenant to tenant. */
export type Standing = {
  readonly schema: Schema
  /** Rows by table of the tenant's database. */
  readonly contents: Readonly<Record<string, Rows>>
  readonly platform: Readonly<Record<string, Rows>>
  /** What the tenant's user may do, and who else may enter its database. */
  readonly rights: Readonly<Record<string, readonly unknown[]>>
}

/** What of a table's rows must be alike; of a table that is not here, all rows count. */
const TENANT_COLUMNS: Readonly<Record<string, string>> = {
  validonx_owner: 'tenant_id',
  knex_migrations: 'name, batch',
  knex_migrations_lock: 'is_locked',
  settings: 'name, value',
  branding: 'id, display_name, logo_url, primary_color, accent_color, support_email, support_url',
  entitlements: 'code, type, value, source',
  // without its month: a run may begin in one and end in the next
  usage_counters: 'code, subject, value, period_end is null as endless',
  outbox:
    'action, object_type, object_id, actor_type, actor_name, relayed_at is not null as relayed',
}

const PLATFORM: Readonly<Record<string, string>> = {
  tenant:
    'select slug, name, status, status_reason, database_name, database_user, credentials_generation, activated_at is not null as activated, suspended_at from tenants where id = ?',
  stages:
    'select stage, position, status, error, finished_at is not null as finished from provisioning_stages where tenant_id = ? order by position, stage',
  subscriptions:
    'select subscriptions.status, current_for, plans.code as plan, cancelled_at from subscriptions join plans on plans.id = plan_id where tenant_id = ?',
  webhooks:
    'select placeholder_for, url, status, events from webhook_endpoints where tenant_id = ?',
  members: 'select role from tenant_users where tenant_id = ?',
  // how many keys were made depends on where a run was cut off
  audit:
    "select action, object_type, outcome, actor_name from audit_logs where tenant_id = ? and object_type <> 'api_key' order by action, object_type",
  // each key and each revocation stands in the trail once
  keysWithOddTrail: `select api_keys.id from api_keys where tenant_id = ? and (
    (select count(*) from audit_logs where object_id = api_keys.id and action = 'api_key.created') <> 1 or
    (select count(*) from audit_logs where object_id = api_keys.id and action = 'api_key.revoked') <> (revoked_at is not null))`,
}

/**
 * Two tenants that were provisioned alike stand alike, however often either was interrupted.
 * `shown` is the API key that was shown last: of all keys that were made it alone must live.
 */
export async function standingOf(
  { ctx, provisioner }: Grounds,
  slug: string,
  shown: string,
): Promise<Standing> {
  const tenant = await getTenant(ctx.platform, slug)
  // a command that was cut off left that to the next one
  await relayOutbox(ctx, placeOf(tenant))
  const general = withoutNames([
    [tenant.id, '<id>'],
    [tenant.databaseUser, '<user>'],
    [tenant.database.replaceAll('_', '\\_'), '<escaped database>'],
    [tenant.database, '<database>'],
    [tenant.name, '<name>'],
    [tenant.slug, '<slug>'],
  ])
  return general({
    schema: await schemaOf(provisioner, tenant.database),
    contents: await contentsOf(provisioner, tenant.database),
    platform: await platformRowsOf({ ctx, provisioner }, tenant.id, shown),
    rights: await rightsOf({ ctx, provisioner }, tenant),
  })
}

async function contentsOf(
  provisioner: Provisioner,
  database: string,
): Promise<Record<string, Rows>> {
  const contents: Record<string, Rows> = {}
  const tables = await provisioner.rows<{ name: string }>(
    'select table_name as name from information_schema.tables where table_schema = ?',
    [database],
  )
  for (const { name } of tables) {
    const columns = TENANT_COLUMNS[name] ?? 'count(*) as count'
    contents[name] = await provisioner.rows(
      `select ${columns} from ${quoteName(database)}.${quoteName(name)} order by 1, ${columns.includes(',') ? 2 : 1}`,
    )
  }
  return contents
}

async function platformRowsOf(
  { ctx, provisioner }: Grounds,
  tenantId: string,
  shown: string,
): Promise<Record<string, Rows>> {
  return provisioner.withDatabase(ctx.config.platformDatabase, async (db) => {
    const ask = async (sql: string, values: readonly (string | Buffer)[]): Promise<Rows> =>
      (await db.raw(sql, [...values]))[0]
    const rows: Record<string, Rows> = {
      liveKeys: await ask(
        'select name, is_bootstrap, delivered_at is not null as delivered, expires_at, hash = ? as was_shown_last from api_keys where tenant_id = ? and revoked_at is null',
        [ctx.keyring.hashApiKey(shown), tenantId],
      ),
    }
    for (const [name, sql] of Object.entries(PLATFORM)) rows[name] = await ask(sql, [tenantId])
    return rows
  })
}

async function rightsOf(
  { ctx, provisioner }: Grounds,
  tenant: Tenant,
): Promise<Record<string, readonly unknown[]>> {
  const { database, databaseUser: user } = tenant
  const grants = await provisioner.rows<Record<string, string>>(
    `show grants for ${quoteUser(user, ctx.config.tenantUserHost)}`,
  )
  return {
    // a password's hash is its user's own
    grants: grants
      .flatMap((row) => Object.values(row))
      .map((grant) => grant.replace(/ IDENTIFIED .*/, ''))
      .sort(),
    accounts: await provisioner.rows('select user, host from mysql.user where user = ?', [user]),
    login: await ctx.tenantDatabases.read(
      placeOf(tenant),
      'select database() as home, current_user() as login',
      [],
    ),
    enteredBy: await provisioner.rows(
      'select user, host from mysql.db where ? like db order by user',
      [database],
    ),
  }
}

/** A copy in which names that differ from tenant to tenant are words that do not. */
const withoutNames =
  (names: readonly (readonly [string, string])[]) =>
  <T>(value: T): T =>
    JSON.parse(
      names.reduce(
        (text, [name, word]) => text.replaceAll(JSON.stringify(name).slice(1, -1), word),
        JSON.stringify(value),
      ),
    ) as T

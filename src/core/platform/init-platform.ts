import type { Migration } from '../../../migrations/migration.js'
import { platformMigrations } from '../../../migrations/platform/index.js'
import { type PlanSeed, planSeeds } from '../../../seeds/platform/plans.js'
import { ensureAuditKey } from '../audit/audit-key.js'
import type { Config } from '../config.js'
import { type Context, runtimeLogin } from '../context.js'
import type { PlatformDb } from '../db/connect.js'
import { withLease } from '../db/lease.js'
import { applyMigrations, listApplied, pendingOf, prepareLedger } from '../db/migrate.js'
import type { Provisioner } from '../db/provisioner.js'
import { assertProvisionerPrivileges } from '../db/provisioner-privileges.js'
import { formatDatabaseUrl } from '../db/server-address.js'
import { assertSupported } from '../db/server-version.js'
import { quoteName } from '../db/sql.js'
import { affectedBy } from '../db/statements.js'
import { inTransaction } from '../db/transaction.js'
import { AppError } from '../errors.js'
import { insertAudit } from '../events/audit-store.js'
import { assertSuitable } from '../fleet/examine-server.js'
import { findExpectedChanges, isAsOf, saysAlready } from '../fleet/expected-changes.js'
import { readSnapshot } from '../fleet/schema-snapshot.js'
import { ensureTemplate } from '../fleet/template.js'
import { newId } from '../ids.js'
import { type DatabaseServer, FIRST_SERVER } from '../servers/database-server.js'
import { listServers } from '../servers/database-server-store.js'
import { grantRuntimeLogins } from './runtime-logins.js'
import { runtimePrivileges } from './runtime-privileges.js'

/** How many tenants the first server is meant to hold until somebody says otherwise. */
const DEFAULT_CAPACITY = 10_000

/** Rows of `platform_settings` that are written last: where they stand, the platform is whole. */
export const READY_SETTINGS = { appKeyId: 'app_key_id', readyFor: 'ready_for' } as const

export const newestPlatformMigration = (): string => platformMigrations.at(-1)?.name ?? ''

export type InitReport = (step: string) => void

export type InitializedPlatform = {
  readonly platformId: string
  readonly database: string
  /** Whether this call made the platform, rather than brought an existing one up to date. */
  readonly created: boolean
  readonly migrations: readonly string[]
  readonly plans: readonly string[]
  readonly serverVersion: string
  /** The value of VALIDONX_RUNTIME_URL: a secret. */
  readonly runtimeUrl: string
  /** Application keys whose runtime logins still work; `keyring retire` drops them. */
  readonly earlierLogins: readonly string[]
}

/**
 * Makes the platform, or brings it up to date. Safe to repeat and to run twice at once; it never
 * drops anything and changes no plan that stands.
 *
 * @throws DATABASE.VERSION_UNSUPPORTED, DATABASE.PRIVILEGES_MISSING, DATABASE.UNSUITABLE,
 *   PLATFORM.NAME_TAKEN, CONFIG.APP_KEY_CHANGED, LEASE.HELD
 */
export async function initPlatform(
  ctx: Context,
  report: InitReport = () => {},
): Promise<InitializedPlatform> {
  const { platformDatabase, tenantPrefix } = ctx.config
  const provisioner = await ctx.provisioner()

  report('checking the database server')
  const [server] = await provisioner.rows<{ version: string }>('select version() as version')
  const serverVersion = server?.version ?? ''
  assertSupported(serverVersion)
  await assertProvisionerPrivileges(provisioner, { platformDatabase, tenantPrefix })
  await assertNotTaken(provisioner, platformDatabase)
  await assertSuitable(ctx, provisioner)
  await provisioner.run(
    `create database if not exists ${quoteName(platformDatabase)} character set utf8mb4 collate utf8mb4_unicode_ci`,
  )

  return provisioner.withDatabase(platformDatabase, async (db: PlatformDb) => {
    await prepareLedger(db)
    // the lease needs its table: the first two changes can be repeated by two at once without harm
    if (pendingOf(await listApplied(db), platformMigrations.slice(0, 2)).length > 0) {
      for (const migration of platformMigrations.slice(0, 2)) await migration.up(db)
    }
    return withLease(db, 'platform', ctx.lease, async (lease) => {
      await assertAppKey(ctx, db)
      report('applying platform migrations')
      const migrations = await applyMigrations(
        db,
        platformMigrations,
        () => lease.assertHeld(),
        (migration, error) => isThere(provisioner, ctx.config, migration, error),
      )
      const platformId = await recordPlatform(ctx, db, migrations)
      report('writing plans')
      const plans = await insertMissingPlans(db, ctx.now())
      report('setting up the runtime login')
      const earlierLogins = await grantRuntimeLogins(ctx, provisioner, db)
      await registerFirstServer(db, serverVersion, ctx.now())
      report('building the template databases')
      for (const { server } of await listServers(db)) await prepareTemplate(ctx, db, server)
      await ensureAuditKey(ctx, db)
      await markReady(ctx, db)
      return {
        platformId: platformId.id,
        database: platformDatabase,
        created: platformId.created,
        migrations,
        plans,
        serverVersion,
        runtimeUrl: formatDatabaseUrl(
          ctx.access.address,
          runtimeLogin(ctx.config, ctx.access, ctx.keyring),
        ),
        earlierLogins,
      }
    })
  })
}

/** A run that was cut off after the statement and before the ledger row: then the schema has all of it. */
async function isThere(
  provisioner: Provisioner,
  { platformDatabase, tenantPrefix }: Config,
  { name }: Migration,
  error: unknown,
): Promise<boolean> {
  if (!saysAlready(error)) return false
  const changes = await findExpectedChanges(provisioner, tenantPrefix, platformMigrations, name)
  return (
    changes.length > 0 &&
    isAsOf(await readSnapshot(provisioner, platformDatabase), changes, 'after')
  )
}

/** An empty database may have been made for us by an administrator; a stranger's is left alone. */
async function assertNotTaken(provisioner: Provisioner, database: string): Promise<void> {
  const tables = await provisioner.rows<{ name: string }>(
    'select table_name as name from information_schema.tables where table_schema = ?',
    [database],
  )
  const names = tables.map(({ name }) => name)
  const ours = new Set([...Object.keys(runtimePrivileges), 'knex_migrations_lock'])
  const isBegun = names.every((name) => name.startsWith('knex_migrations'))
  const isOurs = names.includes('platform_settings') && names.every((name) => ours.has(name))
  if (!isBegun && !isOurs)
    throw new AppError('PLATFORM.NAME_TAKEN', database).with({ tables: names })
}

async function assertAppKey(ctx: Context, db: PlatformDb): Promise<void> {
  const row = await db('platform_settings').first('value').where({ name: 'app_key_id' })
  if (row && !ctx.keyring.has(row.value))
    throw new AppError('CONFIG.APP_KEY_CHANGED', ctx.config.platformDatabase)
}

async function recordPlatform(
  ctx: Context,
  db: PlatformDb,
  migrations: readonly string[],
): Promise<{ id: string; created: boolean }> {
  const at = ctx.now()
  const known = await db('platform_settings').first('value').where({ name: 'platform_id' })
  const id = known?.value ?? newId()
  await inTransaction(db, async (transaction) => {
    if (!known)
      await transaction('platform_settings').insert({
        name: 'platform_id',
        value: id,
        updated_at: at,
      })
    if (known && migrations.length === 0) return
    await insertAudit(transaction, {
      occurredAt: at,
      actor: ctx.actor,
      action: known ? 'platform.migrated' : 'platform.created',
      objectType: 'platform',
      objectId: id,
      tenantId: null,
      changes: { after: { migrations } },
    })
  })
  return { id, created: !known }
}

/** Another server's template can wait: without one the migrations run. */
async function prepareTemplate(
  ctx: Context,
  db: PlatformDb,
  server: DatabaseServer,
): Promise<void> {
  try {
    await ensureTemplate(ctx, db, server)
  } catch (error) {
    if (server.name === FIRST_SERVER) throw error
    ctx.log.warn('the template of a database server could not be built', {
      server: server.name,
      error,
    })
  }
}

async function markReady(ctx: Context, db: PlatformDb): Promise<void> {
  const at = ctx.now()
  await affectedBy(
    db,
    'insert into platform_settings (name, value, updated_at) values (?, ?, ?), (?, ?, ?) on duplicate key update value = values(value), updated_at = values(updated_at)',
    [
      ...[READY_SETTINGS.readyFor, newestPlatformMigration(), at],
      ...[READY_SETTINGS.appKeyId, ctx.keyring.currentId, at],
    ],
  )
}

async function insertMissingPlans(db: PlatformDb, at: Date): Promise<string[]> {
  const present = new Set<string>(await db('plans').pluck('code'))
  const missing = planSeeds.filter(({ code }) => !present.has(code))
  for (const seed of missing) {
    await inTransaction(db, (transaction) =>
      insertPlan(transaction, seed, planSeeds.indexOf(seed), at),
    )
  }
  return missing.map(({ code }) => code)
}

async function insertPlan(
  db: PlatformDb,
  seed: PlanSeed,
  position: number,
  at: Date,
): Promise<void> {
  const id = newId()
  const stamps = { created_at: at, updated_at: at }
  await db('plans').insert({
    id,
    code: seed.code,
    name: seed.name,
    price_cents: seed.priceCents,
    currency: 'USD',
    billing_interval: 'month',
    position,
    is_offered: true,
    ...stamps,
  })
  await db('plan_entitlements').insert(
    seed.entitlements.map(({ code, type, value }) => ({
      id: newId(),
      plan_id: id,
      code,
      type,
      value: value === null ? null : JSON.stringify(value),
      ...stamps,
    })),
  )
}

async function registerFirstServer(db: PlatformDb, version: string, at: Date): Promise<void> {
  await affectedBy(
    db,
    `insert into database_servers (id, name, capacity, accepts_tenants, version, created_at, updated_at) values (?, ?, ?, true, ?, ?, ?)
      on duplicate key update version = values(version), updated_at = values(updated_at)`,
    [newId(), FIRST_SERVER, DEFAULT_CAPACITY, version, at, at],
  )
}

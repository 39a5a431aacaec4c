import { createHash } from 'node:crypto'
import { tenantMigrations } from '../../../migrations/tenant/index.js'
import type { Context } from '../context.js'
import type { PlatformDb } from '../db/connect.js'
import { withLease } from '../db/lease.js'
import { applyMigrations, listApplied } from '../db/migrate.js'
import { OWNER_TABLE, ownerTableSql } from '../db/ownership.js'
import type { Provisioner } from '../db/provisioner.js'
import { quoteName, quoteText } from '../db/sql.js'
import { isFailure } from '../driver-failure.js'
import type { DatabaseServer } from '../servers/database-server.js'
import { endSessionsIn } from './end-sessions.js'

/** No slug begins with "_", so no tenant's database can have this name. */
export const templateDatabase = (prefix: string): string => `${prefix}_template`

/** Where the template keeps its own schema as text, ready to be replayed. */
export const SCRIPT_TABLE = 'template_script'

const NO_TENANT = '00000000-0000-0000-0000-000000000000'

/** Changes whenever the list of tenant migrations does. */
export const tenantSchemaFingerprint = (): string =>
  createHash('sha256')
    .update(JSON.stringify(tenantMigrations.map(({ name }) => name)))
    .digest('hex')

export const newestTenantMigration = (): string => tenantMigrations.at(-1)?.name ?? ''

/** The tables of a tenant database at the newest schema, with their ledger rows, as statements. */
export type SchemaScript = {
  readonly tables: readonly { readonly name: string; readonly create: string }[]
}

const scripts = new WeakMap<
  Provisioner,
  { readonly fingerprint: string; readonly script: SchemaScript }
>()

/**
 * Builds the server's template, an empty tenant database at the newest schema, where it is missing or
 * old. It is made by the migrations themselves, so a replay of it gives what they give.
 */
export async function ensureTemplate(
  ctx: Context,
  platform: PlatformDb,
  server: DatabaseServer,
): Promise<void> {
  const provisioner = await ctx.provisioner(server)
  const database = templateDatabase(ctx.config.tenantPrefix)
  if (await readScript(provisioner, database)) return
  await withLease(platform, `template/${server.id}`, ctx.lease, () => build(provisioner, database))
}

async function build(provisioner: Provisioner, database: string): Promise<void> {
  if (await readScript(provisioner, database)) return
  // one who died while building it may be at it still
  await endSessionsIn(provisioner, new Set([database]), { alsoNamed: false })
  // it holds nothing of anybody: one that is old or half made is made anew
  await provisioner.run(`drop database if exists ${quoteName(database)}`)
  await provisioner.run(
    `create database ${quoteName(database)} character set utf8mb4 collate utf8mb4_unicode_ci`,
  )
  await provisioner.run(ownerTableSql(database))
  await provisioner.withDatabase(database, async (db) => {
    await applyMigrations(db, tenantMigrations)
    const names: string[] = (
      await provisioner.rows<{ name: string }>(
        'select table_name as name from information_schema.tables where table_schema = ? order by table_name',
        [database],
      )
    ).map(({ name }) => name)
    const tables: { name: string; create: string }[] = []
    for (const name of names) {
      const [row] = await provisioner.rows<{ 'Create Table': string }>(
        `show create table ${quoteName(database)}.${quoteName(name)}`,
      )
      tables.push({ name, create: withoutCounter(row?.['Create Table'] ?? '') })
    }
    await db.raw(
      `create table ${SCRIPT_TABLE} (fingerprint char(64) character set ascii collate ascii_bin not null primary key, tenant_id char(36) not null, script mediumtext not null) engine = InnoDB default character set utf8mb4 collate utf8mb4_unicode_ci row_format = dynamic`,
    )
    await db(SCRIPT_TABLE).insert({
      fingerprint: tenantSchemaFingerprint(),
      tenant_id: NO_TENANT,
      script: JSON.stringify({ tables: inOrderOfReference(tables) } satisfies SchemaScript),
    })
  })
}

/** The template's schema, or undefined where there is none at the newest: then the migrations must run. */
export async function findSchemaScript(
  ctx: Context,
  provisioner: Provisioner,
): Promise<SchemaScript | undefined> {
  const known = scripts.get(provisioner)
  if (known?.fingerprint === tenantSchemaFingerprint()) return known.script
  const script = await readScript(provisioner, templateDatabase(ctx.config.tenantPrefix))
  if (script) scripts.set(provisioner, { fingerprint: tenantSchemaFingerprint(), script })
  return script
}

/** The whole schema for one database, ledger included, as one text of statements. */
export function replaySql(script: SchemaScript, database: string): string {
  const schema = quoteName(database)
  const tables = script.tables
    .filter(({ name }) => name !== OWNER_TABLE)
    .map(({ name, create }) =>
      withRowFormat(create).replace(
        `CREATE TABLE ${quoteName(name)}`,
        `create table ${schema}.${quoteName(name)}`,
      ),
    )
  const ledger = tenantMigrations
    .map(({ name }) => `(${quoteText(name)}, 1, utc_timestamp())`)
    .join(', ')
  return [
    ...tables,
    `insert into ${schema}.knex_migrations_lock (is_locked) values (0)`,
    `insert into ${schema}.knex_migrations (name, batch, migration_time) values ${ledger}`,
  ].join(';\n')
}

/** The same by the migrations one after another: for a server without a template, or a schema that lacks a few. */
export async function applyPendingMigrations(
  provisioner: Provisioner,
  database: string,
): Promise<void> {
  await provisioner.withDatabase(database, async (db) => {
    await applyMigrations(db, tenantMigrations)
  })
}

/** Names that the ledger of a database lacks; all of them where it has no ledger. */
export async function pendingTenantMigrations(
  provisioner: Provisioner,
  database: string,
): Promise<string[]> {
  return provisioner.withDatabase(database, async (db) => {
    const applied = new Set(await listApplied(db))
    return tenantMigrations.filter(({ name }) => !applied.has(name)).map(({ name }) => name)
  })
}

async function readScript(
  provisioner: Provisioner,
  database: string,
): Promise<SchemaScript | undefined> {
  try {
    const [row] = await provisioner.rows<{ script: string }>(
      `select script from ${quoteName(database)}.${SCRIPT_TABLE} where fingerprint = ?`,
      [tenantSchemaFingerprint()],
    )
    return row && (JSON.parse(row.script) as SchemaScript)
  } catch (error) {
    if (isFailure(error, 'missing')) return undefined
    throw error
  }
}

/** Each table after those that it refers to. */
function inOrderOfReference(tables: SchemaScript['tables']): SchemaScript['tables'] {
  const ordered: SchemaScript['tables'][number][] = []
  let waiting = [...tables]
  while (waiting.length > 0) {
    const placed = new Set(ordered.map(({ name }) => name))
    const ready = waiting.filter(({ name, create }) =>
      referencesOf(create).every((other) => other === name || placed.has(other)),
    )
    if (ready.length === 0)
      throw new Error(
        `tables refer to each other in a circle: ${waiting.map(({ name }) => name).join(', ')}`,
      )
    ordered.push(...ready)
    waiting = waiting.filter((table) => !ready.includes(table))
  }
  return ordered
}

const referencesOf = (create: string): string[] =>
  [...create.matchAll(/ REFERENCES `([^`]+)`/g)].map(([, name = '']) => name)

/** A template from before the row format was named in migrations leaves it to the server's default. */
const withRowFormat = (create: string): string =>
  /\bROW_FORMAT=/i.test(create) ? create : `${create} ROW_FORMAT=DYNAMIC`

const withoutCounter = (create: string): string => create.replace(/ AUTO_INCREMENT=\d+/, '')

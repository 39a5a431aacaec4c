import { tenantMigrations } from '../../../migrations/tenant/index.js'
import type { Context } from '../context.js'
import { OWNER_TABLE } from '../db/ownership.js'
import { runOn } from '../db/statements.js'
import { causeOf } from '../driver-failure.js'
import { AppError, asAppError } from '../errors.js'
import { placeOf } from '../tenants/scope.js'
import type { Tenant } from '../tenants/tenant.js'
import { failureOf } from './examine-tenant.js'
import type { Finding } from './health.js'
import { recordSql } from './recorded-sql.js'

const LEDGER = 'knex_migrations'

/**
 * What a tenant has lost: its database, the login to it, or tables that its own ledger says were made. Two statements
 * as its own user, which read no row of it but the ledger; `tenant health` looks closer.
 *
 * @throws DATABASE.… if the server can't be asked
 */
export async function findLosses(ctx: Context, tenant: Tenant): Promise<Finding[]> {
  try {
    return await ctx.tenantDatabases.lend(placeOf(tenant), async (connection) => {
      const rows = await runOn(
        connection,
        'select table_name as name from information_schema.tables where table_schema = database()',
      )
      const present = new Set((rows as unknown as { name: string }[]).map(({ name }) => name))
      const applied = present.has(LEDGER)
        ? ((await runOn(connection, `select name from ${LEDGER}`)) as unknown as { name: string }[])
        : []
      const made = await tablesMadeBy(new Set(applied.map(({ name }) => name)))
      const missing = [LEDGER, OWNER_TABLE, ...made].filter((name) => !present.has(name))
      return missing.length === 0 ? [] : [lossOf(missing, tenant)]
    })
  } catch (thrown) {
    const kind = causeOf(thrown)?.kind
    const isOfThisTenant =
      (thrown instanceof AppError && thrown.code.startsWith('TENANT.')) ||
      (kind !== undefined && ['missing', 'privilege missing', 'access denied'].includes(kind))
    if (!isOfThisTenant) throw asAppError(thrown)
    return [failureOf(thrown, tenant)]
  }
}

const lossOf = (tables: readonly string[], { slug }: Tenant): Finding => ({
  check: 'schema',
  says: `it lacks ${tables.length === 1 ? 'table' : 'tables'} ${tables.map((name) => `"${name}"`).join(', ')}`,
  next: `restore the database from a backup, then: validonx tenant health ${slug}`,
})

/** The tables that are there after these migrations. */
async function tablesMadeBy(applied: ReadonlySet<string>): Promise<ReadonlySet<string>> {
  const tables = new Set<string>()
  for (const migration of tenantMigrations) {
    if (!applied.has(migration.name)) continue
    for (const statement of await recordSql(migration, 'up')) {
      const [, verb, name] = TABLE.exec(statement) ?? []
      if (name === undefined) continue
      if (verb?.toLowerCase() === 'create') tables.add(name)
      else tables.delete(name)
    }
  }
  return tables
}

const TABLE = /^(create|drop)\s+table\s+(?:if\s+(?:not\s+)?exists\s+)?`?(\w+)`?/i

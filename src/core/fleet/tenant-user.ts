import type { Connection } from 'mysql2'
import type { Context } from '../context.js'
import {
  type Account,
  accountSql,
  isLoginRefused,
  passwordSql,
  readTraits,
  readTraitsOn,
  type ServerTraits,
} from '../db/database-account.js'
import { OWNER_TABLE } from '../db/ownership.js'
import type { Provisioner } from '../db/provisioner.js'
import { quoteGrantDatabase, quoteName, quoteUser } from '../db/sql.js'
import { runOn } from '../db/statements.js'
import { isFailure } from '../driver-failure.js'
import { AppError } from '../errors.js'
import { placeOf } from '../tenants/scope.js'
import type { Tenant } from '../tenants/tenant.js'

/** The database name of a grant, so that it means this database alone. */
const grantedDatabase = (database: string, { hasPartialRevokes }: ServerTraits): string =>
  hasPartialRevokes ? quoteName(database) : quoteGrantDatabase(database)

/** The one grant that a tenant's database user has. */
export const tenantGrantSql = (
  traits: ServerTraits,
  database: string,
  { user, host }: Pick<Account, 'user' | 'host'>,
): string =>
  `grant select, insert, update, delete on ${grantedDatabase(database, traits)}.* to ${quoteUser(user, host)}`

export function accountOf(ctx: Context, tenant: Tenant): Account {
  return {
    user: tenant.databaseUser,
    host: ctx.config.tenantUserHost,
    password: ctx.keyring.tenantPassword(
      tenant.id,
      tenant.credentialsGeneration,
      tenant.credentialsKeyId,
    ),
  }
}

/**
 * Makes the tenant's database user, or repairs it, and proves by logging in as it that it may use its
 * own database and no other.
 *
 * @param revokesFirst takes away all rights that the user holds before it grants its own
 * @throws PROVISIONING.GRANTS_WRONG; TENANT.DATABASE_MISSING if it still cannot log in
 */
export async function ensureTenantUser(
  ctx: Context,
  provisioner: Provisioner,
  tenant: Tenant,
  { revokesFirst = false } = {},
): Promise<void> {
  const traits = await readTraits(provisioner)
  const account = accountOf(ctx, tenant)
  const revoke = `revoke all privileges, grant option from ${quoteUser(account.user, account.host)}`
  await provisioner.run(
    [
      accountSql(traits, account),
      ...(revokesFirst ? [revoke] : []),
      tenantGrantSql(traits, tenant.database, account),
    ].join('; '),
  )
  const prove = (): Promise<string | undefined> => {
    // sessions keep the rights that they began with
    ctx.tenantDatabases.close(tenant.id)
    return ctx.tenantDatabases.lend(placeOf(tenant), (connection) =>
      findStrayRights(connection, tenant.database),
    )
  }
  const stray = await prove().catch(async (error) => {
    if (!isLoginRefused(error)) throw error
    await provisioner.run(passwordSql(traits, account))
    return prove()
  })
  if (stray !== undefined)
    throw new AppError('PROVISIONING.GRANTS_WRONG', tenant.databaseUser, stray)
}

/**
 * What the user of this connection may do beyond its own database, or `nothing` if it may not use that
 * one; undefined if its rights are right. Tried, not only read: what a grant's text means depends on
 * the server's settings.
 */
export async function findStrayRights(
  connection: Connection,
  database: string,
): Promise<string | undefined> {
  const traits = await readTraitsOn(connection)
  const rows = (await runOn(connection, 'show grants')) as unknown as Record<string, string>[]
  const grants = rows.flatMap((row) => Object.values(row))
  const stray = strayIn(grants, database, traits)
  if (stray !== undefined) return stray
  if (!(await mayRead(connection, database))) return 'nothing'
  for (const name of lookalikesOf(database)) {
    if (await mayRead(connection, name)) return `databases with names like "${name}"`
  }
  return undefined
}

function strayIn(
  grants: readonly string[],
  database: string,
  traits: ServerTraits,
): string | undefined {
  const own = `GRANT SELECT, INSERT, UPDATE, DELETE ON ${grantedDatabase(database, traits)}.* TO `
  const strays = grants.filter(
    (grant) =>
      !grant.startsWith('GRANT USAGE ON *.* TO ') &&
      !(grant.startsWith(own) && !/ WITH GRANT OPTION/.test(grant)),
  )
  if (strays.length > 0) return strays.join('; ').replaceAll(/ IDENTIFIED .*?(?=;|$)/g, '')
  return grants.some((grant) => grant.startsWith(own)) ? undefined : 'nothing'
}

/** Servers look at rights before they look whether the table exists. */
async function mayRead(connection: Connection, database: string): Promise<boolean> {
  try {
    await runOn(connection, `select 1 from ${quoteName(database)}.${OWNER_TABLE} limit 1`)
    return true
  } catch (error) {
    if (isFailure(error, 'privilege missing')) return false
    if (isFailure(error, 'missing')) return true
    throw error
  }
}

/** Names that a grant would open too if its `_` were a wildcard. */
function lookalikesOf(database: string): string[] {
  const last = database.lastIndexOf('_')
  if (last < 0) return []
  return [
    database.replaceAll('_', '0'),
    `${database.slice(0, last)}0${database.slice(last + 1)}`,
  ].filter((name, index, all) => name !== database && all.indexOf(name) === index)
}

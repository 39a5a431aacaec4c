import type { QueryResult } from 'mysql2'
import { quoteGrantDatabase, quoteName, quoteText, quoteUser } from '../../db/sql.js'
import { isFailure } from '../../driver-failure.js'
import { AppError } from '../../errors.js'
import { isEmptyDatabase, markOwnerSql, ownerOf, ownerTableSql } from '../../fleet/ownership.js'
import type { Job, Stage } from '../stage.js'

/** The tenant's own database, marked as its own, and the one database user that may enter it. */
export const createIsolatedDatabase: Stage = {
  name: 'create-isolated-database',

  async check({ ctx, provisioner, tenant }) {
    if ((await ownerOf(provisioner, tenant.database)) !== tenant.id) return false
    const grants = await readGrants(provisioner, tenant.databaseUser, ctx.config.tenantUserHost)
    return grants !== undefined && findStray(grants, tenant.database) === undefined
  },

  async run(job) {
    const fresh = await createDatabase(job)
    await createUser(job, fresh)
  },
}

/**
 * Answers whether the database was made just now. Never "if not exists": that adopts a stranger's
 * database. An unmarked one is taken over only where an earlier run was cut off in this very stage,
 * and it is empty.
 */
export async function createDatabase({ provisioner, tenant, cutShort }: Job): Promise<boolean> {
  const { database } = tenant
  const create = `create database ${quoteName(database)} character set utf8mb4 collate utf8mb4_unicode_ci`
  const mark = `${ownerTableSql(database)}; ${markOwnerSql(database)}`
  try {
    await provisioner.run(`${create}; ${mark}`, [tenant.id])
    return true
  } catch (error) {
    if (!isFailure(error, 'already there')) throw error
  }
  const owner = await ownerOf(provisioner, database)
  if (owner === tenant.id) return false
  const oursToFinish =
    owner === 'unmarked' &&
    cutShort.has(createIsolatedDatabase.name) &&
    (await isEmptyDatabase(provisioner, database))
  if (!oursToFinish) throw new AppError('PROVISIONING.DATABASE_TAKEN', database)
  await provisioner.run(mark, [tenant.id])
  return false
}

async function createUser({ ctx, provisioner, tenant }: Job, fresh: boolean): Promise<void> {
  const host = ctx.config.tenantUserHost
  const account = quoteUser(tenant.databaseUser, host)
  const password = quoteText(
    ctx.keyring.tenantPassword(tenant.id, tenant.credentialsGeneration, tenant.credentialsKeyId),
  )
  const results = await provisioner.run(
    [
      `create user if not exists ${account} identified by ${password}`,
      // one left by an attempt under another key has another password
      ...(fresh ? [] : [`alter user ${account} identified by ${password}`]),
      `grant select, insert, update, delete on ${quoteGrantDatabase(tenant.database)}.* to ${account}`,
      `show grants for ${account}`,
    ].join('; '),
  )
  const stray = findStray(grantTexts((results as unknown as QueryResult[]).at(-1)), tenant.database)
  if (stray !== undefined)
    throw new AppError('PROVISIONING.GRANTS_WRONG', tenant.databaseUser, stray)
}

async function readGrants(
  provisioner: Job['provisioner'],
  user: string,
  host: string,
): Promise<string[] | undefined> {
  try {
    return grantTexts(await provisioner.run(`show grants for ${quoteUser(user, host)}`))
  } catch (error) {
    // 1141: no such user
    if (isFailure(error, 'other')) return undefined
    throw error
  }
}

const grantTexts = (rows: unknown): string[] =>
  (rows as Record<string, string>[]).flatMap((row) => Object.values(row))

/** What the grants say beyond the tenant's own database, or the lack of it; undefined where they are exactly right. */
export function findStray(grants: readonly string[], database: string): string | undefined {
  const own = `GRANT SELECT, INSERT, UPDATE, DELETE ON ${quoteGrantDatabase(database)}.* TO `
  const strays = grants.filter(
    (grant) =>
      !grant.startsWith('GRANT USAGE ON *.* TO ') &&
      !(grant.startsWith(own) && !/ WITH GRANT OPTION/.test(grant)),
  )
  if (strays.length > 0) return strays.join('; ').replaceAll(/ IDENTIFIED .*?(?=;|$)/g, '')
  return grants.some((grant) => grant.startsWith(own)) ? undefined : 'nothing'
}

import { isEmptyDatabase, markOwnerSql, ownerOf, ownerTableSql } from '../../db/ownership.js'
import { quoteName } from '../../db/sql.js'
import { isFailure } from '../../driver-failure.js'
import { AppError } from '../../errors.js'
import { findStray, tenantUserSql } from '../../fleet/tenant-grants.js'
import { placeOf } from '../../tenants/scope.js'
import { endLeftOverSessions } from '../end-left-over-sessions.js'
import type { Job, Stage } from '../stage.js'

/** The tenant's own database, marked as its own, and the one database user that may enter it. */
export const createIsolatedDatabase: Stage = {
  name: 'create-isolated-database',
  effect: 'database server',

  async check(job) {
    if ((await ownerOf(job.provisioner, job.tenant.database)) !== job.tenant.id) return false
    const grants = await readGrants(job).catch(() => undefined)
    return grants !== undefined && findStray(grants, job.tenant.database) === undefined
  },

  async run(job) {
    if (job.cutShort.has(createIsolatedDatabase.name)) await endLeftOverSessions(job)
    await createDatabase(job)
    await createUser(job)
  },
}

/**
 * Makes the database, marked. Never "if not exists": that adopts a stranger's. An unmarked one is taken
 * over only where an earlier run was cut off in this very stage, and it is empty.
 */
export async function createDatabase({ provisioner, tenant, cutShort }: Job): Promise<void> {
  const { database } = tenant
  const create = `create database ${quoteName(database)} character set utf8mb4 collate utf8mb4_unicode_ci`
  const mark = `${ownerTableSql(database)}; ${markOwnerSql(database)}`
  try {
    await provisioner.run(`${create}; ${mark}`, [tenant.id])
    return
  } catch (error) {
    if (!isFailure(error, 'already there')) throw error
  }
  const owner = await ownerOf(provisioner, database)
  if (owner === tenant.id) return
  const oursToFinish =
    owner === 'unmarked' &&
    cutShort.has(createIsolatedDatabase.name) &&
    (await isEmptyDatabase(provisioner, database))
  if (!oursToFinish) throw new AppError('PROVISIONING.DATABASE_TAKEN', database)
  await provisioner.run(mark, [tenant.id])
}

async function createUser(job: Job): Promise<void> {
  const { ctx, provisioner, tenant } = job
  const password = ctx.keyring.tenantPassword(
    tenant.id,
    tenant.credentialsGeneration,
    tenant.credentialsKeyId,
  )
  await provisioner.run(
    tenantUserSql(tenant.database, tenant.databaseUser, ctx.config.tenantUserHost, password),
  )
  const stray = findStray(await readGrants(job), tenant.database)
  if (stray !== undefined)
    throw new AppError('PROVISIONING.GRANTS_WRONG', tenant.databaseUser, stray)
}

/** Read back as the user itself: that needs no right on the server's own tables, and proves the login. */
async function readGrants({ ctx, tenant }: Job): Promise<string[]> {
  const rows = await ctx.tenantDatabases.read<Record<string, string>>(
    placeOf(tenant),
    'show grants',
    [],
  )
  return rows.flatMap((row) => Object.values(row))
}

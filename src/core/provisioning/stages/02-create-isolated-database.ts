import { isEmptyDatabase, markOwnerSql, ownerOf, ownerTableSql } from '../../db/ownership.js'
import { quoteName } from '../../db/sql.js'
import { isFailure } from '../../driver-failure.js'
import { AppError } from '../../errors.js'
import { ensureTenantUser, findStrayRights } from '../../fleet/tenant-user.js'
import { placeOf } from '../../tenants/scope.js'
import { endLeftOverSessions } from '../end-left-over-sessions.js'
import type { Job, Stage } from '../stage.js'

/** The tenant's own database, marked as its own, and the one database user that may enter it. */
export const createIsolatedDatabase: Stage = {
  name: 'create-isolated-database',
  effect: 'database server',

  async check(job) {
    if ((await ownerOf(job.provisioner, job.tenant.database)) !== job.tenant.id) return false
    const { ctx, tenant } = job
    return ctx.tenantDatabases
      .lend(placeOf(tenant), (connection) => findStrayRights(connection, tenant.database))
      .then(
        (stray) => stray === undefined,
        () => false,
      )
  },

  async run(job) {
    if (job.cutShort.has(createIsolatedDatabase.name)) await endLeftOverSessions(job)
    await createDatabase(job)
    await ensureTenantUser(job.ctx, job.provisioner, job.tenant)
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

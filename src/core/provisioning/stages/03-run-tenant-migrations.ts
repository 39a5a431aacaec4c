import { isEmptyDatabase, ownerOf } from '../../db/ownership.js'
import { quoteName } from '../../db/sql.js'
import { AppError } from '../../errors.js'
import {
  applyPendingMigrations,
  findSchemaScript,
  pendingTenantMigrations,
  replaySql,
} from '../../fleet/template.js'
import { endLeftOverSessions } from '../end-left-over-sessions.js'
import type { Job, Stage } from '../stage.js'
import { createDatabase } from './02-create-isolated-database.js'

/** The newest schema: the template's, replayed in one round trip, or the migrations where there is no template. */
export const runTenantMigrations: Stage = {
  name: 'run-tenant-migrations',
  effect: 'database server',

  check: async ({ provisioner, tenant }) =>
    (await pendingTenantMigrations(provisioner, tenant.database)).length === 0,

  async run(job) {
    const { ctx, provisioner, tenant, lease } = job
    if ((await ownerOf(provisioner, tenant.database)) !== tenant.id) {
      throw new AppError('PROVISIONING.DATABASE_TAKEN', tenant.database)
    }
    if (!(await isEmptyDatabase(provisioner, tenant.database))) {
      if (job.finished.has(runTenantMigrations.name) || tenant.status === 'active') {
        // a whole schema, which a newer version of ours has migrations for: it may hold data
        await applyPendingMigrations(provisioner, tenant.database)
        return
      }
      await startOver(job)
    }
    await lease.confirm()
    const script = await findSchemaScript(ctx, provisioner)
    if (script) await provisioner.run(replaySql(script, tenant.database))
    else await applyPendingMigrations(provisioner, tenant.database)
  },
}

/** A schema cut off half-way holds nobody's data yet: no later stage has run, and the tenant was never open. */
async function startOver(job: Job): Promise<void> {
  const { provisioner, tenant, lease } = job
  await endLeftOverSessions(job)
  await lease.confirm()
  await provisioner.run(`drop database ${quoteName(tenant.database)}`)
  await createDatabase(job)
}

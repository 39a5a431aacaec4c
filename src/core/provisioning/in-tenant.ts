import type { TenantDb } from '../db/connect.js'
import { OWNER_TABLE } from '../db/ownership.js'
import { rowsOf } from '../db/statements.js'
import { inTransaction } from '../db/transaction.js'
import { AppError } from '../errors.js'
import type { Action } from '../events/actions.js'
import { insertOutbox } from '../events/outbox-store.js'
import { placeOf } from '../tenants/scope.js'
import type { Job } from './stage.js'

/** The tenant's database under its own runtime login: a stage may do no more there than a request may. */
export const tenantDb = ({ ctx, tenant }: Job): TenantDb => ctx.tenantDatabases.for(placeOf(tenant))

type Told = { readonly action: Action; readonly objectType: string; readonly after: unknown }

/**
 * Writes of a stage to the tenant's database, with the event that `work` answers, in one transaction.
 *
 * @throws PROVISIONING.DATABASE_TAKEN where the database bears another owner's mark
 */
export const inTenant = (
  job: Job,
  work: (transaction: TenantDb, at: Date) => Promise<Told | undefined>,
): Promise<void> =>
  inTransaction(tenantDb(job), async (transaction) => {
    const [owner] = await rowsOf<{ tenant_id: string }>(
      transaction,
      `select tenant_id from ${OWNER_TABLE}`,
    )
    if (owner?.tenant_id !== job.tenant.id)
      throw new AppError('PROVISIONING.DATABASE_TAKEN', job.tenant.database)
    const at = job.ctx.now()
    const told = await work(transaction, at)
    if (!told) return
    job.ctx.touched.set(job.tenant.id, placeOf(job.tenant))
    await insertOutbox(transaction, {
      occurredAt: at,
      actor: job.ctx.actor,
      action: told.action,
      objectType: told.objectType,
      objectId: job.tenant.id,
      changes: { after: told.after },
    })
  })

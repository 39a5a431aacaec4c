import { AppError } from '../../errors.js'
import { databaseNameOf, slugSchema } from '../../tenants/tenant.js'
import { findTenant } from '../../tenants/tenant-store.js'
import type { Stage } from '../stage.js'

/** The registry row is what all else is made from, so it is read again and judged before anything is made. */
export const validateTenantRecord: Stage = {
  name: 'validate-tenant-record',
  effect: 'none',

  check: async () => true,

  async run({ ctx, tenant, plan }) {
    const stands = await findTenant(ctx.platform, tenant.slug)
    if (!stands || stands.id !== tenant.id) throw new AppError('TENANT.NOT_FOUND', tenant.slug)
    if (stands.status !== 'provisioning' && stands.status !== 'failed') {
      throw new AppError('TENANT.INVALID_STATE', tenant.slug, stands.status)
    }
    const named = slugSchema.safeParse(stands.slug).success
    if (!named || stands.database !== databaseNameOf(ctx.config.tenantPrefix, stands.slug)) {
      throw new AppError(
        'TENANT.DIFFERS',
        tenant.slug,
        'database',
        stands.database,
        databaseNameOf(ctx.config.tenantPrefix, stands.slug),
      )
    }
    if (plan.id !== stands.planId) throw new AppError('PLAN.NOT_FOUND', stands.planId, [plan.code])
  },
}

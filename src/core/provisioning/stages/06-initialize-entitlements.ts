import {
  insertMissingEntitlements,
  listEntitlements,
} from '../../entitlements/entitlement-store.js'
import { inTenant, tenantDb } from '../in-tenant.js'
import type { Stage } from '../stage.js'

/** What the plan grants, written where the tenant's own verbs read it. */
export const initializeEntitlements: Stage = {
  name: 'initialize-entitlements',
  effect: 'database server',

  async check(job) {
    const present = new Set((await listEntitlements(tenantDb(job))).map(({ code }) => code))
    return job.plan.entitlements.every(({ code }) => present.has(code))
  },

  run: (job) =>
    inTenant(job, async (transaction, at) => {
      const added = await insertMissingEntitlements(transaction, job.plan.entitlements, at)
      return added.length === 0
        ? undefined
        : {
            action: 'entitlement.granted',
            objectType: 'entitlement',
            after: { plan: job.plan.code, codes: added },
          }
    }),
}

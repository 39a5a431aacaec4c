import {
  countedCodes,
  insertMissingCounters,
  listCounterCodes,
} from '../../entitlements/usage-counter-store.js'
import { inTenant, tenantDb } from '../in-tenant.js'
import type { Stage } from '../stage.js'

/** A counter at zero for everything that the plan meters. */
export const initializeUsageCounters: Stage = {
  name: 'initialize-usage-counters',
  effect: 'database server',

  async check(job) {
    const present = new Set(await listCounterCodes(tenantDb(job)))
    return countedCodes(job.plan.entitlements).every((code) => present.has(code))
  },

  run: (job) =>
    inTenant(job, async (transaction, at) => {
      const added = await insertMissingCounters(
        transaction,
        countedCodes(job.plan.entitlements),
        at,
      )
      return added.length === 0
        ? undefined
        : {
            action: 'usage_counters.initialized',
            objectType: 'usage_counter',
            after: { codes: added },
          }
    }),
}

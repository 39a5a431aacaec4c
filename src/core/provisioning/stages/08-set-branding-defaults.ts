import { brandingSeed } from '../../../../seeds/tenant/defaults.js'
import { hasBranding, insertMissingBranding } from '../../tenants/branding-store.js'
import { inTenant, tenantDb } from '../in-tenant.js'
import type { Stage } from '../stage.js'

/** The tenant's face, plain until somebody paints it. */
export const setBrandingDefaults: Stage = {
  name: 'set-branding-defaults',
  effect: 'database server',

  check: (job) => hasBranding(tenantDb(job)),

  run: (job) =>
    inTenant(job, async (transaction, at) => {
      const branding = { displayName: job.tenant.name, ...brandingSeed }
      const added = await insertMissingBranding(transaction, branding, at)
      return added
        ? { action: 'branding.initialized', objectType: 'branding', after: branding }
        : undefined
    }),
}

import { settingSeeds } from '../../../../seeds/tenant/defaults.js'
import { insertMissingSettings, listSettingNames } from '../../tenants/setting-store.js'
import { inTenant, tenantDb } from '../in-tenant.js'
import type { Stage } from '../stage.js'

/** How the tenant wants things done, as everyone begins. */
export const seedConfigurationDefaults: Stage = {
  name: 'seed-configuration-defaults',
  effect: 'database server',

  async check(job) {
    const present = new Set(await listSettingNames(tenantDb(job)))
    return Object.keys(settingSeeds).every((name) => present.has(name))
  },

  run: (job) =>
    inTenant(job, async (transaction, at) => {
      const added = await insertMissingSettings(transaction, settingSeeds, at)
      return added.length === 0
        ? undefined
        : { action: 'settings.seeded', objectType: 'settings', after: { added } }
    }),
}

import { tenantMigrations } from '../../../../migrations/tenant/index.js'
import { settingSeeds } from '../../../../seeds/tenant/defaults.js'
import { countedCodes } from '../../entitlements/usage-counter-store.js'
import { AppError } from '../../errors.js'
import { insertAudit } from '../../events/audit-store.js'
import { placeOf } from '../../tenants/scope.js'
import { findTenant, setTenantStatus } from '../../tenants/tenant-store.js'
import { onPlatform } from '../on-platform.js'
import type { Job, Stage } from '../stage.js'

/** Asks the tenant's database, as the tenant's own user, whether all of it is there; then opens the tenant. */
export const healthCheckAndActivate: Stage = {
  name: 'health-check-and-activate',
  effect: 'platform',

  check: async ({ ctx, tenant }) =>
    (await findTenant(ctx.platform, tenant.slug))?.status === 'active',

  async run(job) {
    const faults = await findFaults(job)
    if (faults.length > 0) {
      throw new AppError(
        'PROVISIONING.STOPPED',
        job.tenant.slug,
        healthCheckAndActivate.name,
      ).because(new Error(`not healthy: ${faults.join('; ')}`))
    }
    await onPlatform(job, async (transaction, at) => {
      const { tenant } = job
      if (
        !(await setTenantStatus(transaction, tenant.id, ['provisioning', 'failed'], 'active', at))
      )
        return
      await insertAudit(transaction, {
        occurredAt: at,
        actor: job.ctx.actor,
        action: 'tenant.activated',
        objectType: 'tenant',
        objectId: tenant.id,
        tenantId: tenant.id,
        changes: { before: { status: tenant.status }, after: { status: 'active' } },
      })
    })
  },
}

type Findings = {
  database_name: string
  owner: string
  migrations: number
  settings: number
  entitlements: number
  counters: number
  branding: number
}

const QUESTIONS = `select database() as database_name,
  (select tenant_id from validonx_owner) as owner,
  (select count(*) from knex_migrations) as migrations,
  (select count(*) from settings) as settings,
  (select count(*) from entitlements) as entitlements,
  (select count(*) from usage_counters) as counters,
  (select count(*) from branding) as branding`

async function findFaults({ ctx, tenant, plan }: Job): Promise<string[]> {
  const [found] = await ctx.tenantDatabases.read<Findings>(placeOf(tenant), QUESTIONS, [])
  if (!found) return ['the database did not answer']
  const expected: [string, unknown, unknown][] = [
    ['database', found.database_name, tenant.database],
    ['owner', found.owner, tenant.id],
    ['migrations', found.migrations, tenantMigrations.length],
    ['settings', found.settings, Object.keys(settingSeeds).length],
    ['entitlements', found.entitlements, plan.entitlements.length],
    ['usage counters', found.counters, countedCodes(plan.entitlements).length],
    ['branding', found.branding, 1],
  ]
  return expected
    .filter(([, is, shouldBe]) => is !== shouldBe)
    .map(([what, is, shouldBe]) => `${what} is ${String(is)}, not ${String(shouldBe)}`)
}

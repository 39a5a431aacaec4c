import { brandingSeed, settingSeeds } from '../../../seeds/tenant/defaults.js'
import { getPlanById } from '../billing/plan-store.js'
import type { Context } from '../context.js'
import { withLease } from '../db/lease.js'
import { quoteName, quoteUser } from '../db/sql.js'
import { affectedBy } from '../db/statements.js'
import { inTransaction } from '../db/transaction.js'
import { insertMissingEntitlements } from '../entitlements/entitlement-store.js'
import { countedCodes, insertMissingCounters } from '../entitlements/usage-counter-store.js'
import { insertOutbox } from '../events/outbox-store.js'
import { getServerById, listServers } from '../servers/database-server-store.js'
import { insertMissingBranding } from '../tenants/branding-store.js'
import { placeOf, TenantScope } from '../tenants/scope.js'
import { insertMissingSettings } from '../tenants/setting-store.js'
import type { Tenant } from '../tenants/tenant.js'
import { getTenant } from '../tenants/tenant-store.js'
import { rebuildUsage } from '../usage/rebuild-usage.js'
import type { FleetHealth, Remedy } from './health.js'
import { findStaleLeases, listDatabases } from './health-store.js'
import { tenantUserSql } from './tenant-grants.js'

/** One thing that `mend` would do. */
export type Mending = {
  readonly remedy: Remedy
  /** A tenant's slug, or the name of a database or lease. */
  readonly of: string
  readonly says: string
}

const SAYS: Readonly<Record<Remedy, (of: string) => string>> = {
  'grant again': (of) =>
    `take all rights from the database user of "${of}", and grant what is right`,
  'add missing defaults': (of) =>
    `add what "${of}" lacks of settings, branding, entitlements and counters`,
  'rebuild usage': (of) => `set the usage counters of "${of}" to what its events come to`,
  'drop scratch database': (of) => `drop scratch database "${of}"`,
  'end lease': (of) => `end the lease of "${of}"`,
}

/** What can be mended of what was found, each thing once. */
export function planMendings({ tenants, findings }: FleetHealth): Mending[] {
  const named = [
    ...tenants.flatMap(({ slug, findings: own }) =>
      own.map(({ remedy }) => [slug, remedy] as const),
    ),
    ...findings.map(({ name, remedy }) => [name, remedy] as const),
  ]
  const seen = new Map<string, Mending>()
  for (const [of, remedy] of named) {
    if (remedy) seen.set(`${remedy}/${of}`, { remedy, of, says: SAYS[remedy](of) })
  }
  return [...seen.values()]
}

/** Does one of them. Safe to repeat; what is right is left as it is. */
export async function mend(ctx: Context, { remedy, of }: Mending): Promise<void> {
  switch (remedy) {
    case 'grant again':
      return grantAgain(ctx, await getTenant(ctx.platform, of))
    case 'add missing defaults':
      return addMissing(ctx, await getTenant(ctx.platform, of))
    case 'rebuild usage':
      await rebuildUsage(scopeOf(ctx, await getTenant(ctx.platform, of)))
      return
    case 'drop scratch database':
      return dropScratch(ctx, of)
    case 'end lease':
      return endLease(ctx, of)
  }
}

const scopeOf = (ctx: Context, tenant: Tenant): TenantScope =>
  new TenantScope(ctx.tenantDatabases, placeOf(tenant), ctx.actor, ctx.now)

async function grantAgain(ctx: Context, tenant: Tenant): Promise<void> {
  const provisioner = await ctx.provisioner(await getServerById(ctx.platform, tenant.serverId))
  const host = ctx.config.tenantUserHost
  const account = quoteUser(tenant.databaseUser, host)
  const password = ctx.keyring.tenantPassword(
    tenant.id,
    tenant.credentialsGeneration,
    tenant.credentialsKeyId,
  )
  const make = tenantUserSql(tenant.database, tenant.databaseUser, host, password)
  await provisioner.run(make)
  await provisioner.run(`revoke all privileges, grant option from ${account}; ${make}`)
  // sessions keep the rights that they began with
  ctx.tenantDatabases.close(tenant.id)
}

async function addMissing(ctx: Context, tenant: Tenant): Promise<void> {
  const plan = await getPlanById(ctx.platform, tenant.planId)
  const at = ctx.now()
  await inTransaction(scopeOf(ctx, tenant).db, async (transaction) => {
    const added = [
      ...(await insertMissingSettings(transaction, settingSeeds, at)),
      ...(await insertMissingEntitlements(transaction, plan.entitlements, at)),
      ...(await insertMissingCounters(transaction, countedCodes(plan.entitlements), at)),
    ]
    const branding = { displayName: tenant.name, ...brandingSeed }
    if (await insertMissingBranding(transaction, branding, at)) added.push('branding')
    if (added.length === 0) return
    ctx.touched.set(tenant.id, placeOf(tenant))
    await insertOutbox(transaction, {
      occurredAt: at,
      actor: ctx.actor,
      action: 'tenant.mended',
      objectType: 'tenant',
      objectId: tenant.id,
      changes: { after: { added } },
    })
  })
}

/** A rollout may be using one: while we hold its lease, none is. */
async function dropScratch(ctx: Context, database: string): Promise<void> {
  await withLease(ctx.platform, 'rollout', ctx.lease, async () => {
    for (const { server } of await listServers(ctx.platform)) {
      const provisioner = await ctx.provisioner(server)
      if ((await listDatabases(provisioner, database)).includes(database))
        await provisioner.run(`drop database ${quoteName(database)}`)
    }
  })
}

async function endLease(ctx: Context, name: string): Promise<void> {
  if (!(await findStaleLeases(ctx.platform, ctx.lease.holder)).includes(name)) return
  await affectedBy(
    ctx.platform,
    'update leases set expires_at = utc_timestamp(6) where name = ? and expires_at > utc_timestamp(6)',
    [name],
  )
}

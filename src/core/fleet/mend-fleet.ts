import { brandingSeed, settingSeeds } from '../../../seeds/tenant/defaults.js'
import { getPlanById } from '../billing/plan-store.js'
import type { Context } from '../context.js'
import { withLease } from '../db/lease.js'
import { quoteName } from '../db/sql.js'
import { affectedBy } from '../db/statements.js'
import { inTransaction } from '../db/transaction.js'
import { causeOf } from '../driver-failure.js'
import { insertMissingEntitlements } from '../entitlements/entitlement-store.js'
import { countedCodes, insertMissingCounters } from '../entitlements/usage-counter-store.js'
import { AppError, asAppError } from '../errors.js'
import { insertOutbox } from '../events/outbox-store.js'
import { getServerById, listServers } from '../servers/database-server-store.js'
import { insertMissingBranding } from '../tenants/branding-store.js'
import { placeOf, TenantScope } from '../tenants/scope.js'
import { insertMissingSettings } from '../tenants/setting-store.js'
import type { Tenant } from '../tenants/tenant.js'
import { getTenant } from '../tenants/tenant-store.js'
import { rebuildUsage } from '../usage/rebuild-usage.js'
import { examineTenant } from './examine-tenant.js'
import type { FleetHealth, Remedy } from './health.js'
import { findStaleLeases, listDatabases } from './health-store.js'
import { findKnexSessions, releaseKnexLock } from './knex-lock.js'
import { ensureTenantUser } from './tenant-user.js'

/** One thing that `mend` would do. */
export type Mending = {
  readonly remedy: Remedy
  /** A tenant's slug, or the name of a database or lease. */
  readonly of: string
  /** What it will do. */
  readonly says: string
  /** What it did. */
  readonly done: string
}

const TEXTS: Readonly<Record<Remedy, (of: string) => Pick<Mending, 'says' | 'done'>>> = {
  'grant again': (of) => ({
    says: `reset the database user of "${of}": its rights, its password and its exemption from password policies`,
    done: `the database user of "${of}" logs in, and may use its own database alone`,
  }),
  'add missing defaults': (of) => ({
    says: `add the settings, branding, entitlements and counters that "${of}" lacks`,
    done: `"${of}" has all its settings, branding, entitlements and counters`,
  }),
  'rebuild usage': (of) => ({
    says: `recompute the usage counters of "${of}" from its events`,
    done: `the usage counters of "${of}" agree with its events`,
  }),
  'drop scratch database': (of) => ({
    says: `drop scratch database "${of}"`,
    done: `scratch database "${of}" is gone`,
  }),
  'end lease': (of) => ({
    says: `end the lease of "${of}"`,
    done: `the lease of "${of}" has ended`,
  }),
  'release knex lock': (of) => ({
    says: `release the lock of Knex's own command in the database of "${of}"`,
    done: `the lock of Knex's own command in the database of "${of}" is free`,
  }),
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
    if (remedy) seen.set(`${remedy}/${of}`, { remedy, of, ...TEXTS[remedy](of) })
  }
  return [...seen.values()]
}

/**
 * Applies one repair, then checks it. Idempotent.
 *
 * @returns what is still wrong; undefined if it is repaired
 */
export async function mend(ctx: Context, mending: Mending): Promise<string | undefined> {
  try {
    await doMending(ctx, mending)
    return await stillWrong(ctx, mending)
  } catch (thrown) {
    const error = asAppError(thrown)
    const sentence = causeOf(thrown)?.sentence
    return sentence === undefined ? error.message : `${error.message} (${sentence})`
  }
}

async function doMending(ctx: Context, { remedy, of }: Mending): Promise<void> {
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
    case 'release knex lock':
      return releaseLock(ctx, await getTenant(ctx.platform, of))
  }
}

async function stillWrong(ctx: Context, { remedy, of }: Mending): Promise<string | undefined> {
  switch (remedy) {
    case 'drop scratch database':
      for (const { server } of await listServers(ctx.platform)) {
        if ((await listDatabases(await ctx.provisioner(server), of)).includes(of))
          return `database "${of}" is still there`
      }
      return undefined
    case 'end lease':
      return (await findStaleLeases(ctx.platform, ctx.lease.holder)).includes(of)
        ? `lease "${of}" is still held`
        : undefined
    default: {
      const tenant = await getTenant(ctx.platform, of)
      const plan = await getPlanById(ctx.platform, tenant.planId)
      const findings = await examineTenant(ctx, tenant, plan)
      return findings.find((finding) => finding.remedy === remedy)?.says
    }
  }
}

const scopeOf = (ctx: Context, tenant: Tenant): TenantScope =>
  new TenantScope(ctx.tenantDatabases, placeOf(tenant), ctx.actor, ctx.now)

async function grantAgain(ctx: Context, tenant: Tenant): Promise<void> {
  const provisioner = await ctx.provisioner(await getServerById(ctx.platform, tenant.serverId))
  await ensureTenantUser(ctx, provisioner, tenant, { revokesFirst: true })
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

/** Unless Knex's own command has begun since it was looked for. */
async function releaseLock(ctx: Context, { slug, database, serverId }: Tenant): Promise<void> {
  const provisioner = await ctx.provisioner(await getServerById(ctx.platform, serverId))
  const { sessions, mayLook } = await findKnexSessions(provisioner, database, provisioner.threads)
  if (sessions.length > 0 || !mayLook)
    throw new AppError('MIGRATION.KNEX_RUNNING', slug, sessions, mayLook)
  await releaseKnexLock(provisioner, database)
}

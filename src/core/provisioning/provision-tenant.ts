import { z } from 'zod'
import { isBootstrapKeyUnseen } from '../access/api-key-store.js'
import type { MintedApiKey } from '../access/create-api-key.js'
import { deliverApiKey } from '../access/deliver-api-key.js'
import type { Plan } from '../billing/plan.js'
import { getPlanByCode, getPlanById } from '../billing/plan-store.js'
import type { Context } from '../context.js'
import { type Lease, withLease } from '../db/lease.js'
import { AppError } from '../errors.js'
import { findLosses } from '../fleet/find-losses.js'
import { parse } from '../parse.js'
import { getServerById } from '../servers/database-server-store.js'
import { assertActive } from '../tenants/scope.js'
import { slugSchema, type Tenant } from '../tenants/tenant.js'
import { findTenant, getTenant, listOwnerEmails, setTenantStatus } from '../tenants/tenant-store.js'
import { type Report, runStages } from './pipeline.js'
import { registerTenant } from './register-tenant.js'
import type { Job } from './stage.js'
import { listStageRecords, type StageRecord } from './stage-store.js'
import { stages } from './stages/index.js'

export const ProvisionTenantInput = z.strictObject({
  slug: slugSchema,
  name: z
    .string()
    .trim()
    .min(1, 'must not be empty')
    .max(120, 'must be at most 120 characters')
    .optional(),
  plan: z
    .string()
    .trim()
    .min(1, 'must not be empty')
    .max(40, 'must be at most 40 characters')
    .optional(),
  ownerEmail: z
    .email('must be an e-mail address')
    .max(255, 'must be at most 255 characters')
    .optional(),
  server: z
    .string()
    .trim()
    .min(1, 'must not be empty')
    .max(60, 'must be at most 60 characters')
    .optional(),
})

export type ProvisionTenantWish = z.output<typeof ProvisionTenantInput>

export type Provisioned = {
  /** `unchanged`: the tenant was open already, and nothing was written. */
  readonly outcome: 'provisioned' | 'resumed' | 'unchanged'
  readonly tenant: Tenant
  readonly plan: Plan
  /** The name of the database server that it is on. */
  readonly server: string
  /** The bootstrap key, with its secret, where this run made one. */
  readonly apiKey: MintedApiKey | undefined
  readonly durationMs: number
}

export type ProvisionOptions = {
  readonly report?: Report
  /**
   * Shows the result to the caller. The key counts as shown once this has resolved. If it fails, the key
   * is revoked; the next run makes another.
   */
  readonly deliver: (provisioned: Provisioned) => Promise<void>
  readonly signal?: AbortSignal
}

/**
 * Registers a tenant and takes it through the twelve stages, or goes on where an earlier run ended.
 * A tenant that is open is left as it is; a suspended one is never opened by this.
 *
 * @throws PLAN.NOT_FOUND, SERVER.NOT_FOUND, TENANT.DIFFERS, TENANT.STATUS.SUSPENDED,
 *   TENANT.INVALID_STATE, TENANT.DATABASE_LOST, LEASE.HELD, LEASE.LOST, PROVISIONING.…, USAGE.INTERRUPTED
 */
export async function provisionTenant(
  ctx: Context,
  input: unknown,
  options: ProvisionOptions,
): Promise<Provisioned> {
  const wish = parse(ProvisionTenantInput, input)
  const start = performance.now()
  const elapsed = () => Math.round(performance.now() - start)
  const known = await findTenant(ctx.platform, wish.slug)
  const { tenant: registered, plan, isNew } = await knownOrNew(ctx, wish, known)

  const leaveAsItIs = async (tenant: Tenant): Promise<Provisioned> => {
    await assertWhole(ctx, tenant)
    const unchanged = {
      outcome: 'unchanged',
      tenant,
      plan,
      server: await serverNameOf(ctx, tenant),
      apiKey: undefined,
      durationMs: elapsed(),
    } as const
    await options.deliver(unchanged)
    return unchanged
  }

  if (await isFinished(ctx, registered)) return leaveAsItIs(registered)
  const terms = { ...ctx.lease, title: registered.slug }
  return withLease(ctx.platform, `tenant/${registered.id}`, terms, async (lease) => {
    // as it is now that nobody else works on it
    const untouched = isNew && lease.generation === 1
    const tenant = untouched ? registered : await getTenant(ctx.platform, wish.slug)
    const records = untouched ? [] : await listStageRecords(ctx.platform, tenant.id)
    const job = await openJob(ctx, tenant, plan, lease, records)
    if (await isFinished(ctx, tenant)) return leaveAsItIs(tenant)
    if (tenant.status === 'failed') {
      await setTenantStatus(ctx.platform, tenant.id, ['failed'], 'provisioning', ctx.now())
    }
    // also where it is open: the run before may have been cut off before its key was shown
    await runStages(job, stages, options.report ?? (() => {}), options.signal)
    const provisioned: Provisioned = {
      outcome: known ? 'resumed' : 'provisioned',
      tenant: await getTenant(ctx.platform, wish.slug),
      plan,
      server: await serverNameOf(ctx, tenant),
      apiKey: job.bootstrapKey,
      durationMs: elapsed(),
    }
    lease.assertHeld()
    const deliver = () => options.deliver(provisioned)
    if (job.bootstrapKey) await deliverApiKey(ctx, job.bootstrapKey.key, deliver)
    else await deliver()
    return provisioned
  })
}

/**
 * Open, and its first key was shown. One that was shown and revoked since is no reason to make another.
 *
 * @throws TENANT.STATUS.SUSPENDED, TENANT.INVALID_STATE for a tenant that this must not touch
 */
async function isFinished(ctx: Context, tenant: Tenant): Promise<boolean> {
  if (tenant.status === 'provisioning' || tenant.status === 'failed') return false
  assertActive(tenant)
  return !(await isBootstrapKeyUnseen(ctx.platform, tenant.id))
}

const serverNameOf = async ({ platform }: Context, { serverId }: Tenant): Promise<string> =>
  (await getServerById(platform, serverId)).name

/** @throws TENANT.DATABASE_LOST: an open tenant whose data is gone isn't "nothing to do" */
async function assertWhole(ctx: Context, tenant: Tenant): Promise<void> {
  const losses = await findLosses(ctx, tenant)
  if (losses.length === 0) return
  const reason = losses.map(({ says }) => says).join('; ')
  throw new AppError('TENANT.DATABASE_LOST', tenant.slug)
    .with({ findings: losses.map(({ check, says, next }) => ({ check, says, next })) })
    .because(new Error(reason))
}

type Registered = { readonly tenant: Tenant; readonly plan: Plan; readonly isNew: boolean }

async function knownOrNew(
  ctx: Context,
  wish: ProvisionTenantWish,
  known: Tenant | undefined,
): Promise<Registered> {
  const registered = known
    ? { tenant: known, plan: await getPlanById(ctx.platform, known.planId), isNew: false }
    : await registerTenant(ctx, wish)
  if (!registered.isNew) await assertSameWish(ctx, wish, registered.tenant, registered.plan)
  return registered
}

async function openJob(
  ctx: Context,
  tenant: Tenant,
  plan: Plan,
  lease: Lease,
  records: readonly StageRecord[],
): Promise<Job> {
  const provisioner = await ctx.provisioner(await getServerById(ctx.platform, tenant.serverId))
  return {
    ctx,
    provisioner,
    tenant,
    plan,
    lease,
    cutShort: new Set(records.filter(wasCutShort).map(({ stage }) => stage)),
    finished: new Set(records.filter(({ status }) => status === 'done').map(({ stage }) => stage)),
    bootstrapKey: undefined,
    recordEnd: async () => {},
  }
}

/** Begun and not ended, by a crash or by an error that came from outside: not by a refusal of ours. */
const wasCutShort = ({ status, error = '' }: StageRecord): boolean =>
  status === 'running' || (status === 'failed' && !error.startsWith('PROVISIONING.DATABASE_TAKEN'))

/** A second run may repeat the first one's options or leave them out, but not contradict them. */
async function assertSameWish(
  ctx: Context,
  wish: ProvisionTenantWish,
  tenant: Tenant,
  plan: Plan,
): Promise<void> {
  if (wish.name !== undefined && wish.name !== tenant.name) {
    throw new AppError('TENANT.DIFFERS', tenant.slug, 'name', tenant.name, wish.name)
  }
  if (wish.plan !== undefined && wish.plan !== plan.code) {
    await getPlanByCode(ctx.platform, wish.plan)
    throw new AppError('TENANT.DIFFERS', tenant.slug, 'plan', plan.code, wish.plan)
  }
  if (wish.ownerEmail !== undefined) {
    const owners = await listOwnerEmails(ctx.platform, tenant.id)
    if (!owners.includes(wish.ownerEmail)) {
      throw new AppError('TENANT.DIFFERS', tenant.slug, 'owner', owners.join(', '), wish.ownerEmail)
    }
  }
  if (wish.server !== undefined) {
    const server = await getServerById(ctx.platform, tenant.serverId)
    if (server.name !== wish.server)
      throw new AppError('TENANT.DIFFERS', tenant.slug, 'server', server.name, wish.server)
  }
}

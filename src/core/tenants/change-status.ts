import { z } from 'zod'
import type { Context } from '../context.js'
import { withLease } from '../db/lease.js'
import { inTransaction } from '../db/transaction.js'
import { AppError } from '../errors.js'
import type { Action } from '../events/actions.js'
import { insertAudit } from '../events/audit-store.js'
import { parse } from '../parse.js'
import { slugSchema, TENANT_STATUSES, type Tenant, type TenantStatus } from './tenant.js'
import { getTenant, lockTenantStatus, setTenantStatus } from './tenant-store.js'

export const ChangeStatusInput = z.strictObject({
  slug: slugSchema,
  reason: z
    .string()
    .trim()
    .min(1, 'must not be empty')
    .max(255, 'must be at most 255 characters')
    .optional(),
})

/**
 * Closes an active tenant to every caller, at once in this process and within a second in others.
 * Its data stays. Answers the tenant as it is afterwards; suspending a suspended one changes nothing.
 *
 * @throws TENANT.NOT_FOUND, TENANT.INVALID_STATE
 */
export async function suspendTenant(ctx: Context, input: unknown): Promise<Tenant> {
  const tenant = await changeStatus(ctx, input, {
    from: ['active'],
    to: 'suspended',
    action: 'tenant.suspended',
  })
  ctx.tenantDatabases.close(tenant.id)
  return tenant
}

/**
 * Opens a suspended tenant again.
 *
 * @throws TENANT.NOT_FOUND, TENANT.INVALID_STATE
 */
export const reinstateTenant = (ctx: Context, input: unknown): Promise<Tenant> =>
  changeStatus(ctx, input, { from: ['suspended'], to: 'active', action: 'tenant.reinstated' })

/**
 * Takes a tenant out of the fleet: it is closed to every caller, and neither migrated, examined nor billed. Its records,
 * its database if there is one, and its name stay. It needs no database, so a tenant that lost its own can go too.
 *
 * @throws TENANT.NOT_FOUND; LEASE.HELD while it is being provisioned
 */
export async function archiveTenant(ctx: Context, input: unknown): Promise<Tenant> {
  const { slug } = parse(ChangeStatusInput, input)
  const { id } = await getTenant(ctx.platform, slug)
  const terms = { ...ctx.lease, title: slug }
  const tenant = await withLease(ctx.platform, `tenant/${id}`, terms, () =>
    changeStatus(ctx, input, {
      from: TENANT_STATUSES.filter((status) => status !== 'archived'),
      to: 'archived',
      action: 'tenant.archived',
    }),
  )
  ctx.tenantDatabases.close(id)
  return tenant
}

type StatusChange = {
  readonly from: readonly TenantStatus[]
  readonly to: TenantStatus
  readonly action: Action
}

/**
 * One change of a tenant's status, with its event. Changes nothing if the tenant is in that status.
 *
 * @throws TENANT.NOT_FOUND, TENANT.INVALID_STATE
 */
export async function changeStatus(
  ctx: Context,
  input: unknown,
  { from, to, action }: StatusChange,
): Promise<Tenant> {
  const { slug, reason } = parse(ChangeStatusInput, input)
  const tenant = await getTenant(ctx.platform, slug)
  if (tenant.status === to) return tenant
  const at = ctx.now()
  await inTransaction(ctx.platform, async (transaction) => {
    const before = await lockTenantStatus(transaction, tenant.id)
    if (before === to) return
    if (!(await setTenantStatus(transaction, tenant.id, from, to, at, reason))) {
      throw new AppError('TENANT.INVALID_STATE', slug, before)
    }
    await insertAudit(transaction, {
      occurredAt: at,
      actor: ctx.actor,
      action,
      objectType: 'tenant',
      objectId: tenant.id,
      tenantId: tenant.id,
      changes: {
        before: { status: before },
        after: { status: to, ...(reason ? { reason } : {}) },
      },
    })
  })
  return getTenant(ctx.platform, slug)
}

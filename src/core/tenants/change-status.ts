import { z } from 'zod'
import type { Context } from '../context.js'
import { inTransaction } from '../db/transaction.js'
import { AppError } from '../errors.js'
import { insertAudit } from '../events/audit-store.js'
import { parse } from '../parse.js'
import { slugSchema, type Tenant, type TenantStatus } from './tenant.js'
import { getTenant, setTenantStatus } from './tenant-store.js'

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
  const tenant = await changeStatus(ctx, input, 'active', 'suspended')
  ctx.tenantDatabases.close(tenant.id)
  return tenant
}

/**
 * Opens a suspended tenant again.
 *
 * @throws TENANT.NOT_FOUND, TENANT.INVALID_STATE
 */
export const reinstateTenant = (ctx: Context, input: unknown): Promise<Tenant> =>
  changeStatus(ctx, input, 'suspended', 'active')

async function changeStatus(
  ctx: Context,
  input: unknown,
  from: TenantStatus,
  to: 'active' | 'suspended',
): Promise<Tenant> {
  const { slug, reason } = parse(ChangeStatusInput, input)
  const tenant = await getTenant(ctx.platform, slug)
  if (tenant.status === to) return tenant
  const at = ctx.now()
  await inTransaction(ctx.platform, async (transaction) => {
    if (!(await setTenantStatus(transaction, tenant.id, [from], to, at, reason))) {
      throw new AppError('TENANT.INVALID_STATE', slug, tenant.status)
    }
    await insertAudit(transaction, {
      occurredAt: at,
      actor: ctx.actor,
      action: to === 'suspended' ? 'tenant.suspended' : 'tenant.reinstated',
      objectType: 'tenant',
      objectId: tenant.id,
      tenantId: tenant.id,
      changes: {
        before: { status: tenant.status },
        after: { status: to, ...(reason ? { reason } : {}) },
      },
    })
  })
  return getTenant(ctx.platform, slug)
}

import type { Context } from '../context.js'
import { ownerOf } from '../db/ownership.js'
import { AppError } from '../errors.js'
import { parse } from '../parse.js'
import { getServerById } from '../servers/database-server-store.js'
import { ChangeStatusInput, changeStatus } from '../tenants/change-status.js'
import type { Tenant } from '../tenants/tenant.js'
import { getTenant } from '../tenants/tenant-store.js'

/**
 * Takes an archived tenant back into the fleet, suspended, if its database is there and its own: it may have missed
 * migrations, and is opened by `reinstateTenant` when it has had them.
 *
 * @throws TENANT.NOT_FOUND, TENANT.INVALID_STATE, TENANT.DATABASE_MISSING, TENANT.DATABASE_NOT_OWNED
 */
export async function unarchiveTenant(ctx: Context, input: unknown): Promise<Tenant> {
  const { slug } = parse(ChangeStatusInput, input)
  const tenant = await getTenant(ctx.platform, slug)
  if (tenant.status !== 'archived') throw new AppError('TENANT.INVALID_STATE', slug, tenant.status)
  const provisioner = await ctx.provisioner(await getServerById(ctx.platform, tenant.serverId))
  const owner = await ownerOf(provisioner, tenant.database)
  if (owner === undefined) throw new AppError('TENANT.DATABASE_MISSING', slug)
  if (owner !== tenant.id) throw new AppError('TENANT.DATABASE_NOT_OWNED', slug)
  return changeStatus(ctx, input, {
    from: ['archived'],
    to: 'suspended',
    action: 'tenant.unarchived',
  })
}

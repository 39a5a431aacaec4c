import type { Context } from '../context.js'
import { ownerOf } from '../db/ownership.js'
import { AppError } from '../errors.js'
import { parse } from '../parse.js'
import { getServerById } from '../servers/database-server-store.js'
import { ChangeStatusInput, changeStatus } from '../tenants/change-status.js'
import type { Tenant } from '../tenants/tenant.js'
import { getTenant } from '../tenants/tenant-store.js'
import { renewLogin } from './renew-secrets.js'

/**
 * Takes an archived tenant back into the fleet, suspended, if its database exists and is its own. It may have missed
 * migrations: `reinstateTenant` opens it after they are applied. Renews its login if that depends on an earlier
 * application key.
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
  // `keyring retire` leaves archived tenants out, so the earlier key may be gone
  if (tenant.credentialsKeyId !== ctx.keyring.currentId) await renewLogin(ctx, provisioner, tenant)
  return changeStatus(ctx, input, {
    from: ['archived'],
    to: 'suspended',
    action: 'tenant.unarchived',
  })
}

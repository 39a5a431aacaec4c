import { createMiddleware } from 'hono/factory'
import { actingAs, type Context } from '../../core/context.js'
import { AppError } from '../../core/errors.js'
import { chooseTenant } from '../../core/identity/choose-tenant.js'
import { hasAbility } from '../../core/identity/token.js'
import { assertActive, TenantScope } from '../../core/tenants/scope.js'
import { originOf } from '../client-address.js'
import type { ServerEnv } from '../env.js'

/** Lets an authenticated request into the one tenant that the user's memberships and X-Tenant-ID name. */
export const enterByMembership = (ctx: Context) =>
  createMiddleware<ServerEnv>(async function enterByMembership(c, next) {
    const { token, user, memberships } = c.get('standing')
    if (!hasAbility(token.abilities, 'tenant'))
      throw new AppError('AUTH.TOKEN.INVALID_SCOPE', 'tenant')
    if (!user) throw new AppError('AUTH.FORBIDDEN')
    const { role, tenant } = chooseTenant(memberships, c.req.header('x-tenant-id'))
    assertActive(tenant)
    const actor = {
      type: 'user',
      id: user.id,
      name: user.email.slice(0, 120),
      ...originOf(c, ctx.config.trustedHops),
    } as const
    const requestId = c.get('requestId')
    c.set('scope', new TenantScope(ctx.tenantDatabases, tenant, actor, ctx.now, requestId))
    c.set('role', role)
    c.set('acting', actingAs(ctx, actor, requestId))
    await next()
  })

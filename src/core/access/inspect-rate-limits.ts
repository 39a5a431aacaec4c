import { monthOf } from '../billing/plan.js'
import { getPlanById } from '../billing/plan-store.js'
import type { Context } from '../context.js'
import { recordAudit } from '../events/audit-store.js'
import type { Tenant } from '../tenants/tenant.js'
import { getTenant } from '../tenants/tenant-store.js'
import { isLive } from './api-key.js'
import { findRateLimit, listApiKeys, type RateLimit } from './api-key-store.js'
import type { RateLimits } from './rate-limits.js'

export type LimitReport = {
  readonly scope: 'api_key' | 'tenant'
  /** The key's prefix, or the tenant's slug. */
  readonly of: string
  readonly limit: number
  readonly periodSeconds: number
  readonly used: number
  readonly resetAt: Date | undefined
}

type Counted = {
  readonly scope: 'api_key' | 'tenant'
  readonly of: string
  readonly name: string
  readonly limit: RateLimit
}

/** How the limits of a tenant and of its live keys stand. @throws TENANT.NOT_FOUND */
export async function inspectRateLimits(
  ctx: Context,
  limits: RateLimits,
  slug: string,
): Promise<LimitReport[]> {
  return Promise.all(
    (await countedOf(ctx, await getTenant(ctx.platform, slug))).map(
      async ({ scope, of, name, limit }) => {
        const state = await limits.peek(scope, name, limit)
        return {
          scope,
          of,
          limit: limit.requests,
          periodSeconds: limit.periodSeconds,
          used: state ? limit.requests - state.remaining : 0,
          resetAt: state && new Date(state.resetAt * 1000),
        }
      },
    ),
  )
}

/**
 * Starts the windows of a tenant and of its keys anew, and answers how many there were. The event comes first: the
 * windows are not in the database, and a reset that nobody is told of would be worse than one that did not happen.
 *
 * @throws TENANT.NOT_FOUND
 */
export async function resetRateLimits(
  ctx: Context,
  limits: RateLimits,
  slug: string,
): Promise<number> {
  const tenant = await getTenant(ctx.platform, slug)
  const counted = await countedOf(ctx, tenant)
  await recordAudit(ctx.platform, ctx, tenant.id, {
    at: ctx.now(),
    action: 'rate_limits.reset',
    objectType: 'tenant',
    objectId: tenant.id,
    changes: { after: { of: counted.map(({ scope, of }) => ({ scope, of })) } },
  })
  const done = await Promise.all(
    counted.map(({ scope, name, limit }) => limits.reset(scope, name, limit)),
  )
  return done.filter(Boolean).length
}

async function countedOf(ctx: Context, tenant: Tenant): Promise<Counted[]> {
  const plan = await getPlanById(ctx.platform, tenant.planId)
  const now = ctx.now()
  const keys = (await listApiKeys(ctx.platform, tenant.id)).filter((key) => isLive(key, now))
  const defaults = {
    requests: ctx.config.apiRateLimitRequests,
    periodSeconds: ctx.config.apiRateLimitPeriod,
  }
  const ofKeys = await Promise.all(
    keys.map(async ({ id, prefix }) => ({
      scope: 'api_key' as const,
      of: prefix,
      name: id,
      limit: (await findRateLimit(ctx.platform, id)) ?? defaults,
    })),
  )
  const monthly = plan.entitlements.find(({ code }) => code === 'api_calls.monthly')?.value
  if (typeof monthly !== 'number') return ofKeys
  const { start, end } = monthOf(now)
  const ofTenant = {
    scope: 'tenant' as const,
    of: tenant.slug,
    name: `${tenant.id}/${start.toISOString().slice(0, 7)}`,
    limit: { requests: monthly, periodSeconds: (end.getTime() - start.getTime()) / 1000 },
  }
  return [...ofKeys, ofTenant]
}

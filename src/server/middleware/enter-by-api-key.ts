import { createMiddleware } from 'hono/factory'
import { authenticateApiKey } from '../../core/access/authenticate-api-key.js'
import type { KeyStandings } from '../../core/access/key-standings.js'
import type { LastUsed } from '../../core/access/last-used.js'
import type { RateLimits } from '../../core/access/rate-limits.js'
import type { Context } from '../../core/context.js'
import { assertActive, TenantScope } from '../../core/tenants/scope.js'
import { clientAddress } from '../client-address.js'
import { countAttempts, limitExceeded } from '../count-attempts.js'
import type { ServerEnv } from '../env.js'
import { showLimits } from '../limit-headers.js'

/**
 * Lets a request into the one tenant that its API key belongs to, before anything is loaded, and
 * counts it. An address that has failed too often must wait, also with a key that is right: else
 * guessing would only look slow.
 */
export const enterByApiKey = (
  ctx: Context,
  standings: KeyStandings,
  limits: RateLimits,
  lastUsed: LastUsed,
) =>
  createMiddleware<ServerEnv>(async function enterByApiKey(c, next) {
    const now = ctx.now()
    const address = clientAddress(c, ctx.config.trustedHops)
    const apiKey = c.req.header('x-api-key')
    const standing = await countAttempts(c, limits, address, now, () =>
      authenticateApiKey(standings, ctx.keyring, apiKey, now),
    )
    const states = await limits.count(standing, now)
    if (states.some((state) => state.exceeded)) throw limitExceeded(c, states, now)
    showLimits(c, states, now)
    assertActive(standing.tenant)
    lastUsed.apiKey(standing.keyId)
    if (apiKey !== undefined && standing.appKeyId !== ctx.keyring.currentId) {
      lastUsed.rehash(ctx.keyring, standing.keyId, apiKey, standing.appKeyId)
    }
    const actor = {
      type: 'api_key',
      id: standing.keyId,
      name: standing.keyId,
      address,
      userAgent: c.req.header('user-agent'),
    } as const
    c.set(
      'scope',
      new TenantScope(ctx.tenantDatabases, standing.tenant, actor, ctx.now, c.get('requestId')),
    )
    c.set('scopes', standing.scopes)
    await next()
  })

import { createMiddleware } from 'hono/factory'
import type { LastUsed } from '../../core/access/last-used.js'
import type { RateLimits } from '../../core/access/rate-limits.js'
import type { Context } from '../../core/context.js'
import { authenticateToken } from '../../core/identity/authenticate-token.js'
import { clientAddress } from '../client-address.js'
import { countAttempts } from '../count-attempts.js'
import type { ServerEnv } from '../env.js'

/**
 * Lets a request pass whose bearer token is good, before anything is loaded.
 *
 * @param open `METHOD path` of what is open to everyone; all else is closed
 */
export const authenticate = (
  ctx: Context,
  limits: RateLimits,
  lastUsed: LastUsed,
  open: ReadonlySet<string> = new Set(),
) =>
  createMiddleware<ServerEnv>(async function authenticate(c, next) {
    if (!open.has(`${c.req.method} ${c.req.path}`)) {
      const now = ctx.now()
      const address = clientAddress(c, ctx.config.trustedHops)
      const standing = await countAttempts(c, limits, address, now, () =>
        authenticateToken(ctx, c.req.header('authorization'), now),
      )
      lastUsed.token(standing.token.id)
      c.set('standing', standing)
    }
    await next()
  })

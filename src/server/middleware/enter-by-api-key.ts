import { createMiddleware } from 'hono/factory'
import { authenticateApiKey } from '../../core/access/authenticate-api-key.js'
import type { KeyStandings } from '../../core/access/key-standings.js'
import type { Context } from '../../core/context.js'
import { TenantScope } from '../../core/tenants/scope.js'
import type { ServerEnv } from '../env.js'

/** Lets a request into the one tenant that its API key belongs to, before anything is loaded. */
export const enterByApiKey = (ctx: Context, standings: KeyStandings) =>
  createMiddleware<ServerEnv>(async function enterByApiKey(c, next) {
    const standing = await authenticateApiKey(
      standings,
      ctx.keyring,
      c.req.header('x-api-key'),
      ctx.now(),
    )
    const actor = { type: 'api_key', id: standing.keyId, name: standing.keyId } as const
    c.set(
      'scope',
      new TenantScope(ctx.tenantDatabases, standing.tenant, actor, ctx.now, c.var.requestId),
    )
    await next()
  })

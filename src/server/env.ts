import type { HttpBindings } from '@hono/node-server'
import type { ApiKeyScope } from '../core/access/api-key.js'
import type { Context } from '../core/context.js'
import type { Role } from '../core/identity/roles.js'
import type { TokenStanding } from '../core/identity/token-store.js'
import type { TenantScope } from '../core/tenants/scope.js'

/** What a request carries through the app. `scope` is there on every route of one tenant. */
export type ServerEnv = {
  Bindings: Partial<HttpBindings>
  Variables: {
    requestId: string
    scope: TenantScope
    /** What the API key may be used for; undefined is everything. */
    scopes: readonly ApiKeyScope[] | undefined
    /** Behind a token: who stands behind it. */
    standing: TokenStanding
    /** Behind a member's token: what they are in the tenant, and the house with them at work in it. */
    role: Role
    acting: Context
  }
}

import type { HttpBindings } from '@hono/node-server'
import type { ApiKeyScope } from '../core/access/api-key.js'
import type { TenantScope } from '../core/tenants/scope.js'

/** What a request carries through the app. `scope` is there on every route behind an API key. */
export type ServerEnv = {
  Bindings: Partial<HttpBindings>
  Variables: {
    requestId: string
    scope: TenantScope
    /** What the API key may be used for; undefined is everything. */
    scopes: readonly ApiKeyScope[] | undefined
  }
}

import type { TenantScope } from '../core/tenants/scope.js'

/** What a request carries through the app. `scope` is there on every route behind an API key. */
export type ServerEnv = {
  Variables: {
    requestId: string
    scope: TenantScope
  }
}

import type { TenantOperation } from './tenant-operation.js'

/** The Tenant API, in the order of its page. */
export const tenantOperations: readonly TenantOperation[] = []

import { activationOperations } from './activations.js'
import { licenseOperations } from './licenses.js'
import { productOperations } from './products.js'
import type { TenantOperation } from './tenant-operation.js'

/** The Tenant API, in the order of its page. */
export const tenantOperations: readonly TenantOperation[] = [
  ...productOperations,
  ...licenseOperations,
  ...activationOperations,
]

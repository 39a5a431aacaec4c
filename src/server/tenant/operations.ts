import { activationOperations } from './activations.js'
import { apiKeyOperations } from './api-keys.js'
import { entitlementOperations } from './entitlements.js'
import { licenseOperations } from './licenses.js'
import { memberOperations } from './members.js'
import { productOperations } from './products.js'
import { settingOperations } from './settings.js'
import type { TenantOperation } from './tenant-operation.js'
import { usageOperations } from './usage.js'

/** The Tenant API, in the order of its page. */
export const tenantOperations: readonly TenantOperation[] = [
  ...productOperations,
  ...licenseOperations,
  ...activationOperations,
  ...entitlementOperations,
  ...usageOperations,
  ...apiKeyOperations,
  ...settingOperations,
  ...memberOperations,
]

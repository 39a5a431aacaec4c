import { activationOperations } from './activations.js'
import { apiKeyOperations } from './api-keys.js'
import { auditOperations } from './audit.js'
import { billingOperations } from './billing.js'
import { entitlementOperations } from './entitlements.js'
import { exportOperations } from './export.js'
import { licenseOperations } from './licenses.js'
import { memberOperations } from './members.js'
import { productOperations } from './products.js'
import { settingOperations } from './settings.js'
import type { TenantOperation } from './tenant-operation.js'
import { usageOperations } from './usage.js'
import { webhookOperations } from './webhooks.js'

/** The Tenant API, in the order of its page. */
export const tenantOperations: readonly TenantOperation[] = [
  ...productOperations,
  ...licenseOperations,
  ...activationOperations,
  ...entitlementOperations,
  ...usageOperations,
  ...apiKeyOperations,
  ...webhookOperations,
  ...settingOperations,
  ...billingOperations,
  ...memberOperations,
  ...auditOperations,
  ...exportOperations,
]

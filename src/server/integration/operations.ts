import type { LastUsed } from '../../core/access/last-used.js'
import type { UsageWriter } from '../../core/usage/usage-writer.js'
import { checkEntitlementsOperation } from './check-entitlements.js'
import { createActivation } from './create-activation.js'
import type { IntegrationOperation } from './integration-operation.js'
import { recordUsageOperation } from './record-usage.js'
import { validateActivationOperation } from './validate-activation.js'
import { validateLicenseOperation } from './validate-license.js'

/** The Integration API, in the order of its page. */
export const integrationOperations = (
  lastUsed: LastUsed,
  usage: UsageWriter,
): readonly IntegrationOperation[] => [
  validateLicenseOperation(lastUsed),
  createActivation,
  validateActivationOperation,
  checkEntitlementsOperation,
  recordUsageOperation(usage),
]

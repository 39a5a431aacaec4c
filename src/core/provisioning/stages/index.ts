import type { Stage } from '../stage.js'
import { validateTenantRecord } from './01-validate-tenant-record.js'
import { createIsolatedDatabase } from './02-create-isolated-database.js'
import { runTenantMigrations } from './03-run-tenant-migrations.js'
import { seedConfigurationDefaults } from './04-seed-configuration-defaults.js'
import { initializeSubscription } from './05-initialize-subscription.js'
import { initializeEntitlements } from './06-initialize-entitlements.js'
import { initializeUsageCounters } from './07-initialize-usage-counters.js'
import { setBrandingDefaults } from './08-set-branding-defaults.js'
import { generateApiKey } from './09-generate-api-key.js'
import { createWebhookPlaceholder } from './10-create-webhook-placeholder.js'
import { emitAuditEvent } from './11-emit-audit-event.js'
import { healthCheckAndActivate } from './12-health-check-and-activate.js'

/** The life of a new tenant, top to bottom. Order is meaning. */
export const stages: readonly Stage[] = [
  validateTenantRecord,
  createIsolatedDatabase,
  runTenantMigrations,
  seedConfigurationDefaults,
  initializeSubscription,
  initializeEntitlements,
  initializeUsageCounters,
  setBrandingDefaults,
  generateApiKey,
  createWebhookPlaceholder,
  emitAuditEvent,
  healthCheckAndActivate,
]

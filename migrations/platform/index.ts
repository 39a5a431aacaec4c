import type { Migration } from '../migration.js'
import * as platformSettings from './20261101-01-platform-settings.js'
import * as leases from './20261101-02-leases.js'
import * as plans from './20261101-03-plans.js'
import * as planEntitlements from './20261101-04-plan-entitlements.js'
import * as databaseServers from './20261101-05-database-servers.js'
import * as users from './20261101-06-users.js'
import * as admins from './20261101-07-admins.js'
import * as tenants from './20261101-08-tenants.js'
import * as tenantUsers from './20261101-09-tenant-users.js'
import * as personalAccessTokens from './20261101-10-personal-access-tokens.js'
import * as subscriptions from './20261101-11-subscriptions.js'
import * as invoices from './20261101-12-invoices.js'
import * as invoiceLines from './20261101-13-invoice-lines.js'
import * as apiKeys from './20261101-14-api-keys.js'
import * as auditLogs from './20261101-15-audit-logs.js'
import * as webhookEndpoints from './20261101-16-webhook-endpoints.js'
import * as webhookDeliveries from './20261101-17-webhook-deliveries.js'
import * as provisioningStages from './20261101-18-provisioning-stages.js'
import * as rollouts from './20261101-19-rollouts.js'
import * as rolloutTenants from './20261101-20-rollout-tenants.js'
import * as rolloutTenantsPlanned from './20261124-01-rollout-tenants-planned.js'
import * as invitations from './20261124-02-invitations.js'
import * as idempotencyKeys from './20261124-03-idempotency-keys.js'
import * as planEntitlementsOveragePrice from './20261124-04-plan-entitlements-overage-price.js'
import * as subscriptionChanges from './20261124-05-subscription-changes.js'
import * as auditCheckpoints from './20261124-06-audit-checkpoints.js'
import * as auditLogsOccurredAt from './20261124-07-audit-logs-occurred-at.js'
import * as rolloutsUndo from './20261125-11-rollouts-undo.js'
import * as rolloutTenantsErrorCode from './20261125-12-rollout-tenants-error-code.js'
import * as splitRolloutErrors from './20261125-13-split-rollout-errors.js'
import * as rolloutTenantsCutOff from './20261125-14-rollout-tenants-cut-off.js'
import * as markCutOffTenants from './20261125-15-mark-cut-off-tenants.js'
import * as serverNotices from './20261125-21-server-notices.js'
import * as databaseServersTls from './20261125-31-database-servers-tls.js'

/** Every change of the platform database, oldest first. */
export const platformMigrations: readonly Migration[] = [
  platformSettings,
  leases,
  plans,
  planEntitlements,
  databaseServers,
  users,
  admins,
  tenants,
  tenantUsers,
  personalAccessTokens,
  subscriptions,
  invoices,
  invoiceLines,
  apiKeys,
  auditLogs,
  webhookEndpoints,
  webhookDeliveries,
  provisioningStages,
  rollouts,
  rolloutTenants,
  rolloutTenantsPlanned,
  invitations,
  idempotencyKeys,
  planEntitlementsOveragePrice,
  subscriptionChanges,
  auditCheckpoints,
  auditLogsOccurredAt,
  rolloutsUndo,
  rolloutTenantsErrorCode,
  splitRolloutErrors,
  rolloutTenantsCutOff,
  markCutOffTenants,
  serverNotices,
  databaseServersTls,
]

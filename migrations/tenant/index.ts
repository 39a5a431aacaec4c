import type { Migration } from '../migration.js'
import * as settings from './20261101-01-settings.js'
import * as branding from './20261101-02-branding.js'
import * as products from './20261101-03-products.js'
import * as licenses from './20261101-04-licenses.js'
import * as activations from './20261101-05-activations.js'
import * as entitlements from './20261101-06-entitlements.js'
import * as usageCounters from './20261101-07-usage-counters.js'
import * as usageEvents from './20261101-08-usage-events.js'
import * as usageSnapshots from './20261101-09-usage-snapshots.js'
import * as outbox from './20261101-10-outbox.js'
import * as idempotencyKeys from './20261101-11-idempotency-keys.js'

/** Every change of a tenant database, oldest first. */
export const tenantMigrations: readonly Migration[] = [
  settings,
  branding,
  products,
  licenses,
  activations,
  entitlements,
  usageCounters,
  usageEvents,
  usageSnapshots,
  outbox,
  idempotencyKeys,
]

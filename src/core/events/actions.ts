type ActionRow = {
  /** What it is about: the event's `object_type`. */
  readonly object: string
  /** Where it is written first: with the change, in the tenant's outbox or in the platform's trail. */
  readonly plane: 'tenant' | 'platform'
  readonly says: string
}

const tenant = (object: string, says: string): ActionRow => ({ object, plane: 'tenant', says })
const platform = (object: string, says: string): ActionRow => ({ object, plane: 'platform', says })

/**
 * Everything that the trail tells of. `docs/events.md` is made of this table, an event of any other name does not
 * compile, and the suite holds every mutating route and command to writing exactly one for each change.
 */
export const actions = {
  'platform.created': platform('platform', 'The platform was made.'),
  'platform.migrated': platform('platform', 'The platform database was brought up to date.'),
  'platform.audit_key_resealed': platform(
    'platform',
    'The key of the chain is kept under the current application key.',
  ),
  'database_server.added': platform('database_server', 'A database server was registered.'),
  'database_server.tls_changed': platform(
    'database_server',
    'A database server is reached with other TLS settings.',
  ),
  'database_server.login_resealed': platform(
    'database_server',
    'Its login is kept under the current application key.',
  ),
  'audit.pruned': platform('audit', 'The beginning of the trail was removed.'),
  'rollout.started': platform('rollout', 'Migrations of the fleet began.'),

  'tenant.created': platform('tenant', 'A tenant was registered.'),
  'tenant.provisioned': platform('tenant', 'All that a tenant needs was made.'),
  'tenant.activated': platform('tenant', 'A tenant was opened for the first time.'),
  'tenant.suspended': platform('tenant', 'A tenant was closed to its callers.'),
  'tenant.reinstated': platform('tenant', 'A suspended tenant was opened again.'),
  'tenant.archived': platform('tenant', 'A tenant was taken out of the fleet; its records stay.'),
  'tenant.unarchived': platform('tenant', 'An archived tenant is in the fleet again, suspended.'),
  'tenant.login_renewed': platform('tenant', "The tenant's database login has another password."),
  'tenant.mended': tenant('tenant', 'What a tenant lacked was written again.'),
  'tenant.exported': tenant('tenant', 'All of a tenant was exported.'),

  'settings.seeded': tenant('settings', 'A new tenant got its settings.'),
  'settings.updated': tenant('settings', 'Settings were changed.'),
  'branding.initialized': tenant('branding', 'A new tenant got its branding.'),
  'branding.updated': tenant('branding', 'The branding was changed.'),
  'usage_counters.initialized': tenant('usage_counter', 'A new tenant got its counters.'),

  'user.created': platform('user', 'A user was made.'),
  'user.disabled': platform('user', 'A user was disabled, and their tokens ended.'),
  'user.enabled': platform('user', 'A disabled user may log in again.'),
  'user.password_changed': platform('user', 'A user has another password; their tokens ended.'),
  'token.created': platform('token', 'A token was made, by a login or for a script.'),
  'token.revoked': platform('token', 'A token ended.'),
  'member.added': platform('user', 'A user was let into a tenant.'),
  'member.role_changed': platform('user', 'A member has another role.'),
  'member.removed': platform('user', 'A membership ended.'),
  'invitation.created': platform('invitation', 'Somebody was invited.'),
  'invitation.accepted': platform('invitation', 'An invitation was accepted.'),
  'invitation.revoked': platform('invitation', 'An invitation was taken back.'),
  'rate_limits.reset': platform('tenant', 'The windows of a tenant and of its keys began anew.'),
  'api_key.created': platform('api_key', 'An API key was made.'),
  'api_key.rotated': platform('api_key', 'An API key has a successor.'),
  'api_key.revoked': platform('api_key', 'An API key ended.'),

  'subscription.created': platform('subscription', 'A tenant was subscribed to a plan.'),
  'subscription.updated': platform('subscription', 'A tenant has another plan, or another trial.'),
  'invoice.issued': platform('invoice', 'A period was closed, and the next one began.'),
  'entitlement.granted': tenant(
    'entitlement',
    'The tenant is granted something, or more or less of it.',
  ),
  'entitlement.revoked': tenant('entitlement', 'The tenant is no longer granted something.'),

  'product.created': tenant('product', 'A product was made.'),
  'product.updated': tenant('product', 'A product was changed, archived or taken up again.'),
  'product.deleted': tenant('product', 'A product that no license is for was deleted.'),
  'license.created': tenant('license', 'A license was issued.'),
  'license.updated': tenant('license', 'Terms, entitlements or the customer of a license changed.'),
  'license.renewed': tenant('license', 'The end of a license was moved.'),
  'license.moved': tenant('license', 'A license is for another product.'),
  'license.suspended': tenant('license', 'A license was closed.'),
  'license.reinstated': tenant('license', 'A suspended license is valid again.'),
  'license.revoked': tenant('license', 'A license ended for good.'),
  'activation.created': tenant('activation', 'An instance took a seat.'),
  'activation.revoked': tenant('activation', 'A seat is free again.'),
  'usage.threshold_reached': tenant('license', '80 or 100 percent of a limit were used.'),
  'usage.rebuilt': tenant('usage_counter', 'Counters were set to what the events come to.'),
  'usage.snapshot_taken': tenant('usage_snapshot', 'The usage of a period was written down.'),

  'webhook_endpoint.reserved': platform(
    'webhook_endpoint',
    'A new tenant got a place for an endpoint.',
  ),
  'webhook_endpoint.created': platform('webhook_endpoint', 'An endpoint was set up.'),
  'webhook_endpoint.updated': platform('webhook_endpoint', 'An endpoint was changed.'),
  'webhook_endpoint.enabled': platform('webhook_endpoint', 'An endpoint is sent events again.'),
  'webhook_endpoint.disabled': platform(
    'webhook_endpoint',
    'An endpoint is sent no events, by a person or because it failed.',
  ),
  'webhook_endpoint.secret_rotated': platform(
    'webhook_endpoint',
    'An endpoint has another signing secret.',
  ),
  'webhook_endpoint.secret_resealed': platform(
    'webhook_endpoint',
    'Its signing secret is kept under the current application key.',
  ),
  'webhook_endpoint.deleted': platform('webhook_endpoint', 'An endpoint was taken away.'),
  'webhook_endpoint.tested': platform('webhook_endpoint', 'A test event was sent to an endpoint.'),
  'webhook_endpoint.redelivered': platform('webhook_endpoint', 'Deliveries are sent again.'),
} as const satisfies Record<string, ActionRow>

export type Action = keyof typeof actions

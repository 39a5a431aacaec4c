/**
 * What the runtime login may do, table by table; nothing else, and nothing at all outside the
 * platform database. Audit rows it may add and read, and of a row that stands it may fill in the seal.
 * `tests/core/platform/runtime-login.test.ts` tries what is not here.
 */
export const runtimePrivileges: Readonly<Record<string, string>> = {
  knex_migrations: 'select',
  platform_settings: 'select',
  leases: 'select, insert, update',
  plans: 'select',
  plan_entitlements: 'select',
  // never the provisioner's login
  database_servers:
    'select (id, name, host, port, socket_path, tls_level, tls_ca_file, tls_cert_file, tls_key_file, capacity, accepts_tenants, version, created_at, updated_at)',
  users: 'select, insert, update',
  admins: 'select, insert, update',
  tenants: 'select, insert, update',
  tenant_users: 'select, insert, update, delete',
  invitations: 'select, insert, update',
  personal_access_tokens: 'select, insert, update, delete',
  subscriptions: 'select, insert, update',
  subscription_changes: 'select, insert',
  invoices: 'select, insert, update',
  invoice_lines: 'select, insert',
  api_keys: 'select, insert, update',
  audit_checkpoints: 'select',
  audit_logs: 'select, insert, update (sequence, previous_hash, hash)',
  webhook_endpoints: 'select, insert, update, delete',
  webhook_deliveries: 'select, insert, update, delete',
  provisioning_stages: 'select, insert, update',
  idempotency_keys: 'select, insert, update, delete',
  server_notices: 'select, insert, update, delete',
  rollouts: 'select, insert, update',
  rollout_tenants: 'select, insert, update',
}

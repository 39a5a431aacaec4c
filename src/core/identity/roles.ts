export const ROLES = ['owner', 'admin', 'developer', 'viewer'] as const
export type Role = (typeof ROLES)[number]

const EVERYONE = ROLES
const BUILDERS = ['owner', 'admin', 'developer'] as const
const ADMINS = ['owner', 'admin'] as const
const OWNERS = ['owner'] as const

/**
 * Who may do what in a tenant. What is not here nobody may do. `docs/roles.md` is made of this table,
 * and the suite tries every route with every role against it.
 */
export const permissions = {
  'products.read': EVERYONE,
  'products.write': BUILDERS,
  'licenses.read': EVERYONE,
  'licenses.write': BUILDERS,
  'activations.read': EVERYONE,
  'activations.write': BUILDERS,
  'entitlements.read': EVERYONE,
  'usage.read': EVERYONE,
  'settings.read': EVERYONE,
  'settings.write': ADMINS,
  'api_keys.read': BUILDERS,
  'api_keys.write': BUILDERS,
  'webhooks.read': BUILDERS,
  'webhooks.write': BUILDERS,
  'members.read': ADMINS,
  'members.write': ADMINS,
  'audit.read': ADMINS,
  'billing.read': ADMINS,
  'billing.write': OWNERS,
  'tenant.export': OWNERS,
} as const satisfies Record<string, readonly Role[]>

export type Permission = keyof typeof permissions

/** Deny by default: an unknown role, or one that the table does not name, may nothing. */
export const may = (role: string, permission: Permission): boolean =>
  Object.hasOwn(permissions, permission) &&
  (permissions[permission] as readonly string[]).includes(role)

/** Only owners make owners, and only they change or remove one. */
export const mayChangeMember = (
  by: Role,
  { from, to }: { readonly from?: Role | undefined; readonly to?: Role | undefined },
): boolean => may(by, 'members.write') && (by === 'owner' || (from !== 'owner' && to !== 'owner'))

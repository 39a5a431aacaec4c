/** What a tenant's `settings` begin with. Provisioning writes what is missing and changes none. */
export const settingSeeds: Readonly<Record<string, unknown>> = {
  'licenses.default_type': 'subscription',
  'licenses.default_grace_days': 0,
  'licenses.subscription_days': 365,
  'licenses.trial_days': 14,
}

/** What a tenant's branding begins with, beside its name. */
export const brandingSeed = { primaryColor: '#1f2937', accentColor: '#2563eb' } as const

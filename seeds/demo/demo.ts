/** The tenant that `npm run demo` shows: made of the same verbs as any other. */
export const demoSeed = {
  tenant: { slug: 'acme', name: 'Acme', plan: 'starter' },
  product: { code: 'editor', name: 'Acme Editor' },
  license: {
    type: 'subscription',
    entitlements: { 'features.export': true, 'activations.max': 5 },
  },
  apiKeyName: 'demo',
} as const

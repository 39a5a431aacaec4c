/** A granted value: on or off, a limit (null: unlimited), or text. */
export type EntitlementSeed =
  | { readonly code: string; readonly type: 'boolean'; readonly value: boolean }
  | { readonly code: string; readonly type: 'metered'; readonly value: number | null }

export type PlanSeed = {
  readonly code: string
  readonly name: string
  /** Null where the price is agreed on by hand. */
  readonly priceCents: number | null
  readonly entitlements: readonly EntitlementSeed[]
}

type Limits = {
  readonly products: number | null
  readonly licenses: number | null
  readonly activations: number | null
  readonly activationsPerLicense: number | null
  readonly apiCalls: number | null
  readonly webhookEndpoints: number | null
}

const limits = (of: Limits): EntitlementSeed[] => [
  { code: 'products.max', type: 'metered', value: of.products },
  { code: 'licenses.max', type: 'metered', value: of.licenses },
  { code: 'activations.total', type: 'metered', value: of.activations },
  { code: 'activations.max', type: 'metered', value: of.activationsPerLicense },
  { code: 'api_calls.monthly', type: 'metered', value: of.apiCalls },
  { code: 'webhook_endpoints.max', type: 'metered', value: of.webhookEndpoints },
]

/** The published plans, cheapest first. `init` writes them where they are missing and changes none. */
export const planSeeds: readonly PlanSeed[] = [
  {
    code: 'starter',
    name: 'Starter',
    priceCents: 0,
    entitlements: limits({
      products: 1,
      licenses: 100,
      activations: 500,
      activationsPerLicense: 10,
      apiCalls: 10_000,
      webhookEndpoints: 1,
    }),
  },
  {
    code: 'pro',
    name: 'Pro',
    priceCents: 4900,
    entitlements: limits({
      products: 5,
      licenses: null,
      activations: null,
      activationsPerLicense: 50,
      apiCalls: 100_000,
      webhookEndpoints: 5,
    }),
  },
  {
    code: 'enterprise',
    name: 'Enterprise',
    priceCents: null,
    entitlements: limits({
      products: null,
      licenses: null,
      activations: null,
      activationsPerLicense: null,
      apiCalls: null,
      webhookEndpoints: null,
    }),
  },
]

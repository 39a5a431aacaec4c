/** A granted value; a metered null is unlimited. */
export type EntitlementValue = boolean | number | string | null
export type EntitlementType = 'boolean' | 'metered' | 'text'

export type PlanEntitlement = {
  readonly code: string
  readonly type: EntitlementType
  readonly value: EntitlementValue
  /** What a unit costs beyond the value, in cents; undefined costs nothing. */
  readonly overagePriceCents?: number | undefined
}

export type Plan = {
  readonly id: string
  readonly code: string
  readonly name: string
  /** Undefined where the price is agreed on by hand. */
  readonly priceCents: number | undefined
  readonly currency: string
  /** Whether tenants may change to it by themselves. */
  readonly isOffered: boolean
  readonly entitlements: readonly PlanEntitlement[]
}

/** First instants of this and the next calendar month, in UTC: the period of a subscription. */
export function monthOf(time: Date): { readonly start: Date; readonly end: Date } {
  const [year, month] = [time.getUTCFullYear(), time.getUTCMonth()]
  return { start: new Date(Date.UTC(year, month, 1)), end: new Date(Date.UTC(year, month + 1, 1)) }
}

/** As the API answers it and `--json` prints it. */
export const toPlanObject = (plan: Plan) => ({
  code: plan.code,
  name: plan.name,
  price_cents: plan.priceCents ?? null,
  currency: plan.currency,
  entitlements: plan.entitlements.map(({ code, type, value, overagePriceCents }) => ({
    code,
    type,
    value,
    overage_price_cents: overagePriceCents ?? null,
  })),
})

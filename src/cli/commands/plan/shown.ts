import type { Plan, PlanEntitlement } from '../../../core/billing/plan.js'

export const money = (cents: number | undefined, currency: string): string =>
  cents === undefined ? 'by agreement' : `${(cents / 100).toFixed(2)} ${currency}`

export const grantText = (value: PlanEntitlement['value']): string =>
  value === null ? 'unlimited' : String(value)

export const planJson = (plan: Plan) => ({
  code: plan.code,
  name: plan.name,
  price_cents: plan.priceCents ?? null,
  currency: plan.currency,
  is_offered: plan.isOffered,
  entitlements: Object.fromEntries(plan.entitlements.map(({ code, value }) => [code, value])),
})

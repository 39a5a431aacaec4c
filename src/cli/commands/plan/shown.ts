import { type Plan, type PlanEntitlement, toPlanObject } from '../../../core/billing/plan.js'

export const money = (cents: number | undefined, currency: string): string =>
  cents === undefined ? 'by agreement' : `${(cents / 100).toFixed(2)} ${currency}`

export const grantText = (value: PlanEntitlement['value']): string =>
  value === null ? 'unlimited' : String(value)

export const planJson = (plan: Plan) => ({ ...toPlanObject(plan), is_offered: plan.isOffered })

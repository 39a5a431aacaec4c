import { monthOf, type Plan } from './plan.js'
import type { Subscription } from './subscription-store.js'

/** `open` waits for payment; `draft` has a price that is agreed on by hand. */
export const INVOICE_STATUSES = ['draft', 'open', 'paid'] as const
export type InvoiceStatus = (typeof INVOICE_STATUSES)[number]

export type InvoiceLine = {
  readonly description: string
  readonly code: string | undefined
  readonly quantity: number
  readonly unitPriceCents: number
  readonly amountCents: number
}

export type Invoice = {
  readonly id: string
  readonly tenantId: string
  readonly subscriptionId: string
  readonly number: string
  readonly status: InvoiceStatus
  readonly periodStart: Date
  readonly periodEnd: Date
  readonly currency: string
  readonly totalCents: number
  readonly issuedAt: Date
  readonly dueAt: Date | undefined
  readonly paidAt: Date | undefined
  readonly lines: readonly InvoiceLine[]
}

/** The period that follows one that ended at an instant: to the end of its calendar month, in UTC. */
export const periodAfter = (end: Date): { readonly start: Date; readonly end: Date } => ({
  start: end,
  end: monthOf(end).end,
})

const day = (time: Date): string => time.toISOString().slice(0, 10)

/**
 * What a closed period costs: the plan, less what of it was a trial, and what was used of each metered code.
 * Usage beyond the granted value costs the plan's price for it; what has no price is listed all the same.
 *
 * @param usage by code, of all licenses together
 */
export function invoiceLines(
  plan: Plan,
  {
    periodStart,
    periodEnd,
    trialEndsAt,
  }: Pick<Subscription, 'periodStart' | 'periodEnd' | 'trialEndsAt'>,
  usage: ReadonlyMap<string, number>,
): InvoiceLine[] {
  const length = periodEnd.getTime() - periodStart.getTime()
  const paidFrom = trialEndsAt
    ? Math.min(Math.max(trialEndsAt.getTime(), periodStart.getTime()), periodEnd.getTime())
    : periodStart.getTime()
  const share = (periodEnd.getTime() - paidFrom) / length
  const price = Math.round((plan.priceCents ?? 0) * share)
  const span = `${day(periodStart)} to ${day(periodEnd)}`
  const trial =
    share === 1 ? '' : share === 0 ? ', trial' : `, trial until ${day(new Date(paidFrom))}`
  return [
    {
      description: `${plan.name}, ${span}${trial}`,
      code: undefined,
      quantity: 1,
      unitPriceCents: price,
      amountCents: price,
    },
    ...[...usage]
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .map(([code, used]) => usageLine(plan, code, used)),
  ]
}

function usageLine(plan: Plan, code: string, used: number): InvoiceLine {
  const granted = plan.entitlements.find((each) => each.code === code)
  const included = typeof granted?.value === 'number' ? granted.value : undefined
  const unitPriceCents = granted?.overagePriceCents ?? 0
  const beyond = included === undefined ? used : Math.max(0, used - included)
  const quantity = unitPriceCents > 0 ? beyond : used
  return {
    description:
      included === undefined
        ? `${code}: ${used} used`
        : `${code}: ${used} used, ${included} included`,
    code,
    quantity,
    unitPriceCents,
    amountCents: quantity * unitPriceCents,
  }
}

/** Nothing to pay is paid; a price that is agreed on by hand is for a person to fill in. */
export const statusOf = (plan: Plan, totalCents: number): InvoiceStatus =>
  plan.priceCents === undefined ? 'draft' : totalCents === 0 ? 'paid' : 'open'

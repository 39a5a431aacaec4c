import { type EntitlementValue, monthOf, type Plan } from './plan.js'
import type { Subscription, SubscriptionChange } from './subscription-store.js'

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

export type Period = { readonly start: Date; readonly end: Date }

/** The period that follows one that ended at an instant: to the end of its calendar month, in UTC. */
export const periodAfter = (end: Date): Period => ({ start: end, end: monthOf(end).end })

/** A part of a period in which one plan held, and how long of it is to be paid for. */
export type Segment = Period & { readonly planId: string; readonly paidMs: number }

/**
 * The plans that a subscription had within a period, in their order. A trial is free from when it was agreed on
 * until its end; one that no change tells of, from the beginning of the subscription.
 */
export function segmentsOf(
  subscription: Pick<Subscription, 'planId' | 'trialEndsAt' | 'createdAt'>,
  changes: readonly SubscriptionChange[],
  period: Period,
): Segment[] {
  const before = changes.filter(({ changedAt }) => changedAt <= period.start)
  const within = changes.filter(
    ({ changedAt }) => changedAt > period.start && changedAt < period.end,
  )
  const after = changes.filter(({ changedAt }) => changedAt >= period.end)
  const first =
    before.at(-1)?.toPlanId ?? [...within, ...after][0]?.fromPlanId ?? subscription.planId
  const turns = within.filter(({ fromPlanId, toPlanId }) => fromPlanId !== toPlanId)
  const starts = [
    { at: period.start, planId: first },
    ...turns.map(({ changedAt, toPlanId }) => ({ at: changedAt, planId: toPlanId })),
  ]
  const trials = trialsOf(subscription, changes)
  return starts.map(({ at, planId }, index) => {
    const segment = { start: at, end: starts[index + 1]?.at ?? period.end }
    return { ...segment, planId, paidMs: lengthOf(segment) - freeMs(segment, trials) }
  })
}

const lengthOf = ({ start, end }: Period): number => end.getTime() - start.getTime()

function trialsOf(
  { trialEndsAt, createdAt }: Pick<Subscription, 'trialEndsAt' | 'createdAt'>,
  changes: readonly SubscriptionChange[],
): Period[] {
  const agreed = changes.flatMap((change) =>
    change.trialEndsAt ? [{ start: change.changedAt, end: change.trialEndsAt }] : [],
  )
  if (agreed.length > 0 || !trialEndsAt) return agreed
  return [{ start: createdAt, end: trialEndsAt }]
}

/** How long of a segment some trial covers; two that overlap cover it once. */
function freeMs({ start, end }: Period, trials: readonly Period[]): number {
  let free = 0
  let reached = start.getTime()
  for (const trial of [...trials].sort(
    (one, other) => one.start.getTime() - other.start.getTime(),
  )) {
    const from = Math.max(trial.start.getTime(), reached)
    const to = Math.min(trial.end.getTime(), end.getTime())
    if (to <= from) continue
    free += to - from
    reached = to
  }
  return free
}

const day = (time: Date): string => time.toISOString().slice(0, 10)

/**
 * What a closed period costs: each plan for its share of it, less what was a trial, and what was used of each
 * metered code. Usage beyond what the tenant was granted costs the price of the plan at the period's end; what
 * has no price is listed all the same.
 *
 * @param plans by id, all that the segments name
 * @param granted what the tenant was granted at the end, by its plan or beside it; null is unlimited
 * @param usage by code, of all licenses together
 */
export function invoiceLines(
  segments: readonly Segment[],
  plans: ReadonlyMap<string, Plan>,
  granted: ReadonlyMap<string, EntitlementValue>,
  usage: ReadonlyMap<string, number>,
): InvoiceLine[] {
  const whole = segments.reduce((sum, segment) => sum + lengthOf(segment), 0)
  const lines = segments.flatMap((segment): InvoiceLine[] => {
    const plan = plans.get(segment.planId)
    if (!plan) return []
    const price = Math.round(((plan.priceCents ?? 0) * segment.paidMs) / whole)
    const length = lengthOf(segment)
    const trial =
      segment.paidMs === length ? '' : segment.paidMs === 0 ? ', trial' : ', a part of it trial'
    return [
      {
        description: `${plan.name}, ${day(segment.start)} to ${day(segment.end)}${trial}`,
        code: undefined,
        quantity: 1,
        unitPriceCents: price,
        amountCents: price,
      },
    ]
  })
  const last = plans.get(segments.at(-1)?.planId ?? '')
  const used = [...usage].sort(([one], [other]) => (one < other ? -1 : 1))
  return [...lines, ...used.map(([code, quantity]) => usageLine(last, granted, code, quantity))]
}

function usageLine(
  plan: Plan | undefined,
  granted: ReadonlyMap<string, EntitlementValue>,
  code: string,
  used: number,
): InvoiceLine {
  const unitPriceCents =
    plan?.entitlements.find((each) => each.code === code)?.overagePriceCents ?? 0
  const value = granted.get(code)
  const included = typeof value === 'number' ? value : undefined
  const isUnlimited = granted.has(code) && value === null
  const beyond = isUnlimited ? 0 : Math.max(0, used - (included ?? 0))
  const quantity = unitPriceCents > 0 ? beyond : used
  const grant = isUnlimited ? ', unlimited' : included === undefined ? '' : `, ${included} included`
  return {
    description: `${code}: ${used} used${grant}`,
    code,
    quantity,
    unitPriceCents,
    amountCents: quantity * unitPriceCents,
  }
}

/** Nothing to pay is paid; a price that is agreed on by hand is for a person to fill in. */
export const statusOf = (plans: Iterable<Plan>, totalCents: number): InvoiceStatus =>
  [...plans].some(({ priceCents }) => priceCents === undefined)
    ? 'draft'
    : totalCents === 0
      ? 'paid'
      : 'open'

/** As the API answers it and `--json` prints it. */
export const toInvoiceObject = (invoice: Invoice) => ({
  id: invoice.id,
  number: invoice.number,
  status: invoice.status,
  period_start: invoice.periodStart,
  period_end: invoice.periodEnd,
  currency: invoice.currency,
  total_cents: invoice.totalCents,
  issued_at: invoice.issuedAt,
  due_at: invoice.dueAt ?? null,
  paid_at: invoice.paidAt ?? null,
  lines: invoice.lines.map((line) => ({
    description: line.description,
    code: line.code ?? null,
    quantity: line.quantity,
    unit_price_cents: line.unitPriceCents,
    amount_cents: line.amountCents,
  })),
})

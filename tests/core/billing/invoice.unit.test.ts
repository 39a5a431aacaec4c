import { describe, expect, test } from 'vitest'
import {
  invoiceLines,
  periodAfter,
  segmentsOf,
  statusOf,
} from '../../../src/core/billing/invoice.js'
import type { Plan } from '../../../src/core/billing/plan.js'

const plan: Plan = {
  id: 'p',
  code: 'pro',
  name: 'Pro',
  priceCents: 4_900,
  currency: 'USD',
  isOffered: true,
  entitlements: [
    { code: 'exports', type: 'metered', value: 100, overagePriceCents: 3 },
    { code: 'imports', type: 'metered', value: 10 },
    { code: 'calls', type: 'metered', value: null, overagePriceCents: 5 },
  ],
}
const starter: Plan = { ...plan, id: 's', code: 'starter', name: 'Starter', priceCents: 0 }
const plans = new Map([
  ['p', plan],
  ['s', starter],
])
const day = (text: string) => new Date(`${text}T00:00:00Z`)
const november = { start: day('2026-11-01'), end: day('2026-12-01') }
const subscribed = { planId: 'p', trialEndsAt: undefined, createdAt: day('2026-01-01') }
const change = (at: string, from: string, to: string, trial?: string) => ({
  fromPlanId: from,
  toPlanId: to,
  trialEndsAt: trial === undefined ? undefined : day(trial),
  changedAt: day(at),
})

type Case = {
  readonly of?: Partial<Parameters<typeof segmentsOf>[0]>
  readonly changes?: Parameters<typeof segmentsOf>[1]
  readonly used?: Record<string, number>
  readonly granted?: Record<string, number | null>
}
const amounts = ({ of, changes = [], used = {}, granted }: Case) =>
  invoiceLines(
    segmentsOf({ ...subscribed, ...of }, changes, november),
    plans,
    new Map(
      Object.entries(
        granted ?? Object.fromEntries(plan.entitlements.map((each) => [each.code, each.value])),
      ) as [string, number | null][],
    ),
    new Map(Object.entries(used)),
  ).map(({ quantity, amountCents }) => [quantity, amountCents])

describe('the lines of an invoice', () => {
  test('charge the plan, less what of the period was a trial', () => {
    expect(amounts({})).toEqual([[1, 4_900]])
    expect(amounts({ of: { trialEndsAt: day('2026-10-15') } })).toEqual([[1, 4_900]])
    expect(amounts({ of: { trialEndsAt: day('2026-11-16') } })).toEqual([[1, 2_450]])
    expect(amounts({ of: { trialEndsAt: day('2027-02-01') } })).toEqual([[1, 0]])
    // a trial that was agreed on later does not reach back
    const later = [change('2026-11-16', 'p', 'p', '2027-01-01')]
    expect(amounts({ of: { trialEndsAt: day('2027-01-01') }, changes: later })).toEqual([
      [1, 2_450],
    ])
    const overlapping = [
      change('2026-10-20', 'p', 'p', '2026-11-11'),
      change('2026-11-06', 'p', 'p', '2026-11-16'),
    ]
    expect(amounts({ changes: overlapping })).toEqual([[1, 2_450]])
  })

  test('charge each plan for its share, whatever the plan is by now', () => {
    expect(amounts({ of: { planId: 's' }, changes: [change('2026-12-02', 'p', 's')] })).toEqual([
      [1, 4_900],
    ])
    expect(amounts({ of: { planId: 's' }, changes: [change('2026-11-16', 'p', 's')] })).toEqual([
      [1, 2_450],
      [1, 0],
    ])
    const twice = [change('2026-11-11', 's', 'p'), change('2026-11-21', 'p', 's')]
    expect(amounts({ of: { planId: 's' }, changes: twice })).toEqual([
      [1, 0],
      [1, 1_633],
      [1, 0],
    ])
  })

  test('charge what was used beyond what was granted, and list what costs nothing', () => {
    const used = { imports: 12, exports: 130, calls: 2, unheard: 7 }
    expect(amounts({ used })).toEqual([
      [1, 4_900],
      [0, 0],
      [30, 90],
      [12, 0],
      [7, 0],
    ])
    expect(amounts({ used: { exports: 130 }, granted: { exports: 1_000 } })).toEqual([
      [1, 4_900],
      [0, 0],
    ])
    expect(amounts({ used: { exports: 130 }, granted: { exports: null } })).toEqual([
      [1, 4_900],
      [0, 0],
    ])
    expect(amounts({ used: { exports: 130 }, granted: {} })).toEqual([
      [1, 4_900],
      [130, 390],
    ])
  })
})

test('a period ends with its calendar month, also across a year', () => {
  expect(periodAfter(day('2026-12-01'))).toEqual({
    start: day('2026-12-01'),
    end: day('2027-01-01'),
  })
  expect(periodAfter(day('2027-01-31')).end).toEqual(day('2027-02-01'))
})

test('nothing to pay is paid, and a price by agreement is for a person', () => {
  expect(statusOf([plan], 0)).toBe('paid')
  expect(statusOf([plan], 1)).toBe('open')
  expect(statusOf([plan, { ...plan, priceCents: undefined }], 0)).toBe('draft')
})

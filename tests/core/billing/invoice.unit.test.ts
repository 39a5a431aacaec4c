import { describe, expect, test } from 'vitest'
import { invoiceLines, periodAfter, statusOf } from '../../../src/core/billing/invoice.js'
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
const day = (text: string) => new Date(`${text}T00:00:00Z`)
const november = { periodStart: day('2026-11-01'), periodEnd: day('2026-12-01') }
const amounts = (of: Parameters<typeof invoiceLines>[1], used: Record<string, number> = {}) =>
  invoiceLines(plan, of, new Map(Object.entries(used))).map(({ quantity, amountCents }) => [
    quantity,
    amountCents,
  ])

describe('the lines of an invoice', () => {
  test('charge the plan, less what of the period was a trial', () => {
    expect(amounts(november)).toEqual([[1, 4_900]])
    expect(amounts({ ...november, trialEndsAt: day('2026-10-15') })).toEqual([[1, 4_900]])
    expect(amounts({ ...november, trialEndsAt: day('2026-11-16') })).toEqual([[1, 2_450]])
    expect(amounts({ ...november, trialEndsAt: day('2027-02-01') })).toEqual([[1, 0]])
  })

  test('charge what was used beyond the plan, and list what costs nothing', () => {
    const used = { imports: 12, exports: 130, calls: 2, unheard: 7 }
    expect(amounts(november, used)).toEqual([
      [1, 4_900],
      [2, 10],
      [30, 90],
      [12, 0],
      [7, 0],
    ])
    expect(amounts(november, { exports: 100 })).toEqual([
      [1, 4_900],
      [0, 0],
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
  expect(statusOf(plan, 0)).toBe('paid')
  expect(statusOf(plan, 1)).toBe('open')
  expect(statusOf({ ...plan, priceCents: undefined }, 0)).toBe('draft')
})

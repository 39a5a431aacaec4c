import { describe, expect } from 'vitest'
import { listInvoices } from '../../../src/core/billing/invoice-store.js'
import { findCurrentSubscription } from '../../../src/core/billing/subscription-store.js'
import type { Context } from '../../../src/core/context.js'
import { changePlan } from '../../../src/core/subscriptions/change-plan.js'
import { overrideEntitlement } from '../../../src/core/subscriptions/override-entitlement.js'
import { type BillingStep, runBilling } from '../../../src/core/subscriptions/run-billing.js'
import { enterTenant } from '../../../src/core/tenants/scope.js'
import { test as house } from '../../support/house.js'
import { issueFor } from '../../support/license.js'
import { asking, makeMember } from '../../support/member.js'
import { fromElsewhere } from '../../support/shop.js'

/** What a run came to, step by step. */
async function bill(ctx: Context, asOf: Date): Promise<BillingStep[]> {
  const steps: BillingStep[] = []
  await runBilling(ctx, { as_of: asOf.toISOString() }, (step) => steps.push(step))
  return steps
}

const monthsOn = (time: Date, months: number): Date =>
  new Date(Date.UTC(time.getUTCFullYear(), time.getUTCMonth() + months, 1))

const test = house.extend('used', async ({ app, tenant, scope }) => {
  const { license } = await issueFor(scope, { entitlements: { exports: 1_000, imports: true } })
  for (const [metric, quantity] of [
    ['exports', 30],
    ['exports', 12],
    ['imports', 5],
  ] as const) {
    const response = await app.request(
      '/v1/integration/usage/record',
      {
        method: 'POST',
        headers: { 'X-API-Key': tenant.apiKey, 'Content-Type': 'application/json' },
        body: JSON.stringify({ license_key: license.key, metric, quantity }),
      },
      fromElsewhere(),
    )
    if (response.status !== 202) throw new Error(await response.text())
  }
  return license
})

describe('a run of the billing', () => {
  test('closes each period that has ended, once, with its usage', async ({
    ctx,
    app,
    tenant,
    scope,
    used,
  }) => {
    await changePlan(ctx, scope, { plan: 'pro' }, { isOperator: true })
    const mine = (steps: BillingStep[]) =>
      steps.flatMap((step) =>
        step.what === 'invoice' && step.slug === tenant.slug ? [step.invoice] : [],
      )
    const now = ctx.now()
    const early = mine(await bill(ctx, new Date(monthsOn(now, 1).getTime() - 1)))
    const two = mine(await bill(ctx, monthsOn(now, 2)))
    const again = mine(await bill(ctx, monthsOn(now, 2)))
    const { token } = await makeMember(ctx, tenant.slug, 'owner')
    const snapshots = await asking(app, token)('GET', `/usage/snapshots?license=${used.id}`)
    const invoices = await asking(app, token)('GET', '/invoices')
    const subscription = await findCurrentSubscription(ctx.platform, scope.tenant.id)

    expect([early.length, two.length, again.length]).toEqual([0, 2, 0])
    const names = two[0]?.lines.map(({ description }) => description.replace(/, \d{4}.*/, ''))
    expect(names).toEqual(['Starter', 'Pro', 'exports: 42 used', 'imports: 5 used'])
    expect(two[1]?.lines).toHaveLength(1)
    // the first month for the part of it that is left, the second whole
    const [first = 0, second = 0] = two.map(({ totalCents }) => totalCents)
    expect(first).toBeLessThan(second)
    expect([second, two[1]?.status]).toEqual([4_900, 'open'])
    expect(snapshots.data.items).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ code: 'exports', value: 42, limit: 1_000 }),
        expect.objectContaining({ code: 'imports', value: 5, limit: null }),
      ]),
    )
    expect(invoices.data.items).toHaveLength(2)
    expect(subscription).toMatchObject({
      periodStart: monthsOn(now, 2),
      periodEnd: monthsOn(now, 3),
    })
  })

  test('makes one invoice a period, with numbers without a gap, however many run at once', async ({
    ctx,
    tenant: _,
    scope,
  }) => {
    const asOf = monthsOn(ctx.now(), 3)
    const runs = await Promise.allSettled(Array.from({ length: 6 }, () => bill(ctx, asOf)))
    const invoices = await listInvoices(ctx.platform, { limit: 1_000 })
    const mine = invoices.filter(({ tenantId }) => tenantId === scope.tenant.id)
    const numbers = invoices.map(({ number }) => Number(number.slice(-6))).sort((a, b) => a - b)

    const held = runs.flatMap((run) => (run.status === 'rejected' ? [run.reason.code] : []))
    expect(new Set([...held, 'LEASE.HELD'])).toEqual(new Set(['LEASE.HELD']))
    expect(mine).toHaveLength(3)
    expect(new Set(mine.map(({ periodStart }) => periodStart.getTime())).size).toBe(3)
    expect(numbers).toEqual(numbers.map((_number, index) => index + 1))
  })

  test('charges nothing for a trial, ends it, and charges from then on', async ({ ctx, scope }) => {
    const now = ctx.now()
    const trialEnd = monthsOn(now, 1)
    const input = { plan: 'pro', trial_ends_at: trialEnd.toISOString() }
    const { subscription } = await changePlan(ctx, scope, input, { isOperator: true })
    const steps = (await bill(ctx, monthsOn(now, 2))).filter(
      ({ slug }) => slug === scope.tenant.slug,
    )
    const after = await findCurrentSubscription(ctx.platform, scope.tenant.id)

    expect(subscription.status).toBe('trialing')
    expect(
      steps.map((step) => (step.what === 'invoice' ? step.invoice.totalCents : step.what)),
    ).toEqual([0, 4_900, 'trial ended'])
    expect(after?.status).toBe('active')
  })

  test('goes on with the others where one tenant cannot be reached, and finishes it the next time', async ({
    ctx,
    provisioner,
    scope,
  }) => {
    const asOf = monthsOn(ctx.now(), 1)
    const { database, id } = scope.tenant
    await provisioner.run(`rename table \`${database}\`.usage_snapshots to \`${database}\`.away`)
    ctx.tenantDatabases.close(id)
    const broken = (await bill(ctx, asOf)).filter(({ slug }) => slug === scope.tenant.slug)
    await provisioner.run(`rename table \`${database}\`.away to \`${database}\`.usage_snapshots`)
    const mended = (await bill(ctx, asOf)).filter(({ slug }) => slug === scope.tenant.slug)

    expect(broken.map(({ what }) => what)).toEqual(['failed'])
    expect(mended.map(({ what }) => what)).toEqual(['invoice'])
  })
})

describe('an override', () => {
  test('outlives a change of plan, and gives way when it is taken back', async ({ ctx, scope }) => {
    const grantOf = async (code: string) => {
      const rows = await scope.db('entitlements').where({ code })
      return [JSON.parse(String(rows[0]?.value ?? 'null')), rows[0]?.source]
    }
    await overrideEntitlement(ctx, scope, { code: 'products.max', value: 77 })
    await changePlan(ctx, scope, { plan: 'pro' }, { isOperator: true })
    const kept = await grantOf('products.max')
    await overrideEntitlement(ctx, scope, { code: 'products.max' })
    const back = await grantOf('products.max')
    const events = await scope.db('outbox').where({ object_id: 'products.max' }).pluck('action')

    expect(kept).toEqual([77, 'override'])
    expect(back).toEqual([5, 'plan'])
    expect(events).toEqual(['entitlement.granted', 'entitlement.granted'])
    expect(await enterTenant(ctx, scope.tenant.slug)).toBeDefined()
  })
})

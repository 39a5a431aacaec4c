import { describe, expect } from 'vitest'
import { enterTenant } from '../../src/core/tenants/scope.js'
import { createWebhook } from '../../src/core/webhooks/change-webhooks.js'
import { freshSlug, test } from '../support/house.js'
import { issueFor } from '../support/license.js'

describe('an empty list says whether a filter is the reason', () => {
  test('of tenants', async ({ cli, tenant: _ }) => {
    const { out, said, exit } = await cli('tenant', 'list', '--status', 'failed')

    expect([exit, said]).toEqual([0, expect.stringContaining('No tenant is failed.')])
    expect(out).not.toContain('failed')
  })

  test('of licenses, API keys, invoices, activations and deliveries', async ({
    cli,
    ctx,
    tenant,
    scope,
  }) => {
    const at = ['--tenant', tenant.slug]
    const none = await cli('license', 'list', ...at)
    await issueFor(scope, { product: 'app' })
    const filtered = await cli('license', 'list', ...at, '--status', 'revoked')
    const invoices = await cli('invoice', 'list', ...at)
    const activations = await cli('activation', 'list', ...at)
    const hook = { url: 'https://example.com/hook', events: ['license.created'] }
    const { endpoint } = (await createWebhook(ctx, scope, hook)).result
    const deliveries = await cli('webhook', 'deliveries', endpoint.id, ...at)
    const failed = await cli('webhook', 'deliveries', endpoint.id, ...at, '--status', 'failed')
    await cli('apikey', 'revoke', tenant.apiKey.slice(0, 9), ...at, '--yes')
    const keys = await cli('apikey', 'list', ...at)

    expect(none.said).toContain('No licenses.')
    expect(filtered.said).toBe('No license matches.\n')
    expect(invoices.said).toContain(`No invoices of "${tenant.slug}"`)
    expect(activations.said).toContain('No activations of this tenant.')
    expect(deliveries.said).toContain('Nothing has been sent to this endpoint yet.')
    expect(failed.said).toBe('No delivery matches.\n')
    expect(keys.said).toContain('No live keys.')
  })
})

test('license list --status expired lists what has expired', async ({
  cli,
  scope,
  tenant,
  ctx,
}) => {
  const { license } = await issueFor(scope, { product: 'app' })
  await issueFor(scope, { product: 'app' })
  const { db } = await enterTenant(ctx, tenant.slug)
  await db('licenses')
    .where({ id: license.id })
    .update({ expires_at: new Date(0), grace_days: 0 })

  const { out, exit } = await cli(
    ...['license', 'list', '--tenant', tenant.slug, '--status', 'expired', '--json'],
  )

  expect(exit).toBe(0)
  expect(
    out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line)),
  ).toMatchObject([{ id: license.id, status: 'expired' }])
})

describe('subscription override', () => {
  test('refuses a code that no plan has, suggests the one that was meant, and takes it with --new', async ({
    cli,
    tenant,
  }) => {
    const at = ['--tenant', tenant.slug, '--json']
    const typo = await cli('subscription', 'override', 'license.max=500', ...at)
    const strange = await cli('subscription', 'override', 'features.beta=true', ...at)
    const removed = await cli('subscription', 'override', 'license.max', '--remove', ...at)
    const known = await cli('subscription', 'override', 'licenses.max=500', ...at)
    const meant = await cli('subscription', 'override', 'features.beta=true', '--new', ...at)
    const again = await cli('subscription', 'override', 'features.beta=false', ...at)

    expect([typo.exit, removed.exit, strange.exit]).toEqual([65, 65, 65])
    expect(JSON.parse(typo.said).error).toMatchObject({
      code: 'ENTITLEMENTS.UNKNOWN',
      message: 'No plan has an entitlement "license.max". Did you mean "licenses.max"?',
      hint: expect.stringContaining('--new'),
    })
    expect(JSON.parse(strange.said).error.message).not.toContain('Did you mean')
    expect([known.exit, meant.exit, again.exit]).toEqual([0, 0, 0])
    expect(again.out).toContain('"features.beta"')
  })

  test('leaves no counter behind of a code that is taken back', async ({ cli, scope, tenant }) => {
    const at = ['--tenant', tenant.slug]
    const counters = () => scope.db('usage_counters').where({ code: 'widgets.max' })
    await cli('subscription', 'override', 'widgets.max=5', '--new', ...at)
    expect(await counters()).toHaveLength(1)

    await cli('subscription', 'override', 'widgets.max', '--remove', ...at)

    expect(await counters()).toEqual([])
  })
})

describe('a refusal says what an operator can do about it', () => {
  test('at a limit of the plan, at another plan, and at an unknown invoice', async ({
    cli,
    tenant,
  }) => {
    const at = ['--tenant', tenant.slug]
    await cli('subscription', 'override', 'licenses.max=0', ...at)
    const issue = ['license', 'issue', ...at, '--product', 'app', '--create-product', 'App']
    const limited = await cli(...issue)
    const other = await cli('tenant', 'provision', tenant.slug, '--plan', 'pro')
    const owner = await cli('tenant', 'provision', tenant.slug, '--owner-email', 'ada@example.com')
    const invoice = await cli('invoice', 'show', 'INV-none')

    expect([limited.exit, other.exit, owner.exit, invoice.exit]).toEqual([65, 65, 65, 66])
    expect(limited.said).toContain('validonx subscription override licenses.max=<limit>')
    expect(other.said).toContain(`validonx subscription change --tenant ${tenant.slug} --plan pro`)
    expect(owner.said).toContain(
      `validonx member add ada@example.com --tenant ${tenant.slug} --role owner`,
    )
    expect(invoice.said).toContain('validonx invoice list')
  })

  test('at a webhook that points at an address of the own network', async ({
    cli,
    ctx,
    scope,
    tenant,
  }) => {
    const hook = { url: 'https://example.com/hook', events: ['license.created'] }
    const { endpoint } = (await createWebhook(ctx, scope, hook)).result
    await ctx
      .platform('webhook_endpoints')
      .where({ id: endpoint.id })
      .update({ url: 'https://127.0.0.1:1/hook' })

    const { exit, out, said } = await cli('webhook', 'test', endpoint.id, '--tenant', tenant.slug)

    expect([exit, out]).toEqual([1, 'not delivered: the address is not public\n'])
    expect(said).toContain('VALIDONX_WEBHOOK_ALLOW')
  })

  test('when no database server has capacity', async ({ cli, ctx, provisioner }) => {
    const servers = `\`${ctx.config.platformDatabase}\`.database_servers`
    await provisioner.run(`update ${servers} set accepts_tenants = 0`)
    const { exit, said } = await cli('tenant', 'provision', freshSlug())
    await provisioner.run(`update ${servers} set accepts_tenants = 1`)

    expect([exit, said]).toEqual([69, expect.stringContaining('SERVER.NO_CAPACITY')])
    expect(said).toContain('No database server has capacity for another tenant.')
  })
})

import { expect } from 'vitest'
import { freshSlug, provision, test } from '../support/house.js'

test('license issue, list and show work together', async ({ cli, tenant }) => {
  const at = ['--tenant', tenant.slug]
  const missing = await cli('license', 'issue', ...at, '--product', 'editor')
  const issued = await cli(
    'license',
    'issue',
    ...at,
    '--product',
    'editor',
    '--create-product',
    'Editor',
    '--expires',
    '2099-12-31',
    '--grace-days',
    '7',
    '-e',
    'features.export=true',
    '-e',
    'activations.max=5',
    '-e',
    'edition=gold',
    '--customer-email',
    'ada@example.com',
    '--json',
  )
  const license = JSON.parse(issued.out)
  const listed = await cli('license', 'list', ...at, '--json')
  const shown = await cli('license', 'show', license.key, ...at)

  expect([missing.exit, missing.said]).toEqual([66, expect.stringContaining('--create-product')])
  expect(license).toMatchObject({
    key: expect.stringMatching(/^[0-9A-Z]{4}(-[0-9A-Z]{4}){3}$/),
    product: 'editor',
    type: 'subscription',
    status: 'active',
    expires_at: '2099-12-31T00:00:00.000Z',
    grace_days: 7,
    entitlements: { 'features.export': true, 'activations.max': 5, edition: 'gold' },
  })
  expect(JSON.parse(listed.out)).toEqual(license)
  expect(shown.out).toContain('activations.max=5, edition=gold, features.export=true')
})

test.for([
  ['--type', 'forever', 'type'],
  ['--expires', '2099-02-31', '--expires'],
  ['--expires', 'tomorrow', '--expires'],
  ['--grace-days', '1.5', '--grace-days'],
  ['--grace-days', 'some', '--grace-days'],
  ['-e', 'no-value', 'entitlement'],
  ['-e', 'Bad Code=1', '--entitlement'],
  ['--customer-email', 'not-an-address', '--customer-email'],
] as const)('%s %s is refused by name', async ([option, value, name], { cli, tenant }) => {
  const { exit, said, out } = await cli(
    'license',
    'issue',
    '--tenant',
    tenant.slug,
    '--product',
    'p',
    '--create-product',
    'P',
    option,
    value,
  )

  expect([64, 65]).toContain(exit)
  expect([said, out]).toEqual([expect.stringContaining(name), ''])
})

test('the plan limits how many: of 120 at once at limit 100 exactly 100 are issued', async ({
  ctx,
  cli,
}) => {
  const slug = freshSlug()
  await provision(ctx, slug)
  await cli('license', 'issue', '--tenant', slug, '--product', 'p', '--create-product', 'P')
  const second = await cli(
    'license',
    'issue',
    '--tenant',
    slug,
    '--product',
    'q',
    '--create-product',
    'Q',
  )
  const { enterTenant } = await import('../../src/core/tenants/scope.js')
  const { issueLicense } = await import('../../src/core/licensing/issue-licenses.js')
  const scope = await enterTenant(ctx, slug)

  const outcomes = await Promise.all(
    Array.from({ length: 120 }, () =>
      issueLicense(scope, { product: 'p' }).then(
        () => 'issued',
        (error: { code: string }) => error.code,
      ),
    ),
  )

  expect([second.exit, second.said]).toEqual([
    65,
    expect.stringContaining('ENTITLEMENTS.LIMIT_EXCEEDED'),
  ])
  expect(outcomes.filter((outcome) => outcome === 'issued')).toHaveLength(99)
  expect(new Set(outcomes)).toEqual(new Set(['issued', 'ENTITLEMENTS.LIMIT_EXCEEDED']))
  expect(await scope.db('licenses').count({ count: '*' })).toEqual([{ count: 100 }])
  expect(
    await scope.db('outbox').where({ action: 'license.created' }).count({ count: '*' }),
  ).toEqual([{ count: 100 }])
})

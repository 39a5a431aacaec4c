import { describe, expect } from 'vitest'
import { revokeActivation } from '../../src/core/licensing/revoke-activation.js'
import { enterTenant } from '../../src/core/tenants/scope.js'
import { freshSlug, test as house, provision } from '../support/house.js'
import { issueFor } from '../support/license.js'

type Answer = {
  status: number
  body: { data: Record<string, unknown>; error: { code: string; details: unknown } }
  headers: Headers
}

/** A tenant on the largest plan, a way to issue its licenses, and a way to call the API with its key. */
const test = house.extend('shop', async ({ ctx, app }) => {
  const slug = freshSlug()
  const apiKey = await provision(ctx, slug, 'enterprise')
  const scope = await enterTenant(ctx, slug)
  const issue = async (wish: object = {}) =>
    (
      await issueFor(scope, {
        product: 'app',
        type: 'perpetual',
        ...wish,
      })
    ).license
  const call = async (
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer> => {
    const text = body === undefined ? undefined : JSON.stringify(body)
    const response = await app.request(`/v1/integration${path}`, {
      method: 'POST',
      headers: {
        'X-API-Key': apiKey,
        ...(text === undefined
          ? {}
          : {
              'Content-Type': 'application/json',
              'Content-Length': String(Buffer.byteLength(text)),
            }),
        ...headers,
      },
      ...(text === undefined ? {} : { body: text }),
    })
    return {
      status: response.status,
      body: (await response.json()) as Answer['body'],
      headers: response.headers,
    }
  }
  return { slug, scope, issue, call }
})

const RFC3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

describe('validating a license, explained', () => {
  test('lists every check with the values compared', async ({ shop }) => {
    const license = await shop.issue({
      starts_at: '2020-01-01',
      expires_at: '2020-06-01',
      grace_days: 3,
    })
    const { body } = await shop.call(`/licenses/${license.key}/validate?explain=true`)
    const plain = await shop.call(`/licenses/${license.key}/validate?explain=false`)

    expect(body.data).toMatchObject({
      valid: false,
      code: 'EXPIRED',
      checks: [
        { check: 'status', passed: true, value: 'active', compared_with: 'active' },
        {
          check: 'starts_at',
          passed: true,
          value: '2020-01-01T00:00:00.000Z',
          compared_with: expect.stringMatching(RFC3339),
        },
        {
          check: 'expires_at',
          passed: false,
          value: '2020-06-01T00:00:00.000Z',
          compared_with: expect.stringMatching(RFC3339),
        },
        {
          check: 'grace_period',
          passed: false,
          value: 3,
          compared_with: '2020-06-04T00:00:00.000Z',
        },
      ],
    })
    expect(plain.body.data).not.toHaveProperty('checks')
  })
})

describe('activations', () => {
  test('a first activation answers 201 as published, and a repeat the same one with 200', async ({
    shop,
  }) => {
    const license = await shop.issue()
    const wish = {
      license_key: license.key,
      instance_id: 'build-7',
      metadata: { os: 'linux', nested: { cores: 4 } },
    }
    const first = await shop.call('/activations', wish)
    const again = await shop.call('/activations', wish)

    expect([first.status, again.status]).toEqual([201, 200])
    expect(first.body.data).toEqual({
      activation: {
        id: expect.any(String),
        license_id: license.id,
        license_key_id: license.id,
        instance_id: 'build-7',
        device_fingerprint: expect.stringMatching(/^[0-9a-f]{64}$/),
        status: 'active',
        activated_at: expect.stringMatching(RFC3339),
        created_at: expect.stringMatching(RFC3339),
        metadata: wish.metadata,
      },
    })
    expect(again.body.data).toEqual(first.body.data)
  })

  test('fingerprint is taken for instance_id, and one of the two is needed', async ({ shop }) => {
    const { key } = await shop.issue()
    const named = await shop.call('/activations', {
      license_key: key,
      fingerprint: 'fp-1',
      device_fingerprint: 'dev-1',
    })
    const neither = await shop.call('/activations', { license_key: key })

    expect(named.body.data).toMatchObject({
      activation: { instance_id: 'fp-1', device_fingerprint: 'dev-1' },
    })
    expect([neither.status, neither.body.error]).toMatchObject([
      422,
      { code: 'VALIDATION.FAILED', details: { instance_id: ['is required'] } },
    ])
  })

  test('a full license refuses the next instance, keeps those it has, and has room again after a revocation', async ({
    shop,
  }) => {
    const { key } = await shop.issue({ entitlements: { 'activations.max': 2 } })
    const activate = (instance: string) =>
      shop.call('/activations', { license_key: key, instance_id: instance })
    const [one, two] = [await activate('a'), await activate('b')]
    const three = await activate('c')
    const again = await activate('a')
    const { activation } = one.body.data as { activation: { id: string } }
    await revokeActivation(shop.scope, activation.id)
    const four = await activate('c')
    const gone = await shop.call(`/activations/${activation.id}/validate`)

    expect([one.status, two.status, again.status, four.status]).toEqual([201, 201, 200, 201])
    expect([three.status, three.body.error]).toMatchObject([
      403,
      { code: 'ACTIVATION.LIMIT_EXCEEDED', type: 'activation', details: { current: 2, limit: 2 } },
    ])
    expect(gone.body.data).toMatchObject({ valid: false, activation: { status: 'revoked' } })
  })

  test("seats that the license does not name are the plan's", async ({ ctx, app }) => {
    const slug = freshSlug()
    const apiKey = await provision(ctx, slug, 'starter')
    const { license } = await issueFor(await enterTenant(ctx, slug), {
      product: 'p',
    })
    const statuses = []
    for (let instance = 0; instance < 11; instance += 1) {
      const response = await app.request('/v1/integration/activations', {
        method: 'POST',
        headers: { 'X-API-Key': apiKey, 'Content-Type': 'application/json' },
        body: JSON.stringify({ license_key: license.key, instance_id: `i${instance}` }),
      })
      statuses.push(response.status)
    }
    expect(statuses).toEqual([...Array.from({ length: 10 }, () => 201), 403])
  })

  test('a license that would not validate takes no activation', async ({ shop }) => {
    const expired = await shop.issue({ starts_at: '2020-01-01', expires_at: '2020-06-01' })
    const revoked = await shop.issue()
    await shop.scope.db('licenses').where({ id: revoked.id }).update({ status: 'revoked' })
    const answers = []
    for (const key of [expired.key, revoked.key, 'AAAA-BBBB-CCCC-DDDD', 'nonsense']) {
      const { status, body } = await shop.call('/activations', {
        license_key: key,
        instance_id: 'x',
      })
      answers.push([status, body.error.code])
    }
    expect(answers).toEqual([
      [422, 'ACTIVATION.INVALID'],
      [403, 'LICENSE.REVOKED'],
      [404, 'LICENSE.NOT_FOUND'],
      [404, 'LICENSE.NOT_FOUND'],
    ])
  })

  test('is valid while it is active and its license validates', async ({ shop }) => {
    const license = await shop.issue()
    const made = await shop.call('/activations', { license_key: license.key, instance_id: 'a' })
    const { activation } = made.body.data as { activation: { id: string } }
    const valid = await shop.call(`/activations/${activation.id}/validate`)
    await shop.scope.db('licenses').where({ id: license.id }).update({ status: 'suspended' })
    const suspended = await shop.call(`/activations/${activation.id}/validate`)
    const unknown = await shop.call('/activations/01a20a16-e903-7073-8d90-840262d70cf5/validate')

    expect(valid.body.data).toMatchObject({
      valid: true,
      activation,
      license: { id: license.id, status: 'active', expires_at: null },
    })
    expect(suspended.body.data).toMatchObject({ valid: false, license: { status: 'suspended' } })
    expect([unknown.status, unknown.body.error.code]).toEqual([404, 'ACTIVATION.NOT_FOUND'])
  })

  test('with an idempotency key the first answer comes again, marked; another body is refused', async ({
    shop,
  }) => {
    const { key } = await shop.issue()
    const headers = { 'Idempotency-Key': '"order-1"' }
    const first = await shop.call('/activations', { license_key: key, instance_id: 'a' }, headers)
    const again = await shop.call(
      '/activations',
      { instance_id: 'a', license_key: key },
      { 'Idempotency-Key': 'order-1' },
    )
    const other = await shop.call('/activations', { license_key: key, instance_id: 'b' }, headers)

    expect([first.status, again.status]).toEqual([201, 201])
    expect(again.body.data).toEqual(first.body.data)
    expect([
      first.headers.get('Idempotency-Replayed'),
      again.headers.get('Idempotency-Replayed'),
    ]).toEqual([null, 'true'])
    expect([other.status, other.body.error.code]).toEqual([422, 'VALIDATION.IDEMPOTENCY_MISMATCH'])
  })

  test('a refused request leaves its idempotency key free', async ({ shop }) => {
    const { key, id } = await shop.issue({ entitlements: { 'activations.max': 0 } })
    const headers = { 'Idempotency-Key': 'retry' }
    const refused = await shop.call('/activations', { license_key: key, instance_id: 'a' }, headers)
    await shop.scope.db('licenses').where({ id }).update({ entitlements: '{"activations.max":1}' })
    const taken = await shop.call('/activations', { license_key: key, instance_id: 'a' }, headers)

    expect([refused.status, taken.status]).toEqual([403, 201])
  })
})

describe('entitlements', () => {
  test('answers as published: numbers are limits too, false is not granted', async ({ shop }) => {
    const { key } = await shop.issue({
      entitlements: {
        'activations.max': 10,
        'features.export': false,
        beta: true,
        edition: 'gold',
      },
    })
    const { status, body } = await shop.call('/entitlements/check', {
      license_key: key,
      features: ['activations.max', 'features.export', 'beta', 'edition', 'unknown', 'constructor'],
    })

    expect([status, body.data]).toEqual([
      200,
      {
        entitlements: {
          features: {
            'activations.max': { granted: true, value: 10 },
            'features.export': { granted: false, value: null },
            beta: { granted: true, value: true },
            edition: { granted: true, value: 'gold' },
            unknown: { granted: false, value: null },
            constructor: { granted: false, value: null },
          },
          limits: { 'activations.max': { limit: 10, type: 'metered' } },
        },
      },
    ])
  })

  test("the form without a license answers from the tenant's own", async ({ shop }) => {
    const { body } = await shop.call('/entitlements/check', {
      entitlement_codes: ['products.max', 'nothing'],
    })

    expect(body.data).toEqual({
      'products.max': { entitled: true, type: 'metered', value: null },
      nothing: { entitled: false, type: null, value: null },
    })
  })

  test('a license that has expired grants nothing; mixed and empty forms are refused', async ({
    shop,
  }) => {
    const { key } = await shop.issue({
      starts_at: '2020-01-01',
      expires_at: '2020-06-01',
      entitlements: { beta: true },
    })
    const expired = await shop.call('/entitlements/check', { license_key: key, features: ['beta'] })
    const mixed = await shop.call('/entitlements/check', {
      license_key: key,
      features: ['beta'],
      entitlement_codes: ['beta'],
    })
    const empty = await shop.call('/entitlements/check', { license_key: key, features: [] })

    expect(expired.body.data).toMatchObject({
      entitlements: { features: { beta: { granted: false } } },
    })
    expect([mixed.status, empty.status]).toEqual([422, 422])
  })
})

describe('usage', () => {
  test('is recorded as published, with what the platform adds', async ({ shop }) => {
    const license = await shop.issue({ entitlements: { exports: true } })
    const { status, body } = await shop.call('/usage/record', {
      license_key: license.key,
      metric: 'exports',
      value: 3,
      metadata: { page: 1, source: 'mine' },
    })
    const [row] = await shop.scope.db('usage_events').select('metadata', 'quantity')

    expect([status, body.data]).toEqual([
      202,
      {
        recorded: true,
        usage_event: {
          id: expect.any(String),
          entitlement_code: 'exports',
          quantity: 3,
          recorded_at: expect.stringMatching(RFC3339),
        },
      },
    ])
    expect(JSON.parse(row.metadata)).toEqual({
      page: 1,
      source: 'integration_api',
      license_key_id: license.id,
    })
  })

  test('a repeat counts once, by header or by body; the same key with another body is refused', async ({
    shop,
  }) => {
    const { key, id } = await shop.issue({ entitlements: { exports: 100 } })
    const wish = { license_key: key, metric: 'exports', quantity: 2 }
    const first = await shop.call('/usage/record', wish, { 'Idempotency-Key': 'u-1' })
    const again = await shop.call('/usage/record', { ...wish, idempotency_key: 'u-1' })
    const other = await shop.call('/usage/record', { ...wish, quantity: 3, idempotency_key: 'u-1' })
    const [counter] = await shop.scope.db('usage_counters').where({ subject: id }).select('value')

    expect([first.status, again.status, again.body.data]).toEqual([202, 202, first.body.data])
    expect(again.headers.get('Idempotency-Replayed')).toBe('true')
    expect([other.status, other.body.error.code]).toEqual([422, 'VALIDATION.IDEMPOTENCY_MISMATCH'])
    expect(Number(counter.value)).toBe(2)
  })

  test('limits, missing entitlements, and what the platform counts itself are refused, and nothing is recorded', async ({
    shop,
  }) => {
    const { key } = await shop.issue({ entitlements: { exports: 5, off: false } })
    const record = (metric: string, quantity: unknown) =>
      shop.call('/usage/record', { license_key: key, metric, quantity })
    const over = await record('exports', 6)
    const answers = [
      over,
      await record('off', 1),
      await record('unknown', 1),
      await record('licenses.max', 1),
      await record('exports', 0),
      await record('exports', 1.5),
      await record('exports', '1'),
    ]

    expect(answers.map(({ status, body }) => [status, body.error.code])).toEqual([
      [403, 'ENTITLEMENTS.LIMIT_EXCEEDED'],
      [403, 'ENTITLEMENTS.MISSING'],
      [403, 'ENTITLEMENTS.MISSING'],
      [422, 'VALIDATION.FAILED'],
      [422, 'VALIDATION.FAILED'],
      [422, 'VALIDATION.FAILED'],
      [422, 'VALIDATION.FAILED'],
    ])
    expect(over.body.error.details).toEqual({ code: 'exports', current: 0, limit: 5 })
    expect(await shop.scope.db('usage_events').count({ count: '*' })).toEqual([{ count: 0 }])
  })

  test('thresholds are told once each in a period', async ({ shop }) => {
    const { key } = await shop.issue({ entitlements: { exports: 10 } })
    for (let round = 0; round < 10; round += 1) {
      expect(
        (await shop.call('/usage/record', { license_key: key, metric: 'exports', quantity: 1 }))
          .status,
      ).toBe(202)
    }
    const told = await shop.scope
      .db('outbox')
      .where({ action: 'usage.threshold_reached' })
      .pluck('changes')

    expect(told.map((changes: string) => JSON.parse(changes).after)).toEqual([
      { code: 'exports', percent: 80, current: 8, limit: 10 },
      { code: 'exports', percent: 100, current: 10, limit: 10 },
    ])
  })
})

test('every answer of the API says how its limits stand', async ({ shop }) => {
  const { key } = await shop.issue()
  const { headers } = await shop.call(`/licenses/${key}/validate`)

  expect(headers.get('X-RateLimit-Limit')).toBe('1000')
  expect(Number(headers.get('X-RateLimit-Remaining'))).toBeLessThan(1000)
  expect(Number(headers.get('X-RateLimit-Reset'))).toBeGreaterThan(Date.now() / 1000)
  expect(headers.get('RateLimit-Policy')).toBe('"api_key";q=1000;w=3600')
  expect(headers.get('RateLimit')).toMatch(/^"api_key";r=\d+;t=\d+$/)
})

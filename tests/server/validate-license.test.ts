import { describe, expect } from 'vitest'
import { mintApiKey } from '../../src/core/access/api-key.js'
import { createApiKey } from '../../src/core/access/create-api-key.js'
import { suspendTenant } from '../../src/core/tenants/change-status.js'
import { freshSlug, provision, test } from '../support/house.js'
import { issueFor } from '../support/license.js'

const product = { product: 'app' }
const post = (apiKey: string, extra: RequestInit = {}) => ({
  method: 'POST',
  ...extra,
  headers: { 'X-API-Key': apiKey, ...(extra.headers as Record<string, string> | undefined) },
})

describe('validating a license', () => {
  test.for(['/v1', '/api/v1'])(
    'answers as published, under %s',
    async (base, { app, scope, tenant }) => {
      const { license } = await issueFor(scope, {
        ...product,
        type: 'perpetual',
        entitlements: { 'features.export': true, 'activations.max': 5, edition: 'gold' },
      })

      const response = await app.request(
        `${base}/integration/licenses/${license.key}/validate`,
        post(tenant.apiKey),
      )

      expect(response.status).toBe(200)
      expect(response.headers.get('X-ValidonX-API-Version')).toBe('1')
      expect(await response.json()).toEqual({
        data: {
          valid: true,
          code: 'VALID',
          license: {
            id: license.id,
            key: license.key,
            type: 'perpetual',
            status: 'active',
            expires_at: null,
            entitlements: { 'features.export': true, 'activations.max': 5, edition: 'gold' },
          },
        },
        meta: { request_id: response.headers.get('X-Request-ID'), api_version: '1' },
      })
    },
  )

  test('an expired license is an answer, and one in its grace period is valid', async ({
    app,
    scope,
    tenant,
  }) => {
    const past = { starts_at: '2020-01-01', expires_at: '2020-06-01T00:00:00Z' }
    const expired = await issueFor(scope, { ...product, ...past })
    const graceful = await issueFor(scope, { ...product, ...past, grace_days: 3650 })
    const early = await issueFor(scope, { ...product, starts_at: '2099-01-01' })

    const answers = []
    for (const { license } of [expired, graceful, early]) {
      const response = await app.request(
        `/v1/integration/licenses/${license.key}/validate`,
        post(tenant.apiKey),
      )
      const { data } = (await response.json()) as {
        data: { valid: boolean; code: string; license: { status: string } }
      }
      answers.push([response.status, data.valid, data.code, data.license.status])
    }

    expect(answers).toEqual([
      [200, false, 'EXPIRED', 'expired'],
      [200, true, 'GRACE_PERIOD', 'active'],
      [200, false, 'NOT_YET_VALID', 'active'],
    ])
  })

  test('a suspended license is an answer; a revoked one and an unknown one are failures', async ({
    app,
    scope,
    tenant,
  }) => {
    const { license } = await issueFor(scope, product)
    const path = `/v1/integration/licenses/${license.key}/validate`
    const outcomes = []
    for (const status of ['suspended', 'revoked']) {
      await scope.db('licenses').where({ id: license.id }).update({ status })
      const response = await app.request(path, post(tenant.apiKey))
      outcomes.push([response.status, await response.json()])
    }
    const unknown = await app.request(
      '/v1/integration/licenses/AAAA-BBBB-CCCC-DDDD/validate',
      post(tenant.apiKey),
    )
    const garbage = await app.request(
      "/v1/integration/licenses/'%20or%201=1/validate",
      post(tenant.apiKey),
    )

    expect(outcomes).toMatchObject([
      [200, { data: { valid: false, code: 'SUSPENDED', license: { status: 'suspended' } } }],
      [403, { error: { code: 'LICENSE.REVOKED', type: 'license', status: 403, details: {} } }],
    ])
    for (const response of [unknown, garbage]) {
      expect(response.status).toBe(404)
      expect(await response.json()).toMatchObject({
        error: { code: 'LICENSE.NOT_FOUND', type: 'license', status: 404 },
      })
    }
  })

  test("another tenant's license does not exist", async ({ ctx, app, scope }) => {
    const { license } = await issueFor(scope, product)
    const stranger = await provision(ctx, freshSlug())

    const response = await app.request(
      `/v1/integration/licenses/${license.key}/validate`,
      post(stranger),
    )

    expect(response.status).toBe(404)
  })
})

describe('the API key', () => {
  const path = '/v1/integration/licenses/AAAA-BBBB-CCCC-DDDD/validate'

  test('missing, malformed, mistyped, unknown and expired keys look the same', async ({
    app,
    ctx,
    tenant,
  }) => {
    const expired = await createApiKey(ctx, { slug: tenant.slug, name: 'old' })
    await ctx
      .platform('api_keys')
      .where({ id: expired.key.id })
      .update({ expires_at: new Date(0) })
    const mistyped = `${tenant.apiKey.slice(0, -1)}${tenant.apiKey.endsWith('a') ? 'b' : 'a'}`
    const headers: Record<string, string>[] = [
      {},
      { 'X-API-Key': '' },
      { 'X-API-Key': 'vx_' },
      { 'X-API-Key': "' or 1=1 --" },
      { 'X-API-Key': mistyped },
      { 'X-API-Key': tenant.apiKey.toLowerCase() },
      { 'X-API-Key': `${tenant.apiKey}, ${tenant.apiKey}` },
      { 'X-API-Key': mintApiKey() },
      { 'X-API-Key': expired.secret },
    ]

    for (const given of headers) {
      const response = await app.request(path, { method: 'POST', headers: given })
      expect(response.status).toBe(401)
      expect(await response.json()).toMatchObject({
        error: { code: 'AUTH.INVALID_API_KEY', type: 'auth', status: 401, details: {} },
      })
    }
  })

  test('a revoked key says so', async ({ app, ctx, tenant }) => {
    await createApiKey(ctx, { slug: tenant.slug, name: 'bootstrap', replaceNamesakes: true })

    const response = await app.request(path, post(tenant.apiKey))

    expect(response.status).toBe(401)
    expect(await response.json()).toMatchObject({ error: { code: 'AUTH.API_KEY_REVOKED' } })
  })

  test('a suspended tenant is closed within a second of its suspension, and any other state is refused', async ({
    app,
    ctx,
    tenant,
  }) => {
    const before = await app.request(path, post(tenant.apiKey))
    await suspendTenant(ctx, { slug: tenant.slug })
    await new Promise((done) => setTimeout(done, 1000))
    const suspended = await app.request(path, post(tenant.apiKey))
    await ctx.platform('tenants').where({ slug: tenant.slug }).update({ status: 'archived' })
    await new Promise((done) => setTimeout(done, 1000))
    const archived = await app.request(path, post(tenant.apiKey))

    expect([before.status, suspended.status, archived.status]).toEqual([404, 403, 403])
    expect(await suspended.json()).toMatchObject({
      error: { code: 'TENANT.STATUS.SUSPENDED', type: 'tenant' },
    })
    expect(await archived.json()).toMatchObject({
      error: { code: 'TENANT.INVALID_STATE', type: 'tenant' },
    })
  })
})

describe('every failure comes in the envelope', () => {
  test('unknown routes, wrong methods, wrong types and large bodies', async ({ app, tenant }) => {
    const validate = '/v1/integration/licenses/AAAA-BBBB-CCCC-DDDD/validate'
    const cases: [string, RequestInit, number, string][] = [
      ['/nowhere', {}, 404, 'ROUTE.NOT_FOUND'],
      [
        '/v1/integration/nowhere',
        { headers: { 'X-API-Key': tenant.apiKey } },
        404,
        'ROUTE.NOT_FOUND',
      ],
      ['/v1/integration/nowhere', {}, 401, 'AUTH.INVALID_API_KEY'],
      [
        validate,
        { method: 'GET', headers: { 'X-API-Key': tenant.apiKey } },
        405,
        'REQUEST.METHOD_NOT_ALLOWED',
      ],
      ['/healthz', { method: 'DELETE' }, 405, 'REQUEST.METHOD_NOT_ALLOWED'],
      [
        validate,
        post(tenant.apiKey, {
          body: 'x=1',
          headers: { 'Content-Type': 'text/plain', 'Content-Length': '3' },
        }),
        415,
        'REQUEST.UNSUPPORTED_MEDIA_TYPE',
      ],
      [
        validate,
        post(tenant.apiKey, {
          body: 'x'.repeat(300_000),
          headers: { 'Content-Type': 'application/json', 'Content-Length': '300000' },
        }),
        413,
        'REQUEST.TOO_LARGE',
      ],
    ]

    for (const [path, init, status, code] of cases) {
      const response = await app.request(path, init)
      expect([path, response.status]).toEqual([path, status])
      expect(await response.json()).toMatchObject({
        error: {
          code,
          status,
          type: code.split('.')[0]?.toLowerCase(),
          message: expect.any(String),
          details: expect.any(Object),
        },
        meta: { api_version: '1', request_id: response.headers.get('X-Request-ID') },
      })
      expect(response.headers.get('X-ValidonX-API-Version')).toBe('1')
    }
  })

  test('a request is known by the name its caller gave it, where that is a sane token', async ({
    app,
  }) => {
    const echoed = await app.request('/healthz', { headers: { 'X-Request-ID': 'deploy-42' } })
    const replaced = await app.request('/healthz', { headers: { 'X-Request-ID': 'a b <script>' } })
    const tooLong = await app.request('/healthz', { headers: { 'X-Request-ID': 'x'.repeat(129) } })

    expect(echoed.headers.get('X-Request-ID')).toBe('deploy-42')
    expect(replaced.headers.get('X-Request-ID')).toMatch(/^[0-9a-f-]{36}$/)
    expect(tooLong.headers.get('X-Request-ID')).toMatch(/^[0-9a-f-]{36}$/)
  })

  test('an error nobody foresaw says nothing of what happened', async ({
    app,
    scope,
    tenant,
    provisioner,
  }) => {
    await provisioner.run(
      `rename table \`${scope.tenant.database}\`.licenses to \`${scope.tenant.database}\`.hidden`,
    )

    const response = await app.request(
      '/v1/integration/licenses/AAAA-BBBB-CCCC-DDDD/validate',
      post(tenant.apiKey),
    )

    expect(response.status).toBe(500)
    expect(await response.json()).toEqual({
      error: {
        code: 'SERVER.INTERNAL',
        message: 'Something went wrong on our side.',
        type: 'server',
        status: 500,
        details: {},
      },
      meta: { request_id: expect.any(String), api_version: '1' },
    })
  })
})

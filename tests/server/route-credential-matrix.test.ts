import type { Hono } from 'hono'
import { describe, expect } from 'vitest'
import { API_KEY_SCOPES, type ApiKeyScope, mintApiKey } from '../../src/core/access/api-key.js'
import { createApiKey } from '../../src/core/access/create-api-key.js'
import { revokeApiKey } from '../../src/core/access/revoke-api-key.js'
import { catalogue, type ErrorCode } from '../../src/core/errors.js'
import { createToken } from '../../src/core/identity/create-token.js'
import { suspendTenant } from '../../src/core/tenants/change-status.js'
import { type App, createApp } from '../../src/server/app.js'
import type { ServerEnv } from '../../src/server/env.js'
import { hashPasswordsCheaply } from '../support/cheap-passwords.js'
import { test as house } from '../support/house.js'
import { makeMember, makePerson } from '../support/member.js'
import { openRawHttp } from '../support/raw-http.js'
import {
  BASES,
  onBothBases,
  refusalOf,
  routesOf,
  send,
  strays,
  TENANT_ROUTES,
} from '../support/routes.js'
import { fromElsewhere, openShop, rowCounts } from '../support/shop.js'

hashPasswordsCheaply()

type Resources = { readonly licenseKey: string; readonly activationId: string }

/** What a route needs to succeed, and what it says of a resource that its caller has not. */
type Guarded = {
  readonly scope: ApiKeyScope
  readonly success: number
  readonly missing: ErrorCode
  path(of: Resources): string
  body?(of: Resources): unknown
}

const GUARDED: Readonly<Record<string, Guarded>> = {
  'POST /integration/licenses/:licenseKey/validate': {
    scope: 'licenses',
    success: 200,
    missing: 'LICENSE.NOT_FOUND',
    path: ({ licenseKey }) => `/integration/licenses/${licenseKey}/validate`,
  },
  'POST /integration/activations': {
    scope: 'activations',
    success: 200,
    missing: 'LICENSE.NOT_FOUND',
    path: () => '/integration/activations',
    body: ({ licenseKey }) => ({ license_key: licenseKey, instance_id: 'build-7' }),
  },
  'POST /integration/activations/:activationId/validate': {
    scope: 'activations',
    success: 200,
    missing: 'ACTIVATION.NOT_FOUND',
    path: ({ activationId }) => `/integration/activations/${activationId}/validate`,
  },
  'POST /integration/entitlements/check': {
    scope: 'entitlements',
    success: 200,
    missing: 'LICENSE.NOT_FOUND',
    path: () => '/integration/entitlements/check',
    body: ({ licenseKey }) => ({ license_key: licenseKey, features: ['exports'] }),
  },
  'POST /integration/usage/record': {
    scope: 'usage',
    success: 202,
    missing: 'LICENSE.NOT_FOUND',
    path: () => '/integration/usage/record',
    body: ({ licenseKey }) => ({ license_key: licenseKey, metric: 'exports', quantity: 1 }),
  },
}

/** Open to everyone, with what each answers. */
const PUBLIC: Readonly<Record<string, { readonly path: string; readonly type: RegExp }>> = {
  'GET /healthz': { path: '/healthz', type: /^application\/health\+json/ },
  'GET /readyz': { path: '/readyz', type: /^application\/health\+json/ },
  'GET /openapi.json': { path: '/openapi.json', type: /^application\/json/ },
  'GET /docs': { path: '/docs', type: /^text\/html/ },
  'GET /docs/:file': { path: '/docs/start.js', type: /^text\/javascript/ },
}

/** What each of these says to who sends nothing at all. */
const AUTH: Readonly<Record<string, string>> = {
  'POST /auth/login': '400 VALIDATION.MALFORMED_JSON',
  'POST /auth/invitations/accept': '400 VALIDATION.MALFORMED_JSON',
  'GET /auth/me': '401 AUTH.TOKEN.REQUIRED',
  'POST /auth/logout': '401 AUTH.TOKEN.REQUIRED',
}

/** What stands before routes and answers nothing by itself but refusals, in its order. */
const MIDDLEWARE: Readonly<Record<string, readonly string[]>> = {
  'ALL /*': ['requestId', 'refuseDuplicateHeaders', 'noticeProxies'],
  'ALL /docs/*': ['secureHeaders'],
  ...Object.fromEntries(
    BASES.flatMap((base) => [
      [`ALL ${base}/integration/*`, ['enterByApiKey', 'limitBody']],
      [`ALL ${base}/auth/*`, ['authenticate', 'limitBody']],
      [`ALL ${base}/tenant/*`, ['authenticate', 'enterByMembership', 'limitBody']],
    ]),
  ),
}

const guardedRoutes: readonly (Guarded & { readonly name: string; readonly base: string })[] =
  BASES.flatMap((base) =>
    Object.entries(GUARDED).map(([name, route]) => ({
      ...route,
      base,
      name: name.replace(' ', ` ${base}`),
    })),
  )

const LISTED: ReadonlySet<string> = new Set([
  ...onBothBases(Object.keys(GUARDED)),
  ...onBothBases(Object.keys(AUTH)),
  ...onBothBases(Object.keys(TENANT_ROUTES).map((name) => name.replace(' ', ' /tenant'))),
  ...Object.keys(PUBLIC),
  ...Object.keys(MIDDLEWARE),
])

const LIMIT_HEADERS = [
  'X-RateLimit-Limit',
  'X-RateLimit-Remaining',
  'X-RateLimit-Reset',
  'RateLimit',
  'RateLimit-Policy',
] as const

const test = house.extend('grounds', { scope: 'file' }, async ({ ctx, app }) => {
  const [home, stranger, suspended] = [
    await openShop(ctx),
    await openShop(ctx),
    await openShop(ctx),
  ]
  await suspendTenant(ctx, { slug: suspended.slug })
  const license = await home.issue({ entitlements: { exports: true, 'activations.max': 10 } })
  const activated = await app.request('/v1/integration/activations', {
    method: 'POST',
    headers: { 'X-API-Key': home.apiKey, 'Content-Type': 'application/json' },
    body: JSON.stringify({ license_key: license.key, instance_id: 'build-7' }),
  })
  const { data } = (await activated.json()) as { data: { activation: { id: string } } }

  const mint = (name: string, extra: object = {}) =>
    createApiKey(ctx, { slug: home.slug, name, ...extra })
  const revoked = await mint('revoked')
  await revokeApiKey(ctx, { slug: home.slug, key: revoked.key.id })
  const expired = await mint('expired')
  await ctx
    .platform('api_keys')
    .where({ id: expired.key.id })
    .update({ expires_at: new Date(0) })
  const scoped: Record<string, { readonly only: string; readonly without: string }> = {}
  for (const scope of API_KEY_SCOPES) {
    const others = API_KEY_SCOPES.filter((each) => each !== scope)
    scoped[scope] = {
      only: (await mint(`only ${scope}`, { scopes: [scope] })).secret,
      without: (await mint(`without ${scope}`, { scopes: others })).secret,
    }
  }
  const resources: Resources = { licenseKey: license.key, activationId: data.activation.id }
  return {
    home,
    stranger,
    suspended,
    resources,
    revoked: revoked.secret,
    expired: expired.secret,
    scoped,
    rows: () => rowCounts(home.scope.db),
  }
})

type Grounds = {
  readonly home: { readonly apiKey: string }
  readonly stranger: { readonly apiKey: string }
  readonly suspended: { readonly apiKey: string }
  readonly revoked: string
  readonly expired: string
  readonly scoped: Readonly<Record<string, { readonly only: string; readonly without: string }>>
}

const mistyped = (apiKey: string): string =>
  `${apiKey.slice(0, -1)}${apiKey.endsWith('a') ? 'b' : 'a'}`

/** What a caller may come with, as values of X-API-Key; none sends no such header. */
const REFUSED: Readonly<
  Record<
    string,
    {
      keys(grounds: Grounds, route: Guarded): readonly (string | undefined)[]
      says(route: Guarded): ErrorCode
    }
  >
> = {
  'no key': {
    keys: () => [undefined, ''],
    says: () => 'AUTH.INVALID_API_KEY',
  },
  'a malformed key': {
    keys: ({ home: { apiKey } }) => [
      'vx_',
      "' or 1=1 --",
      `Bearer ${apiKey}`,
      apiKey.toUpperCase(),
      apiKey.slice(3),
      `${apiKey}0`,
      `${apiKey}, ${apiKey}`,
    ],
    says: () => 'AUTH.INVALID_API_KEY',
  },
  'a key with a bad checksum': {
    keys: ({ home: { apiKey } }) => [mistyped(apiKey)],
    says: () => 'AUTH.INVALID_API_KEY',
  },
  'a well-formed key that nobody issued': {
    keys: () => [mintApiKey()],
    says: () => 'AUTH.INVALID_API_KEY',
  },
  'a revoked key': {
    keys: ({ revoked }) => [revoked],
    says: () => 'AUTH.API_KEY_REVOKED',
  },
  'an expired key': {
    keys: ({ expired }) => [expired],
    says: () => 'AUTH.INVALID_API_KEY',
  },
  'a key with all scopes but the right one': {
    keys: ({ scoped }, { scope }) => [scoped[scope]?.without],
    says: () => 'AUTH.TOKEN.INVALID_SCOPE',
  },
  'the key of a suspended tenant': {
    keys: ({ suspended }) => [suspended.apiKey],
    says: () => 'TENANT.STATUS.SUSPENDED',
  },
  "another tenant's key": {
    keys: ({ stranger }) => [stranger.apiKey],
    says: ({ missing }) => missing,
  },
}

const jsonOf = ({ body }: Guarded, resources: Resources): string | undefined =>
  body && JSON.stringify(body(resources))

/** What stands before the routes of a path, by name, in its order. */
function guardsOf(routes: App['routes']): Record<string, string[]> {
  const guards: Record<string, string[]> = {}
  for (const { method, path, handler } of routes) {
    const name = `${method} ${path}`
    if (method === 'ALL') guards[name] = [...(guards[name] ?? []), handler.name]
  }
  return guards
}

/** Routes that were there before all of their group's guards were: a router goes by the order. */
const unguarded = (routes: App['routes']): string[] =>
  BASES.flatMap((base) =>
    ['integration', 'auth', 'tenant'].flatMap((group) => {
      const last = routes.findLastIndex(({ path }) => path === `${base}/${group}/*`)
      return routes
        .filter(({ path }, at) => path.startsWith(`${base}/${group}/`) && at < last)
        .filter(({ path }) => path !== `${base}/${group}/*`)
        .map(({ method, path }) => `${method} ${path}`)
    }),
  )

describe('the routes', () => {
  test('all are listed: those of each group, under both bases, and those open to everyone', ({
    app,
  }) => {
    expect(strays(app.routes, LISTED)).toEqual({ unlisted: [], gone: [] })
    expect(
      ['/integration', '/auth', '/tenant'].map((group) => routesOf(app, group).length),
    ).toEqual([10, 8, 112])
  })

  test('stand behind the guards of their group, which come before them', ({ app }) => {
    expect(guardsOf(app.routes)).toEqual(MIDDLEWARE)
    expect(unguarded(app.routes)).toEqual([])
  })

  test('one that is not listed is found out, wherever it is planted', async ({ ctx }) => {
    await using planted = createApp(ctx, async () => ({ ready: true }))
    const router = planted as App & Hono<ServerEnv>
    router.get('/v1/integration/planted', (c) => c.text(''))
    router.post('/api/v1/integration/licenses/:licenseKey/revoke', (c) => c.text(''))
    router.all('/v1/integration/licenses/:licenseKey/validate', (c) => c.text(''))
    router.get('/metrics', (c) => c.text(''))
    router.get('/v1/tenant/licenses/:licenseId/secret', (c) => c.text(''))
    router.put('/api/v1/tenant/settings', (c) => c.text(''))
    router.post('/v1/auth/impersonate', (c) => c.text(''))
    router.get('/v1/admin/tenants', (c) => c.text(''))

    expect(strays(planted.routes, LISTED)).toEqual({
      unlisted: [
        'GET /v1/integration/planted',
        'POST /api/v1/integration/licenses/:licenseKey/revoke',
        'ALL /v1/integration/licenses/:licenseKey/validate',
        'GET /metrics',
        'GET /v1/tenant/licenses/:licenseId/secret',
        'PUT /api/v1/tenant/settings',
        'POST /v1/auth/impersonate',
        'GET /v1/admin/tenants',
      ],
      gone: [],
    })
    const without = planted.routes.filter(({ path }) => path !== '/v1/integration/usage/record')
    expect(strays(without, LISTED).gone).toEqual(['POST /v1/integration/usage/record'])
  })

  test('a guard that is missing, or that comes too late, is found out', ({ app }) => {
    const without = app.routes.filter(({ handler }) => handler.name !== 'enterByMembership')
    const late = app.routes.toSorted(
      (one, other) => Number(one.method === 'ALL') - Number(other.method === 'ALL'),
    )

    expect(guardsOf(without)).not.toEqual(MIDDLEWARE)
    expect(unguarded(late)).toHaveLength(10 + 8 + 112)
  })

  test('those open to everyone answer without a key, in the type that they promise', async ({
    app,
  }) => {
    for (const { path, type } of Object.values(PUBLIC)) {
      const response = await app.request(path)
      expect([path, response.status]).toEqual([path, 200])
      expect(response.headers.get('Content-Type')).toMatch(type)
      expect(response.headers.get('X-ValidonX-API-Version')).toBe('1')
      expect(response.headers.get('X-Request-ID')).toMatch(/^[0-9a-f-]{36}$/)
    }
  })

  test('what does not exist is behind the key, or the token, too', async ({
    ctx,
    app,
    grounds,
  }) => {
    const { token } = await makeMember(ctx, grounds.home.slug, 'viewer')
    const right: Readonly<Record<string, Record<string, string>>> = {
      integration: { 'X-API-Key': grounds.home.apiKey },
      auth: { Authorization: `Bearer ${token}` },
      tenant: { Authorization: `Bearer ${token}` },
    }
    const answers = []
    for (const base of BASES) {
      for (const [group, headers] of Object.entries(right)) {
        for (const path of [`${base}/${group}`, `${base}/${group}/nowhere`]) {
          const { said: without } = await send(app, 'POST', { path }, {})
          const { said } = await send(app, 'POST', { path }, headers)
          answers.push([group, without, said])
        }
      }
    }

    const expected = ['integration', 'auth', 'tenant'].flatMap((group) => {
      const code = group === 'integration' ? 'AUTH.INVALID_API_KEY' : 'AUTH.TOKEN.REQUIRED'
      return [1, 2].map(() => [group, `401 ${code}`, '404 ROUTE.NOT_FOUND'])
    })
    expect(answers).toEqual([...expected, ...expected])
  })
})

describe('every route of /auth', () => {
  test('but those that give a token is behind one', async ({ app }) => {
    const answers: Record<string, string> = {}
    for (const name of onBothBases(Object.keys(AUTH))) {
      const [method = '', path = ''] = name.split(' ')
      answers[name.replace(/ \/(api\/)?v1/, ' ')] = (await send(app, method, { path }, {})).said
    }

    expect(answers).toEqual(AUTH)
  })

  test('opens to a token of whatever ability, and to no other credential', async ({
    ctx,
    app,
    grounds,
  }) => {
    const { token, email } = await makePerson(ctx)
    const answers = []
    for (const name of onBothBases(['GET /auth/me', 'POST /auth/logout'])) {
      const [method = '', path = ''] = name.split(' ')
      for (const headers of [
        { 'X-API-Key': grounds.home.apiKey },
        { Authorization: `Bearer ${grounds.home.apiKey}` },
        { Authorization: `Bearer ${mistyped(token)}` },
        { Authorization: token },
        { Authorization: `Basic ${Buffer.from(token).toString('base64')}` },
      ] as Record<string, string>[]) {
        answers.push((await send(app, method, { path }, headers)).said)
      }
      for (const ability of ['tenant', 'admin', '*']) {
        const { plainText } = await createToken(ctx, { user: email, abilities: [ability] })
        const headers = { Authorization: `Bearer ${plainText}` }
        answers.push((await send(app, method, { path }, headers)).said)
      }
    }

    const one = ['401 AUTH.TOKEN.REQUIRED', ...Array(4).fill('401 AUTH.UNAUTHENTICATED')]
    expect(answers).toEqual(
      Array(4)
        .fill([...one, '200', '200', '200'])
        .flat(),
    )
  })
})

describe('every route behind a key', () => {
  test("opens to its tenant's key, and to one that has no other scope", async ({
    app,
    grounds,
  }) => {
    const answers = []
    for (const route of guardedRoutes) {
      for (const apiKey of [grounds.home.apiKey, grounds.scoped[route.scope]?.only ?? '']) {
        const body = jsonOf(route, grounds.resources)
        const response = await app.request(
          route.base + route.path(grounds.resources),
          {
            method: 'POST',
            headers: { 'X-API-Key': apiKey, 'Content-Type': 'application/json' },
            ...(body ? { body } : {}),
          },
          fromElsewhere(),
        )
        answers.push([route.name, response.status])
      }
    }

    expect(answers).toEqual(
      guardedRoutes.flatMap(({ name, success }) => [
        [name, success],
        [name, success],
      ]),
    )
  })

  test.for(Object.entries(REFUSED))('refuses %s', async ([, { keys, says }], { app, grounds }) => {
    const before = await grounds.rows()
    const [answers, expected]: string[][] = [[], []]
    const withoutLimits = new Set<string>()
    for (const route of guardedRoutes) {
      const body = jsonOf(route, grounds.resources)
      const code = says(route)
      for (const apiKey of keys(grounds, route)) {
        const response = await app.request(
          route.base + route.path(grounds.resources),
          {
            method: 'POST',
            headers: {
              'Content-Type': 'application/json',
              ...(apiKey === undefined ? {} : { 'X-API-Key': apiKey }),
            },
            ...(body ? { body } : {}),
          },
          fromElsewhere(),
        )
        const said = refusalOf(response.status, response.headers, await response.text())
        answers?.push(`${route.name}: ${said}`)
        expected?.push(`${route.name}: ${catalogue[code].status} ${code}`)
        if (LIMIT_HEADERS.some((name) => !response.headers.has(name)))
          withoutLimits.add(`${route.name}: ${said}`)
      }
    }

    expect(answers).toEqual(expected)
    expect([...withoutLimits]).toEqual([])
    expect(await grounds.rows()).toEqual(before)
  })

  test('refuses a key that is sent twice, also the same one, and reads neither', async ({
    app,
    grounds,
  }) => {
    await using http = await openRawHttp(app)
    const { home, stranger, resources } = grounds
    const twice = [
      ['X-API-Key', home.apiKey, 'X-API-Key', home.apiKey],
      ['X-API-Key', home.apiKey, 'x-api-key', stranger.apiKey],
      ['X-API-Key', stranger.apiKey, 'Accept', '*/*', 'X-API-KEY', home.apiKey],
      ['X-API-Key', '', 'X-API-Key', home.apiKey],
    ]
    const before = await grounds.rows()

    const answers = []
    for (const route of guardedRoutes) {
      const body = jsonOf(route, resources)
      for (const headers of twice) {
        const answer = await http.send({
          path: route.base + route.path(resources),
          headers: [...headers, ...(body ? ['Content-Type', 'application/json'] : [])],
          ...(body ? { body } : {}),
        })
        const said = refusalOf(answer.status, answer.headers, answer.text)
        answers.push(`${route.name}: ${said}`)
      }
    }

    expect(answers).toEqual(
      guardedRoutes.flatMap(({ name }) => twice.map(() => `${name}: 400 REQUEST.DUPLICATE_HEADER`)),
    )
    expect(await grounds.rows()).toEqual(before)
  })

  test.for([
    ['Idempotency-Key', 'a', 'b'],
    ['Content-Type', 'application/json', 'application/json'],
    ['X-Request-ID', 'one', 'two'],
    ['Authorization', 'Bearer 1|a', 'Bearer 2|b'],
    ['X-Tenant-ID', 'one', 'two'],
  ] as const)(
    'refuses %s twice, with the right key',
    async ([name, one, other], { app, grounds }) => {
      await using http = await openRawHttp(app)
      const answers = []
      for (const route of guardedRoutes) {
        const body = jsonOf(route, grounds.resources)
        const { status, text } = await http.send({
          path: route.base + route.path(grounds.resources),
          headers: [
            'X-API-Key',
            grounds.home.apiKey,
            ...(body && name !== 'Content-Type' ? ['Content-Type', 'application/json'] : []),
            ...[name, one, name.toLowerCase(), other],
          ],
          ...(body ? { body } : {}),
        })
        const { error } = JSON.parse(text) as { error: { code: string; message: string } }
        answers.push([status, error.code, error.message.includes(name.toLowerCase())])
      }

      expect(answers).toEqual(guardedRoutes.map(() => [400, 'REQUEST.DUPLICATE_HEADER', true]))
    },
  )
})

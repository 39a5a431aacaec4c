import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { z } from 'zod'
import { LastUsed } from '../../src/core/access/last-used.js'
import { changePassword } from '../../src/core/identity/change-password.js'
import { createToken } from '../../src/core/identity/create-token.js'
import { activateLicense } from '../../src/core/licensing/activate-license.js'
import { findLicenseRecord } from '../../src/core/licensing/license-store.js'
import { UsageWriter } from '../../src/core/usage/usage-writer.js'
import { integrationOperations } from '../../src/server/integration/operations.js'
import type { Operation } from '../../src/server/operation.js'
import { tenantOperations } from '../../src/server/tenant/operations.js'
import { hashPasswordsCheaply } from '../support/cheap-passwords.js'
import type { JsonSchema } from '../support/from-schema.js'
import { test as house } from '../support/house.js'
import { makeMember, makePerson } from '../support/member.js'
import { freshWord } from '../support/platform.js'
import { openRawHttp } from '../support/raw-http.js'
import { mounted, openSite, TENANT_ROUTES, widenPlan } from '../support/routes.js'
import { ROOT } from '../support/source-files.js'

hashPasswordsCheaply()

/** A request that succeeds, and how: made anew each time, since some can succeed only once. */
type Case = {
  readonly name: string
  readonly operation: Operation
  readonly success: number
  prepare(): Promise<{ readonly path: string; readonly body?: unknown }>
}

const test = house
  .extend('site', { scope: 'file' }, async ({ ctx }) => {
    await widenPlan(ctx)
    return openSite(ctx)
  })
  .extend('http', { scope: 'file' }, async ({ app }, { onCleanup }) => {
    const http = await openRawHttp(app)
    onCleanup(() => http[Symbol.asyncDispose]())
    return http
  })
  .extend('send', { scope: 'file' }, async ({ ctx, site, http }) => {
    const { token } = await makeMember(ctx, site.slug, 'owner')
    return async (method: string, path: string, body?: unknown) => {
      const answer = await http.send({
        method: method.toUpperCase(),
        path,
        headers: [
          ...(path.includes('/integration/')
            ? ['X-API-Key', site.apiKey]
            : ['Authorization', `Bearer ${token}`]),
          ...(body === undefined ? [] : ['Content-Type', 'application/json']),
        ],
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
      return answer.status < 300 ? answer.status : `${answer.status} ${answer.text}`
    }
  })
  .extend('cases', { scope: 'file' }, async ({ ctx, site }) => {
    const license = await site.issue({ entitlements: { exports: true, 'activations.max': 1_000 } })
    const key = license.key
    const bodies: Readonly<Record<string, () => unknown>> = {
      createActivation: () => ({ license_key: key, instance_id: freshWord() }),
      checkEntitlements: () => ({ license_key: key, features: ['exports'] }),
      recordUsage: () => ({ license_key: key, metric: 'exports', quantity: 1 }),
    }
    const success: Readonly<Record<string, number>> = { createActivation: 201, recordUsage: 202 }
    const input = { license_key: key, instance_id: freshWord() }
    const activation = (await activateLicense(site.scope, input)).result.activation.id
    const lastUsed = new LastUsed(ctx.platform, ctx.tenantDatabases, ctx.log)
    const integration = integrationOperations(lastUsed, new UsageWriter(ctx.tenantDatabases))
    await lastUsed[Symbol.asyncDispose]()
    const ofIntegration = integration.map(
      (operation): Case => ({
        name: `${operation.method} ${operation.path}`,
        operation,
        success: success[operation.id] ?? 200,
        prepare: async () => ({
          path: `/api/v1/integration${operation.path}`
            .replace('{licenseKey}', key)
            .replace('{activationId}', activation),
          body: bodies[operation.id]?.(),
        }),
      }),
    )
    const ofTenant = tenantOperations.map((operation): Case => {
      const name = `${operation.method.toUpperCase()} ${operation.path.replaceAll(/\{(\w+)\}/g, ':$1')}`
      const route = TENANT_ROUTES[name]
      if (!route) throw new Error(`no request for ${name}`)
      const each = mounted(name.replace(' ', ' /v1/tenant'), route)
      return { name, operation, success: each.success, prepare: () => each.prepare(site) }
    })
    return [...ofIntegration, ...ofTenant]
  })

type Send = (method: string, path: string, body?: unknown) => Promise<number | string>

/** Sends each case's request with its body changed, and returns what didn't succeed. */
async function failuresOf(
  cases: readonly Case[],
  send: Send,
  change: (operation: Operation, body: unknown) => readonly unknown[],
): Promise<{ readonly sent: number; readonly failures: readonly string[] }> {
  const failures: string[] = []
  let sent = 0
  for (const { name, operation, success, prepare } of cases)
    for (const changed of change(operation, (await prepare()).body)) {
      const { path } = await prepare()
      const result = await send(operation.method, path, changed)
      sent += 1
      if (result !== success) failures.push(`${name} with ${JSON.stringify(changed)}: ${result}`)
    }
  return { sent, failures }
}

const schemaOf = ({ body }: Operation): JsonSchema =>
  z.toJSONSchema(body?.schema ?? z.object(), {
    io: 'input',
    unrepresentable: 'any',
  }) as JsonSchema

const takesNull = ({ type, anyOf }: JsonSchema): boolean =>
  type === 'null' || anyOf?.some(takesNull) === true
const isObjectSchema = ({ type, anyOf }: JsonSchema): boolean =>
  type === 'object' || anyOf?.some(isObjectSchema) === true

/** Adds a value for each field that the schema has and the body doesn't, at every depth. */
function filled(
  schema: JsonSchema,
  body: unknown,
  valueFor: (field: JsonSchema, isRequired: boolean) => unknown,
): unknown {
  if (Array.isArray(body)) return body.map((each) => filled(schema.items ?? {}, each, valueFor))
  if (typeof body !== 'object' || body === null) return body
  const fields = Object.entries(body).map(([name, own]) => [
    name,
    filled(schema.properties?.[name] ?? {}, own, valueFor),
  ])
  const added = Object.entries(schema.properties ?? {})
    .filter(([name]) => !Object.hasOwn(body, name))
    .map(([name, field]) => [name, valueFor(field, schema.required?.includes(name) === true)])
    .filter(([, value]) => value !== undefined)
  return Object.fromEntries([...fields, ...added])
}

describe('on every route of both APIs', () => {
  test('an empty list, an empty object and null are the same as no body where none is meant', async ({
    cases,
    send,
  }) => {
    const bare = cases.filter(({ operation }) => !operation.body || operation.body.isOptional)
    const { sent, failures } = await failuresOf(bare, send, () => [undefined, [], null, {}])

    expect(failures).toEqual([])
    expect(sent).toBeGreaterThan(4 * 30)
  })

  test('null for a field that may be absent, and cannot be null, is the same as leaving it out', async ({
    cases,
    send,
  }) => {
    let fields = 0
    const { failures } = await failuresOf(cases, send, (operation, body) =>
      operation.body
        ? [
            filled(schemaOf(operation), body ?? {}, (field, isRequired) => {
              if (isRequired || takesNull(field)) return undefined
              fields += 1
              return null
            }),
          ]
        : [],
    )

    expect(failures).toEqual([])
    expect(fields).toBeGreaterThan(20)
  })

  test('an empty list for an object is an empty object', async ({ cases, send }) => {
    let fields = 0
    const { failures } = await failuresOf(cases, send, (operation, body) =>
      operation.body
        ? [
            filled(schemaOf(operation), body ?? {}, (field) => {
              if (!isObjectSchema(field)) return undefined
              fields += 1
              return []
            }),
          ]
        : [],
    )

    expect(failures).toEqual([])
    expect(fields).toBeGreaterThan(5)
  })
})

test('the same is true of /v1/auth', async ({ ctx, send, http }) => {
  const { email, token } = await makePerson(ctx)
  const password = 'correct horse battery staple'
  await changePassword(ctx, { user: email, password })
  const results = [
    await send('post', '/v1/auth/login', { email, password, device_name: null }),
    await send('get', '/v1/auth/me', []),
  ]
  const { plainText } = await createToken(ctx, { user: email })
  const { status } = await http.send({
    path: '/v1/auth/logout',
    headers: ['Authorization', `Bearer ${plainText}`, 'Content-Type', 'application/json'],
    body: '[]',
  })

  expect(token).not.toBe(plainText)
  expect([...results, status]).toEqual([200, 200, 200])
})

describe('what is repaired', () => {
  test('is stored and hashed as the same request', async ({ site, send, http }) => {
    const { key } = await site.issue()
    const body = { license_key: key, instance_id: 'repaired' }
    const answers = []
    for (const each of [
      { ...body, metadata: [] },
      { ...body, metadata: {}, fingerprint: null },
    ]) {
      const { status, text } = await http.send({
        path: '/v1/integration/activations',
        headers: [
          'X-API-Key',
          site.apiKey,
          'Content-Type',
          'application/json',
          'Idempotency-Key',
          'r',
        ],
        body: JSON.stringify(each),
      })
      answers.push([status, JSON.parse(text).data.activation.metadata])
    }

    expect(answers).toEqual([
      [201, {}],
      [201, {}],
    ])
    expect(
      await send('post', '/v1/integration/activations', { ...body, metadata: ['x'] }),
    ).toContain('metadata')
  })

  test('is no list where a list is meant, and no null that clears a field', async ({
    site,
    send,
  }) => {
    const { key } = await site.issue()
    const check = { license_key: key, features: [] }
    const product = await send('post', '/v1/tenant/products', { code: 'clears', name: 'P' })
    const license = await site.issue({ customer_name: 'Ada', metadata: { of: 1 } })
    await send('patch', `/v1/tenant/licenses/${license.id}`, {
      customer_name: null,
      metadata: null,
    })
    const stored = await findLicenseRecord(site.scope.db, license.id)

    expect(product).toBe(201)
    expect(await send('post', '/v1/integration/entitlements/check', check)).toContain(
      'must name at least one code',
    )
    expect([stored?.customerName, stored?.metadata]).toEqual([undefined, {}])
  })

  test('is not a required field: null there is refused', async ({ send }) => {
    expect(
      await send('post', '/v1/integration/activations', { license_key: null, instance_id: 'x' }),
    ).toContain('"license_key":["is required"]')
  })
})

test('a missing field is called missing, not mistyped', async ({ site, http }) => {
  const messages = []
  for (const [path, body] of [
    ['/v1/integration/activations', {}],
    ['/v1/integration/usage/record', []],
    ['/v1/integration/entitlements/check', {}],
    ['/v1/auth/login', {}],
  ] as const) {
    const { text } = await http.send({
      path,
      headers: ['X-API-Key', site.apiKey, 'Content-Type', 'application/json'],
      body: JSON.stringify(body),
    })
    messages.push(JSON.parse(text).error.details)
  }

  const required = ['is required']
  expect(messages).toEqual([
    { license_key: required },
    { license_key: required, metric: required },
    { license_key: required, features: required },
    { email: required, password: required },
  ])
})

type Recorded = {
  readonly client: string
  readonly name: string
  readonly path: string
  readonly success: number
  /** As sent: method, headers and body. */
  readonly method: string
  readonly headers: readonly string[]
  readonly body: string
}

test('the bytes that PHP clients send are accepted', async ({ site, http }) => {
  const recorded = JSON.parse(
    await readFile(join(ROOT, 'tests/vectors/php-requests.json'), 'utf8'),
  ) as readonly Recorded[]
  const { key } = await site.issue({ entitlements: { 'activations.max': 100 } })
  // the recorded activations find their seat taken
  await activateLicense(site.scope, { license_key: key, instance_id: 'php' })
  const results = []
  for (const { client, name, method, path, headers, body } of recorded) {
    const { status } = await http.send({
      method,
      path: path.replace('{key}', key),
      headers: [...headers, 'X-API-Key', site.apiKey],
      body: body.replace('{key}', key),
    })
    results.push([client, name, status])
  }

  expect(recorded.length).toBeGreaterThanOrEqual(8)
  expect(results).toEqual(recorded.map(({ client, name, success }) => [client, name, success]))
})

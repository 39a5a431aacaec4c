import fc from 'fast-check'
import { describe, expect } from 'vitest'
import { API_KEY_SCOPES, mintApiKey } from '../../src/core/access/api-key.js'
import { createApiKey } from '../../src/core/access/create-api-key.js'
import { revokeApiKey } from '../../src/core/access/revoke-api-key.js'
import { newId } from '../../src/core/ids.js'
import { mintLicenseKey } from '../../src/core/licensing/license.js'
import { revokeActivation } from '../../src/core/licensing/revoke-activation.js'
import { suspendTenant } from '../../src/core/tenants/change-status.js'
import { seed, volume } from '../support/campaign.js'
import { anyJson, anyText, type Known, nearlyValidBy, validBy } from '../support/from-schema.js'
import { test as house } from '../support/house.js'
import {
  type Answered,
  type Endpoint,
  endpointsOf,
  filled,
  isNoFolder,
  OpenApiContract,
  type OpenApiDocument,
  readingsOf,
} from '../support/openapi.js'
import { fromElsewhere, openShop } from '../support/shop.js'

const FOR_EACH_OPERATION = volume(250, 2_000)
/** What comes rarely may take more requests than those that are promised. */
const ROUNDS_AT_MOST = 8
const OPERATIONS = 5
/** The Integration API; tenant-generated-requests.test.ts has the rest of the document. */
const BASE = '/v1/integration/'
/** Far beyond what they take: about ten seconds together where nothing else runs. */
const PATIENCE = { timeout: 900_000 }

type Generated = {
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly text: string | undefined
  /** What the body is as JSON, where it is any. */
  readonly json: { readonly value: unknown } | undefined
}

type Ask = (endpoint: Endpoint, request: Generated) => Promise<Answered>

/** Which keys and ids there are, in every state that they can be in. */
type Standing = {
  readonly apiKeys: readonly { readonly weight: number; readonly values: readonly string[] }[]
  readonly ids: Readonly<Record<string, readonly string[]>>
  readonly known: Known
}

const test = house
  .extend('contract', { scope: 'file' }, async ({ app }) => {
    const document = (await (await app.request('/openapi.json')).json()) as OpenApiDocument
    const endpoints = endpointsOf(document).filter(({ path }) => path.startsWith(BASE))
    return { contract: new OpenApiContract(document), endpoints }
  })
  .extend('standing', { scope: 'file' }, async ({ ctx, app }): Promise<Standing> => {
    const [home, stranger, suspended] = [
      await openShop(ctx),
      await openShop(ctx),
      await openShop(ctx),
    ]
    await suspendTenant(ctx, { slug: suspended.slug })
    const entitlements = { exports: true, edition: 'gold', seats: 40, beta: false }
    const open = await home.issue({ entitlements: { ...entitlements, 'activations.max': 100_000 } })
    const full = await home.issue({ entitlements: { ...entitlements, 'activations.max': 2 } })
    const plain = await home.issue()
    const past = { starts_at: '2020-01-01', expires_at: '2020-06-01' }
    const expired = await home.issue(past)
    const graceful = await home.issue({ ...past, grace_days: 3_650, entitlements })
    const early = await home.issue({ starts_at: '2099-01-01', entitlements })
    const [frozen, revoked, foreign] = [
      await home.issue({ entitlements }),
      await home.issue({ entitlements }),
      await stranger.issue({ entitlements }),
    ]
    await home.scope.db('licenses').where({ id: frozen.id }).update({ status: 'suspended' })
    await home.scope.db('licenses').where({ id: revoked.id }).update({ status: 'revoked' })
    const activate = async (apiKey: string, license_key: string, instance_id: string) => {
      const response = await app.request('/v1/integration/activations', {
        method: 'POST',
        headers: { 'X-API-Key': apiKey, 'Content-Type': 'application/json' },
        body: JSON.stringify({ license_key, instance_id }),
      })
      return ((await response.json()) as { data: { activation: { id: string } } }).data.activation
        .id
    }
    const [active, ended, theirs] = [
      await activate(home.apiKey, open.key, 'one'),
      await activate(home.apiKey, open.key, 'ended'),
      await activate(stranger.apiKey, foreign.key, 'theirs'),
    ]
    await revokeActivation(home.scope, ended)

    const mint = (name: string, extra: object = {}) =>
      createApiKey(ctx, { slug: home.slug, name, ...extra })
    const dead = await mint('revoked')
    await revokeApiKey(ctx, { slug: home.slug, key: dead.key.id })
    const spent = await mint('spent', { rateLimit: { requests: 1, periodSeconds: 1_000_000 } })
    const narrow = await Promise.all(
      API_KEY_SCOPES.map((scope) => mint(`only ${scope}`, { scopes: [scope] })),
    )
    const valid = [open, full, plain, graceful].map(({ key }) => key)
    const invalid = [expired, early, frozen, revoked, foreign].map(({ key }) => key)
    const licenseKeys = [open.key, open.key, ...valid, ...invalid, mintLicenseKey()]
    const codes = ['exports', 'edition', 'seats', 'beta', 'activations.max', 'none.such']
    return {
      apiKeys: [
        { weight: 44, values: [home.apiKey] },
        { weight: 2, values: narrow.map(({ secret }) => secret) },
        { weight: 1, values: [stranger.apiKey] },
        { weight: 1, values: [suspended.apiKey] },
        { weight: 1, values: [spent.secret] },
        { weight: 1, values: ['', 'vx_', mintApiKey(), dead.secret] },
      ],
      ids: { licenseKey: licenseKeys, activationId: [active, ended, theirs, newId()] },
      known: {
        license_key: licenseKeys,
        features: codes,
        entitlement_codes: codes,
        metric: codes,
        instance_id: ['one', 'two', 'three'],
        fingerprint: ['one', 'four'],
        idempotency_key: ['k1', 'k2', 'k3', 'k4'],
      },
    }
  })
  .extend(
    'ask',
    { scope: 'file' },
    async ({ app }): Promise<Ask> =>
      async ({ method }, request) => {
        const { path, headers, text } = request
        const response = await app.request(
          path,
          {
            method,
            headers: {
              ...(text === undefined ? {} : { 'Content-Length': String(Buffer.byteLength(text)) }),
              ...headers,
            },
            ...(text === undefined ? {} : { body: text }),
          },
          fromElsewhere(),
        )
        return { status: response.status, headers: response.headers, body: await response.json() }
      },
  )

/** Requests for an endpoint, made of what the document says of it. */
function requestsFor({ path, operation }: Endpoint, standing: Standing): fc.Arbitrary<Generated> {
  const { parameters, requestBody } = operation
  const schema = requestBody?.content['application/json'].schema
  const json = (value: unknown) => ({ text: JSON.stringify(value), json: { value } })
  const bodies = schema
    ? fc.oneof(
        { weight: 12, arbitrary: validBy(schema, standing.known).map(json) },
        { weight: 5, arbitrary: nearlyValidBy(schema, standing.known).map(json) },
        { weight: 1, arbitrary: anyJson().map(json) },
        { weight: 1, arbitrary: anyText().map((text) => ({ text, json: undefined })) },
        { weight: 1, arbitrary: fc.constant({ text: undefined, json: undefined }) },
      )
    : fc.oneof(
        { weight: 12, arbitrary: fc.constant({ text: undefined, json: undefined }) },
        {
          weight: 1,
          arbitrary: fc.constantFrom('', '{}').map((text) => ({ text, json: undefined })),
        },
        { weight: 1, arbitrary: anyJson().map((value) => ({ ...json(value), json: undefined })) },
        { weight: 1, arbitrary: anyText().map((text) => ({ text, json: undefined })) },
      )
  const names = (where: 'path' | 'query' | 'header') =>
    parameters.filter((each) => each.in === where)
  const inPath = fc.record(
    Object.fromEntries(
      names('path').map(({ name }) => [
        name,
        fc.oneof(
          { weight: 9, arbitrary: fc.constantFrom(...(standing.ids[name] ?? [''])) },
          { weight: 1, arbitrary: anyText({ minLength: 1, maxLength: 60 }).filter(isNoFolder) },
        ),
      ]),
    ),
  )
  const inQuery = fc.oneof(
    {
      weight: 9,
      arbitrary: fc.record(
        Object.fromEntries(names('query').map((each) => [each.name, validBy(each.schema)])),
        { requiredKeys: [] },
      ),
    },
    {
      weight: 1,
      arbitrary: fc.record(
        Object.fromEntries(names('query').map((each) => [each.name, anyText({ maxLength: 20 })])),
        { requiredKeys: [] },
      ),
    },
  )
  const inHeaders = fc.record(
    {
      ...Object.fromEntries(
        names('header').map(({ name }) => [
          name,
          fc.oneof(
            { weight: 4, arbitrary: fc.constantFrom('k1', '"k1"', 'k2', 'k3', 'x'.repeat(255)) },
            { weight: 4, arbitrary: fc.uuid() },
            { weight: 1, arbitrary: fc.constantFrom('', '""', 'x'.repeat(256), 'a b', '\u00e9') },
          ),
        ]),
      ),
      'X-Request-ID': fc.constantFrom('deploy-42', 'a b', 'x'.repeat(129)),
    },
    { requiredKeys: [] },
  )
  return fc
    .record({
      base: fc.constantFrom('', '', '/api'),
      inPath,
      inQuery,
      inHeaders,
      apiKey: fc.oneof(
        ...standing.apiKeys.map(({ weight, values }) => ({
          weight,
          arbitrary: fc.constantFrom(...values),
        })),
        { weight: 1, arbitrary: fc.constant(undefined) },
      ),
      type: fc.oneof(
        {
          weight: 30,
          arbitrary: fc.constantFrom('application/json', 'application/json; charset=utf-8'),
        },
        { weight: 1, arbitrary: fc.constantFrom('text/plain', 'application/xml', '') },
      ),
      body: bodies,
    })
    .map(({ base, apiKey, type, body, ...given }) => {
      const query = new URLSearchParams(given.inQuery as Record<string, string>).toString()
      return {
        path: `${base}${filled(path, given.inPath)}${query === '' ? '' : `?${query}`}`,
        headers: {
          ...(apiKey === undefined ? {} : { 'X-API-Key': apiKey }),
          ...(body.text === undefined ? {} : { 'Content-Type': type }),
          ...(given.inHeaders as Record<string, string>),
        },
        ...body,
      }
    })
}

/** Every answer is a documented one; a body that the document does not take is not accepted. */
const answersAsDocumented = (
  endpoint: Endpoint,
  { contract, standing, ask }: { contract: OpenApiContract; standing: Standing; ask: Ask },
  see: (answered: Answered) => void = () => {},
) =>
  fc.asyncProperty(requestsFor(endpoint, standing), async (request) => {
    const answered = await ask(endpoint, request)
    see(answered)
    const faults = contract.faultsOf(endpoint, answered)
    // documented, as it can happen; but not by any request
    if (answered.status >= 500) faults.push(`${answered.status} is a fault of ours`)
    const readings = request.json ? readingsOf(request.json.value) : []
    const isAllowed = readings.some((reading) => contract.allows(endpoint, reading))
    if (answered.status < 300 && request.json && !isAllowed)
      faults.push(`${answered.status} to a body that the document does not take`)
    if (faults.length > 0)
      throw new Error(`${faults.join('; ')} in ${JSON.stringify(answered.body)}`)
  })

/** Changes what the app answers, as a fault in it would. */
const withFault =
  (ask: Ask, spoil: (answered: Answered) => Answered): Ask =>
  async (endpoint, request) =>
    spoil(await ask(endpoint, request))

const spoiled = (body: unknown, change: (fields: Record<string, unknown>) => void): unknown => {
  const copy = structuredClone(body) as Record<string, unknown>
  change((copy.data ?? copy.error) as Record<string, unknown>)
  return copy
}

const PLANTED: Readonly<Record<string, { spoil(answered: Answered): Answered; found: RegExp }>> = {
  'a status that is not in the document': {
    spoil: (answered) => (answered.status === 200 ? { ...answered, status: 206 } : answered),
    found: /206 is not a documented status/,
  },
  'a fault of ours': {
    spoil: (answered) => (answered.status === 422 ? { ...answered, status: 500 } : answered),
    found: /500 is a fault of ours/,
  },
  'a body of another type': {
    spoil: (answered) => {
      const headers = new Headers(answered.headers)
      headers.set('Content-Type', 'text/html')
      return { ...answered, headers }
    },
    found: /is of type text\/html/,
  },
  'a body with a field too many': {
    spoil: (answered) => ({
      ...answered,
      body: spoiled(answered.body, (fields) => Object.assign(fields, { database: 'vxt_acme' })),
    }),
    found: /must NOT have additional properties \{"additionalProperty":"database"\}/,
  },
  'a failure without its details': {
    spoil: (answered) => ({
      ...answered,
      body: spoiled(answered.body, (fields) => {
        delete fields.details
      }),
    }),
    found: /must have required property 'details'/,
  },
  'a code that is not in the document': {
    spoil: (answered) => ({
      ...answered,
      body: spoiled(answered.body, (fields) => {
        if ('code' in fields && 'message' in fields) fields.code = 'DATABASE.UNREACHABLE'
      }),
    }),
    found: /DATABASE.UNREACHABLE is not a documented code/,
  },
  'a time that is none': {
    spoil: (answered) => ({
      ...answered,
      body: JSON.parse(
        JSON.stringify(answered.body).replaceAll(/"(activated_at":")[^"]+/g, '"$1yesterday'),
      ) as unknown,
    }),
    found: /activated_at must match format "date-time"/,
  },
  'an answer without a header': {
    spoil: (answered) => {
      const headers = new Headers(answered.headers)
      headers.delete('X-RateLimit-Remaining')
      return { ...answered, headers }
    },
    found: /there is no X-RateLimit-Remaining/,
  },
  'a header that is no number': {
    spoil: (answered) => {
      const headers = new Headers(answered.headers)
      headers.set('X-RateLimit-Reset', 'soon')
      return { ...answered, headers }
    },
    found: /X-RateLimit-Reset is soon/,
  },
}

const endpointCalled = (endpoints: readonly Endpoint[], id: string): Endpoint => {
  const found = endpoints.find(({ operation }) => operation.operationId === id)
  if (!found) throw new Error(`${id} is not in the document`)
  return found
}

describe(`requests generated from the OpenAPI document (VALIDONX_TEST_SEED=${seed})`, () => {
  test.for(Object.entries(PLANTED))(
    'find %s',
    PATIENCE,
    async ([, { spoil, found }], { contract: { contract, endpoints }, standing, ask }) => {
      const endpoint = endpointCalled(endpoints, 'validateActivation')
      const property = answersAsDocumented(endpoint, {
        contract,
        standing,
        ask: withFault(ask, spoil),
      })

      const outcome = await fc.check(property, { seed, numRuns: 500, endOnFailure: true })

      expect(outcome.failed).toBe(true)
      expect(String(outcome.errorInstance)).toMatch(found)
    },
  )

  test(
    'find a body that is accepted although the document does not take it',
    PATIENCE,
    async ({ contract: { contract, endpoints }, standing, ask }) => {
      const endpoint = endpointCalled(endpoints, 'createActivation')
      const accepted = await ask(endpoint, {
        path: '/v1/integration/activations',
        headers: {
          'X-API-Key': standing.apiKeys[0]?.values[0] ?? '',
          'Content-Type': 'application/json',
        },
        text: JSON.stringify({ license_key: standing.ids.licenseKey?.[0], instance_id: 'one' }),
        json: undefined,
      })
      const property = answersAsDocumented(endpoint, {
        contract,
        standing,
        ask: async () => accepted,
      })

      const outcome = await fc.check(property, { seed, numRuns: 500, endOnFailure: true })

      expect([accepted.status, outcome.failed]).toEqual([200, true])
      expect(String(outcome.errorInstance)).toMatch(/200 to a body that the document does not take/)
    },
  )

  test(`cover all ${OPERATIONS} operations with at least ${volume(1_250, 5_000)} requests`, ({
    contract: { endpoints },
  }) => {
    expect(endpoints.map(({ operation }) => operation.operationId).sort()).toEqual([
      'checkEntitlements',
      'createActivation',
      'recordUsage',
      'validateActivation',
      'validateLicense',
    ])
    expect(endpoints.length * FOR_EACH_OPERATION).toBeGreaterThanOrEqual(volume(1_250, 5_000))
  })

  test.for([
    ['validateLicense', 200, 401, 403, 404, 415, 422, 429],
    ['createActivation', 200, 201, 400, 401, 403, 404, 415, 422, 429],
    ['validateActivation', 200, 401, 403, 404, 415, 422, 429],
    ['checkEntitlements', 200, 400, 401, 403, 404, 415, 422, 429],
    ['recordUsage', 202, 400, 401, 403, 404, 415, 422, 429],
  ] as const)(
    `get no other answer from %s than the documented ones, in ${FOR_EACH_OPERATION} requests`,
    PATIENCE,
    async ([id, ...statuses], { contract: { contract, endpoints }, standing, ask }) => {
      const seen = new Map<number, number>()
      let count = 0
      const property = answersAsDocumented(
        endpointCalled(endpoints, id),
        { contract, standing, ask },
        ({ status }) => {
          count += 1
          seen.set(status, (seen.get(status) ?? 0) + 1)
        },
      )

      const isMissing = (): boolean => statuses.some((status) => !seen.has(status))
      for (let round = 0; round === 0 || (isMissing() && round < ROUNDS_AT_MOST); round += 1)
        await fc.assert(property, { seed: seed + round, numRuns: FOR_EACH_OPERATION })

      expect(count).toBeGreaterThanOrEqual(FOR_EACH_OPERATION)
      // all that can be brought about was
      expect([...seen.keys()]).toEqual(expect.arrayContaining([...statuses]))
    },
  )
})

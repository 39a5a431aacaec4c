import fc from 'fast-check'
import { describe, expect } from 'vitest'
import { createToken } from '../../src/core/identity/create-token.js'
import { createUser } from '../../src/core/identity/create-user.js'
import { invite, revokeInvitation } from '../../src/core/identity/invite.js'
import { newId } from '../../src/core/ids.js'
import { activateLicense } from '../../src/core/licensing/activate-license.js'
import { mintLicenseKey } from '../../src/core/licensing/license.js'
import { changePlan } from '../../src/core/subscriptions/change-plan.js'
import { runBilling } from '../../src/core/subscriptions/run-billing.js'
import { suspendTenant } from '../../src/core/tenants/change-status.js'
import { insertDeliveries } from '../../src/core/webhooks/delivery-store.js'
import { tenantOperations } from '../../src/server/tenant/operations.js'
import { seed, volume } from '../support/campaign.js'
import { hashPasswordsCheaply } from '../support/cheap-passwords.js'
import { anyJson, anyText, type Known, nearlyValidBy, validBy } from '../support/from-schema.js'
import { test as house } from '../support/house.js'
import { type Ask, asking, makeMember, makePerson, objectOf } from '../support/member.js'
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

hashPasswordsCheaply()

const FOR_EACH_OPERATION = volume(40, 150)
/** Far beyond what they take: about a minute together where nothing else runs. */
const PATIENCE = { timeout: 900_000 }
const PASSWORD = 'correct horse battery staple'
const AUTH = ['logIn', 'acceptInvitation', 'whoAmI', 'logOut'] as const
const OPERATIONS: readonly string[] = [...AUTH, ...tenantOperations.map(({ id }) => id)]

/** A request; what its path names by a state is made when it is sent. */
type Generated = {
  readonly base: string
  /** By parameter: a value, or a thing to make in a state. */
  readonly path: Readonly<Record<string, string | { readonly state: string }>>
  readonly query: Readonly<Record<string, string>>
  readonly headers: Readonly<Record<string, string>>
  readonly tenant: string | undefined
  readonly token: string | undefined
  /** `current` is whatever a reader would be shown now. */
  readonly ifMatch: string | undefined
  readonly type: string
  readonly text: string | undefined
  /** What the body is as JSON, where it is any. */
  readonly json: { readonly value: unknown } | undefined
}

type Send = (endpoint: Endpoint, request: Generated) => Promise<Answered>
type Make = () => Promise<string>

/** Who asks, and what there is to ask for. */
type Grounds = {
  readonly tenantId: string
  readonly tokens: {
    readonly owner: string
    /** Belongs to two tenants. */
    readonly several: string
    /** Was not made for the Tenant API. */
    readonly unable: string
    readonly unknown: readonly string[]
    readonly forbidden: readonly string[]
  }
  readonly foreignTenants: readonly string[]
  /** By parameter and state: makes such a thing and answers its id. */
  readonly makers: Readonly<Record<string, Readonly<Record<string, Make>>>>
  readonly known: Known
  /** What an operation has a name of its own for. */
  readonly knownTo: Readonly<Record<string, Known>>
  /** By operation: bodies that are right in their form, of what there is and of what there is not. */
  readonly bodies: Readonly<Record<string, readonly unknown[]>>
  /** Puts right what a request took away from those that follow. */
  readonly mend: Readonly<Record<string, () => Promise<unknown>>>
  /** A token that nobody else needs. */
  throwAway: Make
}

let count = 0
const fresh = (start: string): string => {
  count += 1
  return `${start}${count}`
}

/** Times that a calendar has, and some that it has not. */
const INSTANTS: readonly string[] = [
  '2030-01-31',
  '2031-06-30T12:00:00Z',
  '2029-02-28T23:59:59.999999+14:00',
  '2025-01-01',
  '1970-01-01T00:00Z',
  '1000-01-01',
  '9999-12-31',
  '9999-12-31T23:59:59-14:00',
  '0000-01-01',
  '2027-02-31',
  '2027-02-31T00:00:00Z',
  '2027-01-31T24:00:00Z',
]

const URLS: readonly string[] = [
  'https://hooks.example.com/validonx?a=b%20c',
  'https://hooks.example.com:8443/',
  'https://[2001:db8::1]/x',
  'http://hooks.example.com/',
  'https://user:pass@hooks.example.com/',
  'https://hooks.example.com/#part',
  'https://hooks.example.com/a b',
  'https://hooks.example.com/a\nb',
  'https://hooks.example.com/\ud800',
  'https://h\u00f6ks.example.com/',
  'https:hooks',
  'https://',
]

const cursorOf = (...place: unknown[]): string =>
  Buffer.from(JSON.stringify(place)).toString('base64url')

const test = house
  .extend('contract', { scope: 'file' }, async ({ app }) => {
    const document = (await (await app.request('/openapi.json')).json()) as OpenApiDocument
    const endpoints = endpointsOf(document).filter(({ path }) =>
      /^\/v1\/(auth|tenant)\//.test(path),
    )
    return { contract: new OpenApiContract(document), endpoints }
  })
  .extend('grounds', { scope: 'file' }, async ({ ctx, app }): Promise<Grounds> => {
    const [home, stranger, suspended] = [
      await openShop(ctx),
      await openShop(ctx),
      await openShop(ctx),
    ]
    const { tenant } = home.scope
    const owner = await makeMember(ctx, home.slug, 'owner')
    const [viewer, developer, several] = [
      await makeMember(ctx, home.slug, 'viewer'),
      await makeMember(ctx, home.slug, 'developer'),
      await makeMember(ctx, home.slug, 'admin'),
    ]
    await ctx.platform('tenant_users').insert({
      id: newId(),
      tenant_id: stranger.scope.tenant.id,
      user_id: several.id,
      role: 'viewer',
      created_at: ctx.now(),
      updated_at: ctx.now(),
    })
    const shut = await makeMember(ctx, suspended.slug, 'owner')
    await suspendTenant(ctx, { slug: suspended.slug })
    const [unable, outsider, leaver] = [
      await makePerson(ctx, ['admin']),
      await makePerson(ctx),
      await makePerson(ctx),
    ]
    await runBilling(ctx, { as_of: '2027-02-01' }, () => {})

    const ask = asking(app, owner.token)
    for (const code of ['editor', 'viewer', 'archived'])
      await ask('POST', '/products', { code, name: code })
    const archived = (await ask('GET', '/products?code=archived')).data.items?.[0]?.id
    await ask('PATCH', `/products/${archived}`, { status: 'archived' })
    const foreign = await stranger.issue()
    const makers = makersOf(ctx, home, { ask, ownerId: owner.id, foreignLicense: foreign.id })

    const users = await Promise.all(
      Array.from({ length: 4 }, async () => {
        const email = `${fresh('login')}@example.com`
        await createUser(ctx, { email, name: 'Ada', password: PASSWORD })
        return email
      }),
    )
    const invited = async (email: string, askedBy?: 'owner') => {
      const of = { id: tenant.id, askedBy }
      return (await invite(ctx, of, { email, role: 'viewer' })).result
    }
    const tokens: string[] = []
    for (let index = 0; index < 60; index += 1)
      tokens.push((await invited(`${fresh('new')}@example.com`)).token)
    const ofUsers: string[] = []
    for (const email of users.slice(1)) ofUsers.push((await invited(email)).token)
    const ended = await invited(`${fresh('ended')}@example.com`)
    await revokeInvitation(ctx, { id: tenant.id }, ended.invitation.id)
    // who is invited, and is a member before the answer comes
    const overtaken = (await invited(users[0] ?? '')).token
    await ctx.platform('tenant_users').insert({
      id: newId(),
      tenant_id: tenant.id,
      user_id: (await ctx.platform('users').where({ email: users[0] }).first('id')).id,
      role: 'viewer',
      created_at: ctx.now(),
      updated_at: ctx.now(),
    })

    const licenses = [
      await makers.licenseId?.fresh?.(),
      await makers.licenseId?.byKey?.(),
      foreign.id,
      'tenant',
    ]
    const next = async (path: string) =>
      ((await ask('GET', `${path}?limit=1`)).data?.next_cursor ?? '') as string
    const restoreOwner = async () => {
      await ctx.platform('tenant_users').where({ tenant_id: tenant.id, role: 'owner' }).delete()
      await ctx.platform('tenant_users').where({ user_id: owner.id }).delete()
      await ctx.platform('tenant_users').insert({
        id: newId(),
        tenant_id: tenant.id,
        user_id: owner.id,
        role: 'owner',
        created_at: ctx.now(),
        updated_at: ctx.now(),
      })
    }
    return {
      tenantId: tenant.id,
      foreignTenants: [stranger.scope.tenant.id, suspended.scope.tenant.id, newId()],
      tokens: {
        owner: owner.token,
        several: several.token,
        unable: unable.token,
        unknown: ['', `${owner.token}x`, '1|', `999999|${'a'.repeat(48)}`, 'vx_nothing'],
        forbidden: [viewer.token, developer.token, shut.token, unable.token, outsider.token],
      },
      makers,
      mend: {
        changeMemberRole: restoreOwner,
        removeMember: restoreOwner,
        updateProduct: () =>
          home.scope.db('products').whereNot({ code: 'archived' }).update({ status: 'active' }),
        changePlan: () => changePlan(ctx, home.scope, { plan: 'enterprise' }, { isOperator: true }),
      },
      throwAway: async () => (await createToken(ctx, { user: leaver.email })).plainText,
      bodies: {
        logIn: [
          { email: users[0], password: PASSWORD },
          { email: users[0], password: 'another password' },
        ],
        acceptInvitation: [
          { token: tokens.pop(), name: 'New', password: PASSWORD },
          { token: ofUsers[0], name: 'Ada', password: 'another password' },
          { token: overtaken, name: 'Ada', password: PASSWORD },
        ],
        createProduct: [{ code: 'editor', name: 'Editor' }],
        issueLicense: [{ product: 'archived' }, { product: 'nowhere' }],
        issueLicenses: [{ licenses: [{ product: 'archived' }] }],
        moveLicense: [{ product: 'archived' }, { product: 'nowhere' }],
        renewLicense: [{ expires_at: '2044-01-01' }],
        createInvitation: [{ email: viewer.email, role: 'viewer' }],
        changePlan: [{ plan: 'starter' }, { plan: 'starter', accept_exceeded: true }],
      },
      knownTo: {
        acceptInvitation: {
          token: [
            ...tokens,
            ...Array.from({ length: 20 }, () => [...ofUsers, overtaken]).flat(),
            ended.token,
            `vxi_${'0'.repeat(40)}`,
          ],
          password: [PASSWORD, PASSWORD, PASSWORD, 'another password', 'short'],
        },
        createInvitation: {
          email: [
            viewer.email,
            ended.invitation.email,
            ...Array.from({ length: 40 }, (_, index) => `guest-${index}@Example.com`),
          ],
        },
      },
      known: {
        product: ['editor', 'editor', 'viewer', 'archived', 'archived', 'nowhere'],
        code: ['editor', 'editor', ...Array.from({ length: 40 }, (_, index) => `app-${index}`)],
        starts_at: INSTANTS,
        expires_at: INSTANTS,
        expires_before: INSTANTS,
        expires_after: INSTANTS,
        from: INSTANTS,
        to: INSTANTS,
        since: INSTANTS,
        until: INSTANTS,
        customer_email: ['c@example.com', 'C@Example.COM', "o'neil+x@a-b.example.org", 'no'],
        support_email: ['help@example.com', 'no', null],
        email: [...users, ` ${users[0]?.toUpperCase()} `],
        customer_name: ['Carol', '  padded  ', 'O\u2019Neil \u{1f512}', 'a\u0000b', null],
        description: ['of all things', '', 'two\nlines', '\ud800', null],
        entitlements: [{ exports: true, seats: 5 }, { 'a.b-c': 'gold', none: 0.5 }, { old: null }],
        metadata: [{}, { of: { a: [1, null, '\u{1f512}'] } }, { of: null }, { '': [{}] }],
        password: [PASSWORD],
        name: ['Acme Editor', '  padded  ', '\u0130stanbul \u{1f512}', 'a\u0000b', ''],
        url: URLS,
        logo_url: URLS,
        support_url: URLS,
        quantity: [1, 2, 3],
        licenses: [
          [{ product: 'editor' }],
          [
            { product: 'editor', quantity: 3 },
            { product: 'viewer', type: 'trial' },
          ],
          [{ product: 'editor', metadata: { of: ['x'.repeat(2_000)] }, quantity: 20 }],
          [{ product: 'archived' }],
          [{ product: 'nowhere' }],
          [
            { product: 'editor', quantity: 600 },
            { product: 'viewer', quantity: 401 },
          ],
        ],
        days: [1, 30, 365, 36_500],
        plan: ['starter', 'pro', 'enterprise', 'gold', 'constructor'],
        license: licenses,
        instance_id: ['one', 'two'],
        limit: ['1', '2', '50', '100', '001', '0', '101'],
        period: ['2026-11', '2027-01', '0000-01', '9999-12'],
        action: ['api_key.*', 'api_key.created', '*', '._*'],
        object_type: ['api_key', 'invitation'],
        actor_id: [owner.id],
        cursor: [
          await next('/products'),
          await next('/licenses'),
          await next('/members'),
          await next('/audit'),
          await next('/usage/counters'),
          cursorOf('-id', 'x'),
          cursorOf('-id', '\u00e9'),
          cursorOf('-id', null),
          cursorOf('-created_at', newId(), 'never'),
          cursorOf('user_id', '1e400'),
          cursorOf('id', '\u00e9'),
        ],
      },
    }
  })
  .extend('send', { scope: 'file' }, async ({ app, grounds }): Promise<Send> => {
    const ask = asking(app, grounds.tokens.owner)
    return async ({ path, method, operation }, request) => {
      const values: Record<string, string> = {}
      for (const [name, value] of Object.entries(request.path)) {
        values[name] =
          typeof value === 'string'
            ? value
            : ((await grounds.makers[name]?.[value.state]?.()) ?? 'none')
      }
      const place = filled(path, values)
      const isCurrent = request.ifMatch === 'current'
      const current = isCurrent
        ? (await ask('GET', place.slice('/v1/tenant'.length))).headers.get('ETag')
        : undefined
      const ifMatch = isCurrent ? (current ?? '*') : request.ifMatch
      const token = request.token === 'throw-away' ? await grounds.throwAway() : request.token
      const query = new URLSearchParams(request.query).toString()
      const { text } = request
      const response = await app.request(
        `${request.base}${place}${query === '' ? '' : `?${query}`}`,
        {
          method: method.toUpperCase(),
          headers: {
            ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }),
            ...(request.tenant === undefined ? {} : { 'X-Tenant-ID': request.tenant }),
            ...(ifMatch === undefined ? {} : { 'If-Match': ifMatch }),
            ...(text === undefined
              ? {}
              : {
                  'Content-Type': request.type,
                  'Content-Length': String(Buffer.byteLength(text)),
                }),
            ...request.headers,
          },
          ...(text === undefined ? {} : { body: text }),
        },
        fromElsewhere(),
      )
      const isJson = response.headers.get('Content-Type')?.startsWith('application/json')
      const body: unknown = isJson ? await response.json() : await response.text()
      if (response.status < 300) await grounds.mend[operation.operationId]?.()
      return { status: response.status, headers: response.headers, body }
    }
  })

/** By parameter: what can be made for it, each in a state that an operation may find it in. */
function makersOf(
  ctx: Parameters<typeof openShop>[0],
  home: Awaited<ReturnType<typeof openShop>>,
  of: { readonly ask: Ask; readonly ownerId: string; readonly foreignLicense: string },
): Grounds['makers'] {
  const { ask } = of
  const made = async (path: string, body: unknown, name: string): Promise<string> =>
    objectOf(await ask('POST', path, body), name).id
  const after =
    (make: Make, move: (id: string) => Promise<unknown>): Make =>
    async () => {
      const id = await make()
      await move(id)
      return id
    }
  const product: Make = () => made('/products', { code: fresh('made-'), name: 'P' }, 'product')
  const license: Make = async () =>
    (await home.issue({ product: 'editor', expires_at: '2030-01-31' })).id
  const activation: Make = async () => {
    const { key } = await home.issue({ product: 'editor' })
    const { result } = await activateLicense(home.scope, {
      license_key: key,
      instance_id: fresh('i'),
    })
    return result.activation.id
  }
  const apiKey: Make = () => made('/api-keys', { name: fresh('key') }, 'api_key')
  // it is written to by a test of it, and must be nobody's
  const hook = { url: 'https://localhost/hook', events: ['license.created'] }
  const webhook: Make = () => made('/webhooks', hook, 'webhook')
  const person = async (role: 'developer' | 'owner') => (await makeMember(ctx, home.slug, role)).id
  const email = () => `${fresh('asked')}@example.com`
  const invitation: Make = () =>
    made('/invitations', { email: email(), role: 'viewer' }, 'invitation')
  const invoice = async (field: 'id' | 'number') =>
    String((await ask('GET', '/invoices')).data.items?.[0]?.[field])
  const post = (place: string) => (id: string) => ask('POST', place.replace('#', id))
  return {
    productId: {
      fresh: product,
      inUse: async () => String((await ask('GET', '/products?code=editor')).data.items?.[0]?.id),
    },
    licenseId: {
      fresh: license,
      byKey: async () => (await home.issue({ product: 'editor' })).key,
      endless: async () => (await home.issue({ product: 'editor', expires_at: null })).id,
      suspended: after(license, post('/licenses/#/suspend')),
      revoked: after(license, post('/licenses/#/revoke')),
    },
    activationId: { fresh: activation, ended: after(activation, post('/activations/#/revoke')) },
    apiKeyId: { fresh: apiKey, ended: after(apiKey, post('/api-keys/#/revoke')) },
    webhookId: {
      fresh: webhook,
      disabled: after(webhook, post('/webhooks/#/disable')),
      told: after(webhook, (endpointId) => {
        const { id: tenantId } = home.scope.tenant
        const delivery = { endpointId, tenantId, eventType: 'license.created', payload: '{}' }
        const both = [newId(), newId()].map((eventId) => ({ ...delivery, eventId }))
        return insertDeliveries(ctx.platform, both, ctx.now())
      }),
    },
    invoiceId: { id: () => invoice('id'), number: () => invoice('number') },
    userId: {
      fresh: () => person('developer'),
      owner: () => person('owner'),
      oneself: async () => of.ownerId,
    },
    invitationId: {
      fresh: invitation,
      ended: after(invitation, (id) => ask('DELETE', `/invitations/${id}`)),
    },
  }
}

type Part = Partial<Generated>
const NO_BODY: Part = { text: undefined, json: undefined }
const json = (value: unknown): Part => ({ text: JSON.stringify(value), json: { value } })
const noise = (text: string): Part => ({ text, json: undefined })

const bodyOf = ({ operation }: Endpoint) => operation.requestBody?.content['application/json']
const schemaOf = (endpoint: Endpoint) => bodyOf(endpoint)?.schema

/** The body that the document shows, where it shows one. */
const exampleFor = (endpoint: Endpoint): Part =>
  bodyOf(endpoint) ? json(bodyOf(endpoint)?.example) : {}

const named = ({ operation }: Endpoint, where: 'path' | 'query' | 'header') =>
  operation.parameters.filter((each) => each.in === where)

const takes = (endpoint: Endpoint, header: string): boolean =>
  named(endpoint, 'header').some(({ name }) => name === header)

const knownFor = (
  { operation }: Endpoint,
  { known, knownTo }: Pick<Grounds, 'known' | 'knownTo'>,
): Known => ({ ...known, ...knownTo[operation.operationId] })

/** Requests that the document allows. */
function allowedBy(endpoint: Endpoint, { tokens, tenantId, makers, ...grounds }: Grounds) {
  const schema = schemaOf(endpoint)
  const known = knownFor(endpoint, grounds)
  const isLogOut = endpoint.operation.operationId === 'logOut'
  const none = fc.constant(NO_BODY)
  const bodies = schema
    ? fc.oneof(
        { weight: 9, arbitrary: validBy(schema, known).map(json) },
        {
          weight: 4,
          arbitrary: fc.constantFrom(
            exampleFor(endpoint),
            ...(grounds.bodies[endpoint.operation.operationId] ?? []).map(json),
          ),
        },
        ...(endpoint.operation.requestBody?.required === false
          ? [{ weight: 2, arbitrary: none }]
          : []),
      )
    : endpoint.method === 'get'
      ? none
      : fc.oneof({ weight: 9, arbitrary: none }, fc.constantFrom(noise(''), noise('{}')))
  const keys = fc.oneof(fc.constantFrom('k1', '"k2"', 'x'.repeat(255)), fc.uuid())
  return fc.record({
    base: fc.constantFrom('', '', '/api'),
    path: fc.record(
      Object.fromEntries(
        named(endpoint, 'path').map(({ name }) => [
          name,
          fc.constantFrom(...Object.keys(makers[name] ?? {})).map((state) => ({ state })),
        ]),
      ),
    ),
    query: fc.record(
      Object.fromEntries(
        named(endpoint, 'query').map(({ name, schema: of }) => [
          name,
          validBy(of, known, name).map(String),
        ]),
      ),
      { requiredKeys: [] },
    ),
    headers: fc.record(
      {
        ...(takes(endpoint, 'Idempotency-Key') ? { 'Idempotency-Key': keys } : {}),
        ...(takes(endpoint, 'If-None-Match')
          ? { 'If-None-Match': fc.constantFrom('"1"', '*', 'W/"1", "2"', 'x') }
          : {}),
        'X-Request-ID': fc.constantFrom('deploy-42', 'a b', 'x'.repeat(129)),
      },
      { requiredKeys: [] },
    ),
    tenant: takes(endpoint, 'X-Tenant-ID')
      ? fc.constantFrom(undefined, undefined, tenantId)
      : fc.constant(undefined),
    token: isLogOut
      ? fc.constant('throw-away')
      : fc.oneof({ weight: 9, arbitrary: fc.constant(tokens.owner) }, fc.constant(tokens.several)),
    ifMatch: takes(endpoint, 'If-Match')
      ? fc.constantFrom(undefined, undefined, '*', 'current')
      : fc.constant(undefined),
    type: fc.constantFrom('application/json', 'application/json; charset=utf-8'),
    body: bodies,
  })
}

/** What a client with one fault would send in the place of that. */
function faultsFor(endpoint: Endpoint, { tokens, foreignTenants, ...grounds }: Grounds) {
  const schema = schemaOf(endpoint)
  const known = knownFor(endpoint, grounds)
  const [parameter] = named(endpoint, 'path')
  const some = <T>(condition: unknown, ...arbitraries: fc.Arbitrary<T>[]) =>
    condition ? arbitraries : []
  const garbage = fc.oneof(
    anyText({ minLength: 1, maxLength: 60 }).filter(isNoFolder),
    fc.constantFrom(newId(), mintLicenseKey(), '0', '18446744073709551616', '%', 'constructor'),
  )
  return fc.oneof(
    fc.constantFrom<Part[]>({ token: undefined }, ...tokens.unknown.map((token) => ({ token }))),
    ...some(
      takes(endpoint, 'X-Tenant-ID'),
      fc.constantFrom<Part[]>(...tokens.forbidden.map((token) => ({ token }))),
      fc.constantFrom<Part[]>(...foreignTenants.map((tenant) => ({ tenant }))),
      fc.constantFrom<Part[]>({ tenant: '' }, { tenant: 'x' }, { token: tokens.several }),
    ),
    ...some(
      parameter,
      garbage.map((value): Part => ({ path: { [parameter?.name ?? '']: value } })),
    ),
    fc
      .dictionary(
        fc.oneof(
          fc.constantFrom(...['x', ...named(endpoint, 'query').map(({ name }) => name)]),
          anyText({ minLength: 1, maxLength: 20 }),
        ),
        anyText({ maxLength: 20 }),
        { minKeys: 1, maxKeys: 3, noNullPrototype: true },
      )
      .map((query): Part => ({ query })),
    ...some(
      takes(endpoint, 'If-Match'),
      fc
        .constantFrom('"0"', 'W/"1"', 'x')
        .map((ifMatch): Part => ({ ifMatch, ...exampleFor(endpoint) })),
    ),
    ...some(
      takes(endpoint, 'Idempotency-Key'),
      fc
        .constantFrom('', '""', 'x'.repeat(256), 'a b', '\u00e9')
        .map((key): Part => ({ headers: { 'Idempotency-Key': key } })),
    ),
    ...(schema
      ? [nearlyValidBy(schema, known).map(json), nearlyValidBy(schema, known).map(json)]
      : []),
    ...some(
      // what makes requests for us lets no GET have a body
      endpoint.method !== 'get',
      anyJson().map((value) => (schema ? json(value) : noise(JSON.stringify(value)))),
      anyText({ minLength: 1 }).map(noise),
      fc
        .constantFrom('text/plain', 'application/xml', '')
        .map((type): Part => ({ type, ...noise('{}') })),
    ),
  )
}

const requestsFor = (endpoint: Endpoint, grounds: Grounds): fc.Arbitrary<Generated> =>
  fc
    .tuple(
      allowedBy(endpoint, grounds),
      fc.oneof(
        { weight: 1, arbitrary: fc.constant<Part>({}) },
        { weight: 2, arbitrary: faultsFor(endpoint, grounds) },
      ),
    )
    .map(
      ([{ body, ...request }, fault]) =>
        ({ ...request, ...NO_BODY, ...body, ...fault }) as Generated,
    )

/** One of each kind, so that what can be brought about is, whatever the seed. */
function examplesFor(endpoint: Endpoint, { tokens, foreignTenants, makers, bodies }: Grounds) {
  const [parameter] = named(endpoint, 'path')
  const states = Object.keys(makers[parameter?.name ?? ''] ?? {})
  const isLogOut = endpoint.operation.operationId === 'logOut'
  const plain: Generated = {
    base: '',
    path: parameter ? { [parameter.name]: { state: states[0] ?? '' } } : {},
    query: {},
    headers: {},
    tenant: undefined,
    token: isLogOut ? 'throw-away' : tokens.owner,
    ifMatch: undefined,
    type: 'application/json',
    ...NO_BODY,
    ...exampleFor(endpoint),
  } as Generated
  const isWrite = endpoint.method !== 'get'
  const parts: Part[] = [
    {},
    ...states.map((state) => ({ path: { [parameter?.name ?? '']: { state } } })),
    ...(bodies[endpoint.operation.operationId] ?? []).map(json),
    { token: undefined },
    { query: { nonsense: '1' } },
    ...(takes(endpoint, 'X-Tenant-ID')
      ? [{ token: tokens.unable }, ...foreignTenants.map((tenant) => ({ tenant }))]
      : []),
    ...(parameter ? [{ path: { [parameter.name]: newId() } }] : []),
    ...(takes(endpoint, 'If-Match') ? [{ ifMatch: '"0"' }, { ifMatch: 'current' }] : []),
    ...(isWrite ? [noise('{'), { ...noise('{}'), type: 'text/plain' }] : []),
  ]
  return parts.map((part): [Generated] => [{ ...plain, ...part }])
}

type Tools = { readonly contract: OpenApiContract; readonly grounds: Grounds; readonly send: Send }

const faultsIn = (
  endpoint: Endpoint,
  contract: OpenApiContract,
  answered: Answered,
  body?: { readonly value: unknown },
): string[] => [
  ...contract.faultsOf(endpoint, answered),
  // documented, as it can happen; but not by any request
  ...(answered.status >= 500 ? [`${answered.status} is a fault of ours`] : []),
  ...(answered.status < 300 &&
  body &&
  !readingsOf(body.value).some((reading) => contract.allows(endpoint, reading))
    ? [`${answered.status} to a body that the document does not take`]
    : []),
]

/** Every answer is a documented one; a body that the document does not take is not accepted. */
const answersAsDocumented = (
  endpoint: Endpoint,
  { contract, grounds, send }: Tools,
  see: (answered: Answered) => void = () => {},
) =>
  fc.asyncProperty(requestsFor(endpoint, grounds), async (request) => {
    const answered = await send(endpoint, request)
    see(answered)
    const faults = faultsIn(endpoint, contract, answered, request.json)
    if (faults.length > 0)
      throw new Error(`${faults.join('; ')} in ${JSON.stringify(answered.body)}`)
  })

/** What takes a slow caller, a server in trouble, or many at once; or what has a test of its own. */
const OUT_OF_REACH: readonly string[] = ['304', '408', '413', '429', '431', '500', '503']
const SELDOM =
  /^`(VALIDATION\.IDEMPOTENCY_IN_PROGRESS|API_KEY\.AMBIGUOUS|WEBHOOK\.SECRETS_EXCEEDED)`$/

const withinReach = ({ operation, method }: Endpoint): number[] =>
  Object.entries(operation.responses)
    .filter(
      ([status, { description }]) =>
        !OUT_OF_REACH.includes(status) &&
        // no body, no fault in one
        !(method === 'get' && (status === '400' || status === '415')) &&
        !(status === '409' && description.split(', ').every((code) => SELDOM.test(code))),
    )
    .map(([status]) => Number(status))

const spoiled = (body: unknown, change: (fields: Record<string, unknown>) => void): unknown => {
  if (typeof body !== 'object' || body === null) return body
  const copy = structuredClone(body) as Record<string, unknown>
  change((copy.data ?? copy.error) as Record<string, unknown>)
  return copy
}

const without = (answered: Answered, name: string): Answered => {
  const headers = new Headers(answered.headers)
  headers.delete(name)
  return { ...answered, headers }
}

const PLANTED: Readonly<Record<string, { spoil(answered: Answered): Answered; found: RegExp }>> = {
  'a status that is not in the document': {
    spoil: (answered) => (answered.status === 200 ? { ...answered, status: 206 } : answered),
    found: /206 is not a documented status/,
  },
  'a fault of ours': {
    spoil: (answered) => (answered.status === 404 ? { ...answered, status: 500 } : answered),
    found: /500 is a fault of ours/,
  },
  'a body with a field too many': {
    spoil: (answered) => ({
      ...answered,
      body: spoiled(answered.body, (fields) => Object.assign(fields, { revision: 1 })),
    }),
    found: /must NOT have additional properties \{"additionalProperty":"revision"\}/,
  },
  'a code that is not in the document': {
    spoil: (answered) => ({
      ...answered,
      body: spoiled(answered.body, (fields) => {
        if ('code' in fields && 'message' in fields) fields.code = 'WEBHOOK.NOT_FOUND'
      }),
    }),
    found: /WEBHOOK.NOT_FOUND is not a documented code/,
  },
  'a time that is none': {
    spoil: (answered) => ({
      ...answered,
      body: JSON.parse(
        JSON.stringify(answered.body).replaceAll(/("updated_at":")[^"]+/g, '$1yesterday'),
      ) as unknown,
    }),
    found: /updated_at must match/,
  },
  'an answer without its version': {
    spoil: (answered) => without(answered, 'ETag'),
    found: /there is no ETag/,
  },
}

const endpointCalled = (endpoints: readonly Endpoint[], id: string): Endpoint => {
  const found = endpoints.find(({ operation }) => operation.operationId === id)
  if (!found) throw new Error(`${id} is not in the document`)
  return found
}

describe(`requests to the Tenant API, generated from the OpenAPI document (VALIDONX_TEST_SEED=${seed})`, () => {
  test.for(Object.entries(PLANTED))(
    'find %s',
    PATIENCE,
    async ([, { spoil, found }], { contract: { contract, endpoints }, grounds, send }) => {
      const property = answersAsDocumented(endpointCalled(endpoints, 'updateProduct'), {
        contract,
        grounds,
        send: async (endpoint, request) => spoil(await send(endpoint, request)),
      })

      const outcome = await fc.check(property, { seed, numRuns: 500, endOnFailure: true })

      expect(outcome.failed).toBe(true)
      expect(String(outcome.errorInstance)).toMatch(found)
    },
  )

  test(
    'find a body that is accepted although the document does not take it',
    PATIENCE,
    async ({ contract: { contract, endpoints }, grounds, send }) => {
      const endpoint = endpointCalled(endpoints, 'updateSettings')
      const accepted = await send(endpoint, {
        ...{ base: '', path: {}, query: {}, headers: {}, tenant: undefined, ifMatch: undefined },
        ...{ token: grounds.tokens.owner, type: 'application/json', text: '{}', json: undefined },
      })
      const property = answersAsDocumented(endpoint, {
        contract,
        grounds,
        send: async () => accepted,
      })

      const outcome = await fc.check(property, { seed, numRuns: 500, endOnFailure: true })

      expect([accepted.status, outcome.failed]).toEqual([200, true])
      expect(String(outcome.errorInstance)).toMatch(/200 to a body that the document does not take/)
    },
  )

  test('cover every operation of /v1/tenant and /v1/auth', ({ contract: { endpoints } }) => {
    expect(endpoints.map(({ operation }) => operation.operationId).sort()).toEqual(
      [...OPERATIONS].sort(),
    )
    expect(endpoints.length * FOR_EACH_OPERATION).toBeGreaterThanOrEqual(volume(2_000, 5_000))
  })

  test('are refused as documented from an address that must wait, and where they are too large', async ({
    app,
    contract: { contract, endpoints },
    grounds,
  }) => {
    const ask = async (endpoint: Endpoint, from: never, headers: Part['headers'] = {}) => {
      const response = await app.request(
        endpoint.path.replaceAll(/\{\w+\}/g, 'none'),
        {
          method: endpoint.method.toUpperCase(),
          headers: {
            Authorization: `Bearer ${grounds.tokens.owner}`,
            'Content-Type': 'application/json',
            ...headers,
          },
          ...(schemaOf(endpoint) ? { body: '{}' } : {}),
        },
        from,
      )
      const { status } = response
      return { status, headers: response.headers, body: (await response.json()) as unknown }
    }
    const worn = fromElsewhere()
    const [whoAmI] = endpoints.filter(({ operation }) => operation.operationId === 'whoAmI')
    for (let attempt = 0; whoAmI && attempt <= 60; attempt += 1)
      await ask(whoAmI, worn, { Authorization: 'Bearer none' })

    const faults: string[] = []
    for (const endpoint of endpoints) {
      const answers = [
        await ask(endpoint, worn),
        await ask(endpoint, fromElsewhere(), { 'Content-Length': '262145' }),
      ]
      const said = [
        answers.map(({ status }) => status).join(' '),
        ...answers.flatMap((answered) => faultsIn(endpoint, contract, answered)),
      ].join('; ')
      if (said !== '429 413') faults.push(`${endpoint.operation.operationId}: ${said}`)
    }

    expect(faults).toEqual([])
  })

  test('that read a version which the caller has are answered as documented', async ({
    app,
    contract: { contract, endpoints },
    grounds,
  }) => {
    const reads = endpoints.filter((each) => takes(each, 'If-None-Match'))
    const faults: string[] = []
    let unchanged = 0
    for (const endpoint of reads) {
      const [name = ''] = named(endpoint, 'path').map((each) => each.name)
      const id = (await Object.values(grounds.makers[name] ?? {})[0]?.()) ?? ''
      const path = filled(endpoint.path, { [name]: id })
      const headers = { Authorization: `Bearer ${grounds.tokens.owner}` }
      const first = await app.request(path, { headers }, fromElsewhere())
      const etag = first.headers.get('ETag') ?? ''
      const response = await app.request(
        path,
        { headers: { ...headers, 'If-None-Match': etag } },
        fromElsewhere(),
      )
      const { status } = response
      // what changes with the clock as well is shown each time
      const body = status === 304 ? null : ((await response.json()) as unknown)
      unchanged += status === 304 ? 1 : 0
      for (const fault of faultsIn(endpoint, contract, { status, headers: response.headers, body }))
        faults.push(`${endpoint.operation.operationId}: ${fault}`)
    }

    expect(unchanged).toBeGreaterThan(5)
    expect(faults).toEqual([])
  })

  test.for(OPERATIONS)(
    'get no other answer from %s than the documented ones',
    PATIENCE,
    async (id, { contract: { contract, endpoints }, grounds, send }) => {
      const endpoint = endpointCalled(endpoints, id)
      const seen = new Map<number, number>()
      const property = answersAsDocumented(endpoint, { contract, grounds, send }, ({ status }) => {
        seen.set(status, (seen.get(status) ?? 0) + 1)
      })

      const isMissing = () => withinReach(endpoint).some((status) => !seen.has(status))
      // what comes rarely may take more requests
      for (let round = 0; round === 0 || (isMissing() && round < 15); round += 1)
        await fc.assert(property, {
          seed: seed + round,
          numRuns: FOR_EACH_OPERATION,
          examples: examplesFor(endpoint, grounds),
        })

      // all that can be brought about was
      expect([...seen.keys()]).toEqual(expect.arrayContaining(withinReach(endpoint)))
    },
  )
})

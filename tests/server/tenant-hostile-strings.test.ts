import { createHash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { describe, expect } from 'vitest'
import type { Context } from '../../src/core/context.js'
import { quoteName } from '../../src/core/db/sql.js'
import { rowsOf } from '../../src/core/db/statements.js'
import { createUser } from '../../src/core/identity/create-user.js'
import { invite } from '../../src/core/identity/invite.js'
import { activateLicense } from '../../src/core/licensing/activate-license.js'
import type { App } from '../../src/server/app.js'
import { tenantOperations } from '../../src/server/tenant/operations.js'
import { atMost } from '../support/at-most.js'
import { seed, volume } from '../support/campaign.js'
import { hashPasswordsCheaply } from '../support/cheap-passwords.js'
import type { JsonSchema } from '../support/from-schema.js'
import {
  type Attacked,
  faultsOf,
  HOSTILE,
  inHeader,
  inPath,
  NAUGHTY,
  OURS,
} from '../support/hostile-strings.js'
import { test as house } from '../support/house.js'
import { type Ask, asking, makeMember, objectOf } from '../support/member.js'
import { type Endpoint, endpointsOf, isNoFolder, type OpenApiDocument } from '../support/openapi.js'
import { createRandom } from '../support/random.js'
import { fromElsewhere, openShop, type Shop } from '../support/shop.js'

hashPasswordsCheaply()

/** What is kept takes so many of the strings; what is only looked at takes fewer. */
const KEPT = volume(72, 150)
/** Accepting an invitation takes so many: those of ours and a few others. */
const JOINED = 75
const SEEN = 32
const LANES = 4
/** Far beyond what they take: about a minute together where nothing else runs. */
const PATIENCE = { timeout: 600_000 }
const PASSWORD = 'correct horse battery staple'

type Json = Readonly<Record<string, unknown>>

/** How an operation is asked for something that it would do. */
type Call = {
  /** What its path names, for each lane its own. */
  readonly at?: () => Promise<string>
  readonly body?: () => Json
  /** Where what it answers can be read again. */
  readonly back?: (id: string) => string
  /** There is one such thing, so requests go one by one. */
  readonly isSingle?: true
}

/** A place in a request where text can stand. */
type Place = {
  readonly input: string
  /** Whether what it takes is kept and given back. */
  readonly isKept?: boolean
  with(request: Wish, text: string): Wish | undefined
  /** What the answer must show of it, in the object that it is about. */
  shown?(object: Json, text: string): boolean
  /** Beside the sample, each time. */
  readonly always?: readonly string[]
  /** Takes it away again, so that there is room for the next. */
  undo?(text: string): Json
}

type Wish = {
  readonly id: string
  readonly query: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: unknown
}

let count = 0
const fresh = (start: string): string => {
  count += 1
  return `${start}${count}`
}

/** The strings of ours that are short, and as many others as there is room for, in any order. */
function sampleOf(size: number, salt: string): readonly string[] {
  const random = createRandom(seed ^ createHash('sha256').update(salt).digest().readInt32LE())
  const pool = [...(size < OURS.length ? HOSTILE : NAUGHTY)]
  const picked = size < OURS.length ? [] : [...OURS]
  while (picked.length < size && pool.length > 0)
    picked.push(...pool.splice(random.below(pool.length), 1))
  return picked
}

const test = house
  .extend('endpoints', { scope: 'file' }, async ({ app }) =>
    endpointsOf((await (await app.request('/openapi.json')).json()) as OpenApiDocument),
  )
  .extend('grounds', { scope: 'file' }, async ({ ctx, app }) => ({
    // what one operation kept would look like a leak of another's
    reading: await openGrounds(ctx, app),
    writing: await openGrounds(ctx, app),
  }))
  .extend('neighbour', { scope: 'file' }, async ({ ctx, app }) => {
    const shop = await openShop(ctx)
    const { token } = await makeMember(ctx, shop.slug, 'owner')
    const ask = asking(app, token)
    const license = await shop.issue({ metadata: { of: 'them' } })
    await activateLicense(shop.scope, { license_key: license.key, instance_id: 'theirs' })
    await ask('POST', '/webhooks', { url: 'https://h.example.com', events: ['license.created'] })
    await ask('POST', '/invitations', { email: 'theirs@example.com', role: 'viewer' })
    const standing = () => standingOf(shop, ctx.platform)
    return { standing, before: await standing() }
  })
  .extend('post', { scope: 'file' }, async ({ app }) => {
    // a failed login waits for its tick
    const inTurn = atMost(48)
    return (path: string, input: string, sent: string, body: unknown): Promise<Attacked> =>
      inTurn(async () => {
        const response = await app.request(
          `/v1/auth${path}`,
          {
            method: 'POST',
            headers: { 'Content-Type': 'application/json' },
            body: JSON.stringify(body),
          },
          fromElsewhere(),
        )
        return { input, sent, status: response.status, answered: await response.text() }
      })
  })
  .extend('me', { scope: 'file' }, async ({ app }) => async (token: string) => {
    const headers = { Authorization: `Bearer ${token}` }
    const response = await app.request('/v1/auth/me', { headers }, fromElsewhere())
    return ((await response.json()) as { data: { token: Json; user: Json } }).data
  })
  .extend('attack', { scope: 'file' }, async ({ app, grounds }) => {
    const send = async ({ path, method }: Endpoint, token: string, wish: Wish) => {
      const text = wish.body === undefined ? undefined : JSON.stringify(wish.body)
      const response = await app.request(
        `${path.replace(/\{\w+\}/, wish.id)}${wish.query}`,
        {
          method: method.toUpperCase(),
          headers: {
            Authorization: `Bearer ${token}`,
            ...(text === undefined
              ? {}
              : {
                  'Content-Type': 'application/json',
                  'Content-Length': String(Buffer.byteLength(text)),
                }),
            ...wish.headers,
          },
          ...(text === undefined ? {} : { body: text }),
        },
        fromElsewhere(),
      )
      return { status: response.status, answered: await response.text() }
    }
    /** Sends hostile strings into every place of an endpoint, and tells what it made of them. */
    return async (endpoint: Endpoint): Promise<Outcome> => {
      const { ask, token, calls } = grounds[endpoint.method === 'get' ? 'reading' : 'writing']
      const call = calls[endpoint.operation.operationId] ?? {}
      if (endpoint.path.includes('{') && !call.at)
        throw new Error(`${endpoint.operation.operationId} names nothing here`)
      const lanes = await Promise.all(
        Array.from({ length: call.isSingle ? 1 : LANES }, async () => {
          const id = (await call.at?.()) ?? ''
          return { id, inTurn: atMost(1), kept: new Map<string, string>() }
        }),
      )
      const answers: Attacked[] = []
      const mixedUp: string[] = []
      const attempt = async (
        place: Place,
        sent: string,
        { id, kept }: { readonly id: string; readonly kept: Map<string, string> },
      ): Promise<void> => {
        const body = call.body?.() ?? (endpoint.operation.requestBody ? {} : undefined)
        const wish = place.with({ id, query: '', headers: {}, body }, sent)
        if (!wish) return
        const { status, answered } = await send(endpoint, token, wish)
        // what it took before it may show now
        answers.push({ input: place.input, sent, status, answered, before: [...kept.values()] })
        if (status >= 300 || !place.shown) return
        kept.set(place.input, sent)
        const object = objectIn(answered)
        const again = call.back && (await ask('GET', call.back(String(object.id))))
        const shown = again && objectIn(again.text, String(object.id))
        const faults = [
          ...(place.shown(object, sent) ? [] : ['answered another']),
          ...(shown && !isDeepStrictEqual(shown, object) ? ['kept another'] : []),
        ]
        for (const fault of faults)
          mixedUp.push(`${place.input} = ${JSON.stringify(sent).slice(0, 60)}: ${fault}`)
        if (place.undo) await send(endpoint, token, { ...wish, body: place.undo(sent) })
      }
      const work = placesIn(endpoint, call).flatMap((place) =>
        [
          ...(place.always ?? []),
          ...sampleOf(
            place.isKept ? KEPT : SEEN,
            `${endpoint.operation.operationId} ${place.input}`,
          ),
        ].map((sent, index) => {
          const lane = lanes[index % lanes.length]
          return lane?.inTurn(() => attempt(place, sent, lane))
        }),
      )
      await Promise.all(work)
      return { answers, mixedUp }
    }
  })

type Outcome = { readonly answers: readonly Attacked[]; readonly mixedUp: readonly string[] }

/** The object that an answer is about, or the one of that id in a list. */
function objectIn(answered: string, id?: string): Json {
  const { data } = JSON.parse(answered) as { data: Readonly<Record<string, unknown>> }
  const { items } = data as { items?: readonly Json[] }
  if (items) return items.find((each) => id === undefined || each.id === id) ?? {}
  return (Object.values(data).find((each) => typeof each === 'object' && each !== null) ??
    data) as Json
}

/** Every row of a tenant, in its database and in the platform's, as one digest by table. */
async function standingOf(
  { scope }: Shop,
  platform: Parameters<typeof rowsOf>[0],
): Promise<Readonly<Record<string, string>>> {
  const digest = (rows: readonly unknown[]) =>
    createHash('sha256').update(JSON.stringify(rows)).digest('hex').slice(0, 16)
  const standing: Record<string, string> = {}
  const tables = await rowsOf<{ name: string }>(
    scope.db,
    'select table_name as name from information_schema.tables where table_schema = database()',
  )
  for (const { name } of tables)
    standing[name] = digest(
      await rowsOf(scope.db, `select * from ${quoteName(name)} order by 1, 2`),
    )
  const owned = await rowsOf<{ name: string }>(
    platform,
    "select table_name as name from information_schema.columns where table_schema = database() and column_name = 'tenant_id'",
  )
  for (const { name } of owned)
    standing[`platform.${name}`] = digest(
      await rowsOf(platform, `select * from ${quoteName(name)} where tenant_id = ? order by 1`, [
        scope.tenant.id,
      ]),
    )
  return standing
}

/** A tenant with an owner, and what they may ask of it. */
async function openGrounds(ctx: Context, app: App) {
  const shop = await openShop(ctx)
  const { token } = await makeMember(ctx, shop.slug, 'owner')
  const ask = asking(app, token)
  await ask('POST', '/products', { code: 'editor', name: 'Editor' })
  const member = async () => (await makeMember(ctx, shop.slug, 'developer')).id
  return { shop, token, ask, calls: callsOf(shop, ask, member) }
}

/** By operation, what makes it succeed. Of what is not here, nothing needs to be named. */
function callsOf(shop: Shop, ask: Ask, member: () => Promise<string>): Record<string, Call> {
  const made = async (path: string, body: unknown, name: string) =>
    objectOf(await ask('POST', path, body), name).id
  const product = () => made('/products', { code: fresh('p-'), name: 'P' }, 'product')
  const license = async () => (await shop.issue({ product: 'editor' })).id
  const activation = async () => {
    const { key } = await shop.issue({ product: 'editor' })
    const wish = { license_key: key, instance_id: 'i' }
    return (await activateLicense(shop.scope, wish)).result.activation.id
  }
  // it is written to by a test of it, and must be nobody's
  const hook = { url: 'https://localhost/hook', events: ['license.created'] }
  const webhook = () => made('/webhooks', hook, 'webhook')
  const apiKey = () => made('/api-keys', { name: 'k' }, 'api_key')
  const invited = () => ({ email: `${fresh('guest')}@example.com`, role: 'viewer' })
  const [ofProduct, ofLicense] = [
    { at: product, back: (id: string) => `/products/${id}` },
    { at: license, back: (id: string) => `/licenses/${id}` },
  ]
  const ofWebhook = { at: webhook, back: (id: string) => `/webhooks/${id}` }
  return {
    createProduct: { ...ofProduct, body: () => ({ code: fresh('made-'), name: 'P' }) },
    showProduct: ofProduct,
    updateProduct: ofProduct,
    deleteProduct: { at: product },
    issueLicense: { ...ofLicense, body: () => ({ product: 'editor' }) },
    issueLicenses: { ...ofLicense, body: () => ({ licenses: [{ product: 'editor' }] }) },
    showLicense: ofLicense,
    updateLicense: ofLicense,
    suspendLicense: ofLicense,
    reinstateLicense: ofLicense,
    revokeLicense: ofLicense,
    renewLicense: ofLicense,
    moveLicense: { ...ofLicense, body: () => ({ product: 'editor' }) },
    showActivation: { at: activation },
    revokeActivation: { at: activation },
    createApiKey: { body: () => ({ name: 'k' }), back: (id) => `/api-keys/${id}` },
    showApiKey: { at: apiKey },
    rotateApiKey: { at: apiKey },
    revokeApiKey: { at: apiKey },
    createWebhook: { ...ofWebhook, body: () => hook },
    showWebhook: ofWebhook,
    updateWebhook: ofWebhook,
    deleteWebhook: { at: webhook },
    enableWebhook: { at: webhook },
    disableWebhook: { at: webhook },
    rotateWebhookSecret: { at: webhook },
    listDeliveries: { at: webhook },
    testWebhook: { at: webhook },
    redeliver: { at: webhook },
    updateSettings: { isSingle: true, back: () => '/settings' },
    updateBranding: { isSingle: true, back: () => '/branding' },
    changePlan: { isSingle: true, body: () => ({ plan: 'enterprise' }) },
    showInvoice: { at: async () => 'INV-2026-000001' },
    showMember: { at: member },
    changeMemberRole: { at: member, body: () => ({ role: 'developer' }) },
    removeMember: { at: member },
    createInvitation: { body: invited, back: () => '/invitations?limit=100' },
    revokeInvitation: { at: () => made('/invitations', invited(), 'invitation') },
  }
}

/** What a person reads is trimmed; an address is in lower case too (docs/tenant-api.md). */
const TRIMMED = ['name', 'customer_name', 'display_name', 'device_name']
const normal = (field: string, text: string): string =>
  field === 'email' ? text.trim().toLowerCase() : TRIMMED.includes(field) ? text.trim() : text

const ownOf = (object: unknown, name: string): unknown =>
  typeof object === 'object' && object !== null && Object.hasOwn(object, name)
    ? (object as Json)[name]
    : undefined

const field = (name: string, value: unknown): Json => Object.fromEntries([[name, value]])

const typesIn = ({ type, anyOf = [], ...rest }: JsonSchema): JsonSchema[] =>
  anyOf.length > 0 ? anyOf.flatMap(typesIn) : [{ ...rest, ...(type ? { type } : {}) }]

/** All places of an endpoint that take text, from what the document says of it. */
function placesIn({ operation, method }: Endpoint, call: Call): Place[] {
  const { parameters } = operation
  const schema = operation.requestBody?.content['application/json'].schema
  const places: Place[] = [
    {
      input: 'the name of a query parameter',
      // without a name it is none
      with: (wish, text) => (text === '' ? undefined : { ...wish, query: `?${inPath(text)}=1` }),
    },
  ]
  for (const parameter of parameters) {
    const { name } = parameter
    if (parameter.in === 'query')
      places.push({
        input: `?${name}`,
        always: ['\u00e9', '\u0000', ' ', '%'],
        with: (wish, text) => ({ ...wish, query: `?${name}=${inPath(text)}` }),
      })
    if (parameter.in === 'header')
      places.push({
        input: name,
        with(wish, text) {
          const value = inHeader(text)
          return value === undefined ? undefined : { ...wish, headers: { [name]: value } }
        },
      })
    if (parameter.in === 'path')
      places.push(
        {
          input: `{${name}}`,
          always: ['\u00e9', '\u0000', ' ', '\u{1f512}'],
          with: (wish, text) => ({ ...wish, id: inPath(text) }),
        },
        {
          input: `the end of {${name}}`,
          always: ['\u00e9', '\u0000', ' ', '%20'],
          with: (wish, text) => ({ ...wish, id: `${wish.id}${inPath(text)}` }),
        },
      )
  }
  if (!schema) return places
  const isPatch = method === 'patch'
  const list = schema.properties?.licenses?.items
  const put = (wish: Wish, fields: Json): Wish => ({
    ...wish,
    body: list
      ? { licenses: [{ product: 'editor', ...fields }] }
      : { ...(wish.body as Json), ...fields },
  })
  places.push(
    { input: 'the name of a field', with: (wish, text) => put(wish, field(text, 1)) },
    { input: 'the whole body', with: (wish, text) => ({ ...wish, body: text }) },
  )
  for (const [name, own] of Object.entries((list ?? schema).properties ?? {})) {
    const types = typesIn(own)
    const isText = types.some((each) => each.type === 'string' && !each.enum && !each.pattern)
    places.push({
      input: name,
      isKept: isText && call.back !== undefined,
      with: (wish, text) => put(wish, field(name, text)),
      shown: (object, text) => object[name] === normal(name, text),
    })
    const format = types.find((each) => each.format)?.format
    const around = format === 'uri' ? 'https://h.example.com/#' : '#@example.com'
    if (format === 'uri' || format === 'email' || name === 'email') {
      // as it stands: there is nothing to trim in the middle
      const whole = (text: string) => around.replace('#', () => text)
      places.push({
        input: `a part of ${name}`,
        isKept: true,
        always: ['\ud800', 'a\nb', 'a b', '\u00e9', '?a=%20', "o'neil"],
        with: (wish, text) => put(wish, field(name, whole(text))),
        shown: (object, text) => object[name] === normal(name, whole(text)),
      })
    }
    if (types.some((each) => each.type === 'array'))
      places.push({
        input: `an item of ${name}`,
        with: (wish, text) => put(wish, field(name, [text])),
        shown: () => false,
      })
    const open = types.find((each) => each.type === 'object')?.additionalProperties
    if (!open) continue
    // values of entitlements are plain
    const isDeep = name === 'metadata'
    const value = (text: string) => (isDeep ? [text, { in: text }] : text)
    places.push(
      {
        input: `a value in ${name}`,
        isKept: true,
        with: (wish, text) => put(wish, field(name, { of: value(text) })),
        shown: (object, text) => isDeepStrictEqual(ownOf(object[name], 'of'), value(text)),
      },
      {
        input: `a name in ${name}`,
        isKept: isDeep,
        with: (wish, text) => put(wish, field(name, field(text, isDeep ? field(text, 1) : true))),
        shown: (object, text) =>
          isDeepStrictEqual(ownOf(object[name], text), isDeep ? field(text, 1) : true),
        ...(isPatch ? { undo: (text: string) => field(name, field(text, null)) } : {}),
      },
    )
  }
  return places
}

/** What hostile text may get; 405 where it ends the path earlier. */
const EXPECTED = new Set([200, 201, 400, 401, 403, 404, 405, 409, 412, 413, 415, 422])

const accepted = (answers: readonly Attacked[], input: string): number =>
  answers.filter((each) => each.input === input && each.status < 300).length

/** Fields of free text, with how many of the strings they take at least. */
const TAKEN: Readonly<Record<string, readonly string[]>> = {
  createProduct: ['name', 'description', 'a value in metadata', 'a name in metadata'],
  updateProduct: ['name', 'description', 'a value in metadata', 'a name in metadata'],
  issueLicense: ['customer_name', 'a value in metadata', 'a name in metadata'],
  issueLicenses: ['customer_name', 'a value in metadata', 'a value in entitlements'],
  updateLicense: ['customer_name', 'a value in metadata', 'a value in entitlements'],
  createApiKey: ['name'],
  createWebhook: ['description'],
  updateWebhook: ['description'],
  updateBranding: ['display_name'],
}

type Session = {
  readonly data?: {
    readonly token: string
    readonly user: Json
  }
}

describe(`hostile strings in the Tenant API (VALIDONX_TEST_SEED=${seed})`, () => {
  test(
    'cannot hurt a login, and devices are called what they were called',
    PATIENCE,
    async ({ ctx, post, me, neighbour }) => {
      const email = `${fresh('ada')}@example.com`
      await createUser(ctx, { email, name: 'Ada', password: PASSWORD })
      const nobody = () => ({ email: `${fresh('nobody')}@example.com`, password: PASSWORD })
      const answers = await Promise.all([
        ...sampleOf(KEPT, 'device').map((sent) =>
          post('/login', 'device_name', sent, { email, password: PASSWORD, device_name: sent }),
        ),
        ...sampleOf(SEEN, 'email').map((sent) =>
          post('/login', 'email', sent, { ...nobody(), email: sent }),
        ),
        ...sampleOf(SEEN, 'password').map((sent) =>
          post('/login', 'password', sent, { ...nobody(), password: sent }),
        ),
        ...sampleOf(SEEN, 'field').map((sent) =>
          post('/login', 'the name of a field', sent, { ...nobody(), ...field(sent, 1) }),
        ),
        ...sampleOf(SEEN, 'whole').map((sent) => post('/login', 'the whole body', sent, sent)),
      ])
      const mixedUp: string[] = []
      for (const { sent, status, answered } of answers.filter((each) => each.status === 200)) {
        const { data } = JSON.parse(answered) as Session
        const { token } = await me(data?.token ?? '')
        if (token.name !== sent.trim()) mixedUp.push(`${status} ${JSON.stringify(sent)}`)
      }

      expect(faultsOf(answers, EXPECTED)).toEqual([])
      expect(mixedUp).toEqual([])
      expect(accepted(answers, 'device_name')).toBeGreaterThan(KEPT / 4)
      expect(answers.filter((each) => each.input !== 'device_name' && each.status === 200)).toEqual(
        [],
      )
      expect(await neighbour.standing()).toEqual(neighbour.before)
    },
  )

  test(
    'cannot hurt who accepts an invitation: names and passwords are what was sent',
    PATIENCE,
    async ({ ctx, post, me, grounds, neighbour }) => {
      const { id } = grounds.reading.shop.scope.tenant
      const invited = async () => {
        const email = `${fresh('invited')}@example.com`
        const { result } = await invite(ctx, { id }, { email, role: 'viewer' })
        return { email, token: result.token }
      }
      const join = async (input: 'name' | 'password', sent: string) => {
        const { email, token } = await invited()
        const body = { token, name: 'New', password: PASSWORD, ...field(input, sent) }
        return { ...(await post('/invitations/accept', input, sent, body)), email }
      }
      const joined = await Promise.all([
        ...sampleOf(JOINED, 'name').map((sent) => join('name', sent)),
        ...sampleOf(JOINED, 'password').map((sent) => join('password', sent)),
      ])
      const others = await Promise.all(
        sampleOf(SEEN, 'token').map((sent) =>
          post('/invitations/accept', 'token', sent, {
            token: sent,
            name: 'N',
            password: PASSWORD,
          }),
        ),
      )
      const mixedUp = await Promise.all(
        joined
          .filter(({ status }) => status === 201)
          .map(async ({ input, sent, email, answered }) => {
            const [name, password] =
              input === 'name' ? [sent.trim(), PASSWORD] : (['New', sent] as const)
            const { data } = JSON.parse(answered) as Session
            const { user } = await me(data?.token ?? '')
            const again = await post('/login', 'password', sent, { email, password })
            const isSame = user.name === name && data?.user.name === name && again.status === 200
            return isSame ? [] : [`${input} ${JSON.stringify(sent)}`]
          }),
      )

      expect(faultsOf([...joined, ...others], EXPECTED)).toEqual([])
      expect(mixedUp.flat()).toEqual([])
      expect(accepted(joined, 'name')).toBeGreaterThan(JOINED / 4)
      expect(accepted(joined, 'password')).toBeGreaterThan(JOINED / 4)
      expect(accepted(others, 'token')).toBe(0)
      expect(await neighbour.standing()).toEqual(neighbour.before)
    },
  )

  test('open nothing as a token', async ({ app }) => {
    const answers: Attacked[] = []
    for (const sent of sampleOf(KEPT, 'authorization')) {
      for (const form of [sent, `Bearer ${sent}`, `Bearer 1|${sent}`]) {
        const value = inHeader(form)
        if (value === undefined) continue
        const headers = { Authorization: value }
        const response = await app.request('/v1/auth/me', { headers }, fromElsewhere())
        answers.push({
          input: form,
          sent,
          status: response.status,
          answered: await response.text(),
        })
      }
    }

    expect(faultsOf(answers, new Set([401]))).toEqual([])
    expect(answers.length).toBeGreaterThan(2 * KEPT)
  })

  test.for(tenantOperations.map(({ id }) => id))(
    'cannot hurt %s, and those that are accepted are kept and given back as they were sent',
    PATIENCE,
    async (id, { endpoints, attack, neighbour }) => {
      const endpoint = endpoints.find(({ operation }) => operation.operationId === id)
      if (!endpoint) throw new Error(`${id} is not in the document`)

      const { answers, mixedUp } = await attack(endpoint)

      const sentTo = (found: typeof answers) => found.map(({ input, sent }) => [input, sent])
      expect({
        faults: faultsOf(answers, EXPECTED),
        mixedUp,
        // another path, another id: what it names is not there
        strayed: sentTo(
          answers.filter(
            ({ input, sent, status }) =>
              status < 300 && input.includes('{') && sent !== '' && isNoFolder(sent),
          ),
        ),
        wrongTenant: sentTo(
          answers.filter(({ input, status }) => input === 'X-Tenant-ID' && status !== 422),
        ),
        matched: sentTo(
          answers.filter(
            ({ input, sent, status }) =>
              input === 'If-Match' && status < 300 && sent.trim() !== '*',
          ),
        ),
        untaken: (TAKEN[id] ?? []).filter((input) => accepted(answers, input) <= KEPT / 4),
      }).toEqual({
        faults: [],
        mixedUp: [],
        strayed: [],
        wrongTenant: [],
        matched: [],
        untaken: [],
      })
      expect(await neighbour.standing()).toEqual(neighbour.before)
    },
  )
})

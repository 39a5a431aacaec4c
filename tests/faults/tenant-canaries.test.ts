import { Agent, createServer, type IncomingHttpHeaders, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect } from 'vitest'
import { createApiKey } from '../../src/core/access/create-api-key.js'
import type { Context } from '../../src/core/context.js'
import type { Provisioner } from '../../src/core/db/provisioner.js'
import { quoteName, quoteText } from '../../src/core/db/sql.js'
import { addMember } from '../../src/core/identity/change-members.js'
import { createToken } from '../../src/core/identity/create-token.js'
import { invite } from '../../src/core/identity/invite.js'
import type { Role } from '../../src/core/identity/roles.js'
import { insertUser } from '../../src/core/identity/user-store.js'
import { activateLicense } from '../../src/core/licensing/activate-license.js'
import { issueLicenses } from '../../src/core/licensing/issue-licenses.js'
import { createProduct } from '../../src/core/products/create-product.js'
import { updateBranding, updateSettings } from '../../src/core/tenants/change-settings.js'
import { enterTenant } from '../../src/core/tenants/scope.js'
import { createWebhook } from '../../src/core/webhooks/change-webhooks.js'
import { seed, volume } from '../support/campaign.js'
import { eventually } from '../support/eventually.js'
import { bare } from '../support/fleet.js'
import { test as house, provision } from '../support/house.js'
import { type Serving, startServers } from '../support/process.js'
import { createRandom, type Random } from '../support/random.js'

const TENANTS = 4
const CALLS = volume(1_200, 10_000)
const WIDTH = 160
/** One of so many clients leaves early. */
const LEAVES = 10
/** Only a call that hangs takes so long. */
const LONGEST_MS = 150_000
const NOBODY = '01a20a16-e903-7073-8d90-840262d70cf5'

const seeded = `(VALIDONX_TEST_SEED=${seed})`

/** One tenant, with all that it was given, each thing marked as its own. */
type Home = {
  readonly id: string
  readonly slug: string
  readonly database: string
  readonly mark: string
  readonly products: readonly string[]
  readonly licenses: readonly string[]
  readonly keys: readonly string[]
  readonly activations: readonly string[]
  readonly webhooks: readonly string[]
  readonly apiKeys: readonly string[]
  readonly invitations: readonly string[]
  readonly members: readonly string[]
}

type Caller = { readonly token: string; readonly role: Role; readonly homes: readonly Home[] }

/** Whose a mark, an id or a key is. */
type Owners = Map<string, ReadonlySet<Home>>

type Town = {
  readonly homes: readonly Home[]
  readonly callers: readonly Caller[]
  readonly owners: Owners
}

const test = house
  .extend('servers', { scope: 'file' }, async ({ environment }, { onCleanup }) => {
    const servers = await startServers(environment, 2, onCleanup, {
      // few enough that tenants must wait for each other's connections; the question is not how soon
      VALIDONX_CONNECTIONS: '12',
      VALIDONX_ACQUIRE_TIMEOUT: '60',
    })
    return servers
  })
  .extend('client', { scope: 'file' }, ({ environment: _ }, { onCleanup }) => {
    const agent = new Agent({ keepAlive: true, maxSockets: WIDTH })
    onCleanup(() => agent.destroy())
    return agent
  })
  .extend('town', { scope: 'file' }, ({ ctx }) => settle(ctx, createRandom(seed)))

/** Four tenants full of marks, and the people who run them: some one tenant, some several. */
async function settle(ctx: Context, random: Random): Promise<Town> {
  const owners: Owners = new Map()
  const homes: Home[] = []
  const callers: Caller[] = []
  const mint = (): string =>
    `mk${Array.from({ length: 12 }, () => random.pick([...'abcdefghijklmnopqrstuvwxyz'])).join('')}`

  const join = async (role: Role, theirs: readonly Home[]): Promise<string> => {
    const mark = mint()
    owners.set(mark, new Set(theirs))
    const email = `${role}@${mark}.example.com`
    const user = { name: mark, email, passwordHash: '', isVerified: true }
    const { id } = await insertUser(ctx.platform, user, new Date())
    for (const home of theirs) await addMember(ctx, home, { user: email, role })
    const { plainText: token } = await createToken(ctx, { user: email })
    callers.push({ token, role, homes: theirs })
    return id
  }

  for (let number = 0; number < TENANTS; number += 1) {
    const mark = mint()
    const home = await furnish(ctx, mark, number)
    const members = [await join('owner', [home]), await join('developer', [home])]
    homes.push(Object.assign(home, { members }))
    owners.set(mark, new Set([home]))
    owners.set(daysOf(number), new Set([home]))
  }
  const [a, b, c, d] = homes as [Home, Home, Home, Home]
  for (const theirs of [[a, b], [c, d], homes]) await join('admin', theirs)
  await join('viewer', homes)
  for (const home of homes) {
    const { members: _, slug: __, ...rest } = home
    for (const token of Object.values(rest).flat()) owners.set(token, new Set([home]))
  }
  // plans are everybody's
  for (const id of await ctx.platform('plans').pluck('id')) owners.set(id, new Set(homes))
  return { homes, callers, owners }
}

const daysOf = (number: number): string => `"licenses.subscription_days":731${number}`

async function furnish(ctx: Context, mark: string, number: number): Promise<Home> {
  const slug = `t-${mark}`
  await provision(ctx, slug, 'enterprise')
  const scope = await enterTenant(ctx, slug)
  const { id, database } = scope.tenant
  const note = { note: mark }
  const products: string[] = []
  // the one is called alike everywhere
  for (const code of ['editor', `p-${mark}`]) {
    const product = { code, name: `Product ${mark}`, description: mark, metadata: note }
    products.push((await createProduct(scope, product)).result.id)
  }
  const wish = {
    customer_name: `Customer ${mark}`,
    customer_email: `c@${mark}.example.com`,
    entitlements: { edition: mark },
    metadata: note,
  }
  const { result: issued } = await issueLicenses(scope, {
    licenses: [
      { product: 'editor', quantity: 4, ...wish },
      { product: `p-${mark}`, quantity: 4, ...wish },
    ],
  })
  const licenses = issued.map(({ license }) => license)
  const activations: string[] = []
  for (const { key } of licenses) {
    const seat = { license_key: key, instance_id: `i-${mark}`, metadata: note }
    activations.push((await activateLicense(scope, seat)).result.activation.id)
  }
  const webhooks: string[] = []
  for (const path of ['one', 'two']) {
    const hook = { url: `https://${mark}.example.com/${path}`, description: `Hook ${mark}` }
    const made = await createWebhook(ctx, scope, { ...hook, events: ['license.created'] })
    webhooks.push(made.result.endpoint.id)
  }
  const { key } = await createApiKey(ctx, { slug, name: `Key ${mark}` })
  const guest = { email: `guest@${mark}.example.com`, role: 'viewer' }
  const { result: invited } = await invite(ctx, { id }, guest)
  await updateBranding(scope, {
    display_name: `Brand ${mark}`,
    logo_url: `https://${mark}.example.com/logo.svg`,
    support_email: `help@${mark}.example.com`,
  })
  await updateSettings(scope, JSON.parse(`{${daysOf(number)}}`))
  return {
    id,
    slug,
    database,
    mark,
    products,
    licenses: licenses.map((license) => license.id),
    keys: licenses.map((license) => license.key),
    activations,
    webhooks,
    apiKeys: [key.id],
    invitations: [invited.invitation.id],
    members: [],
  }
}

type Call = {
  readonly name: string
  readonly method: string
  /** Below the Tenant API's base. */
  readonly path: string
  readonly body?: object | undefined
  readonly headers?: Readonly<Record<string, string>>
  /** What it may be answered where the caller's role allows it. */
  readonly expects: readonly number[]
  /** What must stand in the tenant's rows if the answer says so. */
  readonly leaves?: string
}

/** What a call is made of: whose tenant it is for, and another that it must not reach. */
type Visit = {
  readonly home: Home
  readonly other: Home
  /** A tenant that the caller does not belong to, or none that there is. */
  readonly strangersId: string
  readonly serial: number
  readonly random: Random
}
type Kind = (visit: Visit) => Omit<Call, 'name'>

const get = (path: string, ...expects: number[]): Omit<Call, 'name'> => ({
  method: 'GET',
  path,
  expects: expects.length > 0 ? expects : [200],
})
const change = (method: string, path: string, body: object | undefined, ...expects: number[]) => ({
  method,
  path,
  body,
  expects: expects.length > 0 ? expects : [200],
})

/** What one may ask of one's own tenant without changing it. */
const READS: Readonly<Record<string, Kind>> = {
  products: () => get('/products?limit=100'),
  product: ({ home, random }) => get(`/products/${random.pick(home.products)}`),
  licenses: ({ random }) =>
    get(`/licenses?limit=20&sort=${random.pick(['created_at', '-created_at', 'expires_at'])}`),
  'licenses of a product': () => get('/licenses?limit=20&product=editor'),
  'search for a customer': ({ home }) => get(`/licenses?limit=20&search=${home.mark}`),
  "search for another's customer": ({ other }) => get(`/licenses?search=${other.mark}`),
  license: ({ home, random }) => get(`/licenses/${random.pick(home.licenses)}`),
  'license by key': ({ home, random }) => get(`/licenses/${random.pick(home.keys)}`),
  activations: () => get('/activations?limit=20'),
  'activations of a license': ({ home, random }) =>
    get(`/activations?license=${random.pick(home.keys)}`),
  "activations of another's license": ({ other, random }) =>
    get(`/activations?license=${random.pick(other.keys)}`),
  activation: ({ home, random }) => get(`/activations/${random.pick(home.activations)}`),
  entitlements: () => get('/entitlements'),
  counters: () => get('/usage/counters'),
  'usage events': () => get('/usage/events'),
  snapshots: () => get('/usage/snapshots'),
  'API keys': () => get('/api-keys'),
  'API key': ({ home, random }) => get(`/api-keys/${random.pick(home.apiKeys)}`),
  webhooks: () => get('/webhooks'),
  webhook: ({ home, random }) => get(`/webhooks/${random.pick(home.webhooks)}`),
  settings: () => get('/settings'),
  branding: () => get('/branding'),
  subscription: () => get('/subscription'),
  plans: () => get('/plans'),
  invoices: () => get('/invoices'),
  members: () => get('/members'),
  invitations: () => get('/invitations?limit=20'),
  audit: () => get('/audit?limit=20'),
  'audit of an action': ({ random }) =>
    get(
      `/audit?limit=20&action=${random.pick(['webhook_endpoint.*', 'api_key.*', 'member.added'])}`,
    ),
  // for owners, and one at a time
  export: () => get('/export', 200, 403, 503),
  "audit of another's thing": ({ other, random }) =>
    get(`/audit?object_id=${random.pick(other.webhooks)}`),
}

/** What belongs to another tenant is not there, whatever one wants of it. */
const REACHES: Readonly<Record<string, Kind>> = {
  "another's product": ({ other, random }) => get(`/products/${random.pick(other.products)}`, 404),
  "another's license": ({ other, random }) =>
    get(`/licenses/${random.pick([...other.licenses, ...other.keys])}`, 404),
  "another's activation": ({ other, random }) =>
    get(`/activations/${random.pick(other.activations)}`, 404),
  "another's webhook": ({ other, random }) => get(`/webhooks/${random.pick(other.webhooks)}`, 404),
  "another's API key": ({ other, random }) => get(`/api-keys/${random.pick(other.apiKeys)}`, 404),
  "a change of another's product": ({ home, other, random }) =>
    change('PATCH', `/products/${random.pick(other.products)}`, { name: home.mark }, 404),
  "the end of another's product": ({ other, random }) =>
    change('DELETE', `/products/${random.pick(other.products)}`, undefined, 404),
  "a change of another's license": ({ home, other, random }) =>
    change('PATCH', `/licenses/${random.pick(other.keys)}`, { customer_name: home.mark }, 404),
  "a move of another's license": ({ other, random }) =>
    change(
      'POST',
      `/licenses/${random.pick(other.licenses)}/${random.pick(['suspend', 'revoke', 'reinstate'])}`,
      undefined,
      404,
    ),
  "the end of another's activation": ({ other, random }) =>
    change('POST', `/activations/${random.pick(other.activations)}/revoke`, undefined, 404),
  "a change of another's webhook": ({ home, other, random }) =>
    change('PATCH', `/webhooks/${random.pick(other.webhooks)}`, { description: home.mark }, 404),
  "the end of another's webhook": ({ other, random }) =>
    change('DELETE', `/webhooks/${random.pick(other.webhooks)}`, undefined, 404),
  "the end of another's API key": ({ other, random }) =>
    change('POST', `/api-keys/${random.pick(other.apiKeys)}/revoke`, undefined, 404),
  "the end of another's invitation": ({ other, random }) =>
    change('DELETE', `/invitations/${random.pick(other.invitations)}`, undefined, 404),
  "a role for another's member": ({ other, random }) =>
    change('PATCH', `/members/${random.pick(other.members)}`, { role: 'viewer' }, 404),
  "another's tenant": ({ strangersId }) => ({
    ...get('/products', 404),
    headers: { 'X-Tenant-ID': strangersId },
  }),
  'a license of a product that is not here': ({ other }) =>
    change('POST', '/licenses', { product: `p-${other.mark}` }, 404),
}

const WRITES: Readonly<Record<string, Kind>> = {
  'rename a product': ({ home, serial, random }) =>
    change('PATCH', `/products/${random.pick(home.products)}`, {
      name: `Product ${home.mark} ${serial}`,
    }),
  'change a license': ({ home, serial, random }) =>
    change('PATCH', `/licenses/${random.pick(home.licenses)}`, {
      customer_name: `Customer ${home.mark} ${serial}`,
      metadata: { note: home.mark, serial },
    }),
  'suspend or reinstate': ({ home, random }) =>
    change(
      'POST',
      `/licenses/${random.pick(home.licenses)}/${random.pick(['suspend', 'reinstate'])}`,
      undefined,
      200,
      409,
    ),
  'issue a license': ({ home, serial }) => {
    const customer_name = `Customer ${home.mark} #${serial}`
    const body = { product: 'editor', customer_name, entitlements: { edition: home.mark } }
    return { ...change('POST', '/licenses', body, 201), leaves: customer_name }
  },
  // each tenant uses the same keys, and each gets its own license
  'issue once': ({ home, random }) => ({
    ...change('POST', '/licenses', { product: 'editor', metadata: { note: home.mark } }, 201, 409),
    headers: { 'Idempotency-Key': `once-${random.below(20)}` },
  }),
  'ask alike everywhere': ({ random }) => ({
    ...change('POST', '/licenses', { product: 'editor' }, 201, 409),
    headers: { 'Idempotency-Key': `alike-${random.below(20)}` },
  }),
  'issue two': ({ home }) =>
    change(
      'POST',
      '/licenses/batch',
      { licenses: [{ product: 'editor', quantity: 2, customer_name: home.mark }] },
      201,
    ),
  'create a product': ({ home, serial }) =>
    change('POST', '/products', { code: `p${serial}-${home.mark}`, name: home.mark }, 201),
  'change a webhook': ({ home, serial, random }) =>
    change('PATCH', `/webhooks/${random.pick(home.webhooks)}`, {
      description: `Hook ${home.mark} ${serial}`,
    }),
  'rotate a secret': ({ home, random }) => ({
    ...change('POST', `/webhooks/${random.pick(home.webhooks)}/rotate-secret`, {}, 200, 409, 422),
    headers: { 'Idempotency-Key': `rotate-${random.below(20)}` },
  }),
  'create an API key': ({ home }) => change('POST', '/api-keys', { name: home.mark }, 201),
  invite: ({ home, serial }) =>
    change(
      'POST',
      '/invitations',
      { email: `g${serial}@${home.mark}.example.com`, role: 'viewer' },
      201,
    ),
  'change the branding': ({ home, serial }) =>
    change('PATCH', '/branding', { display_name: `Brand ${home.mark} ${serial}` }),
  'change the settings': ({ random }) =>
    change('PATCH', '/settings', { 'licenses.trial_days': 1 + random.below(30) }),
}

type Answer = { readonly status: number; readonly text: string }
/** How a client goes away: while it waits, in the middle of the answer, or of its own request. */
type Leaving = 'waiting' | 'reading' | 'writing'

type Sending = Pick<Call, 'method' | 'body'> & {
  readonly headers: Readonly<Record<string, string>>
  readonly leaving?: Leaving | undefined
  readonly afterMs?: number
}

/** Sends a request. Answers nothing where the client left before it had all of the answer. */
function send(agent: Agent, url: string, of: Sending): Promise<Answer | undefined> {
  const { method, body, headers, leaving, afterMs = 0 } = of
  const text = body === undefined ? '' : JSON.stringify(body)
  return new Promise((done, fail) => {
    const sending = request(url, {
      method,
      agent,
      headers: {
        ...headers,
        ...(text === '' && leaving !== 'writing'
          ? {}
          : {
              'Content-Type': 'application/json',
              'Content-Length': String(Buffer.byteLength(text) + (leaving === 'writing' ? 9 : 0)),
            }),
      },
    })
    const never = setTimeout(() => {
      sending.destroy()
      fail(new Error('never answered'))
    }, LONGEST_MS)
    const leave = () => sending.destroy()
    sending.on('close', () => {
      clearTimeout(never)
      done(undefined)
    })
    sending.on('error', (error) => {
      if (leaving) done(undefined)
      else fail(error)
    })
    sending.on('response', (response) => {
      let answer = ''
      if (leaving === 'reading') leave()
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => {
        answer += chunk
      })
      response.on('error', () => done(undefined))
      response.on('end', () => done({ status: response.statusCode ?? 0, text: answer }))
    })
    if (leaving === 'writing') sending.write(text)
    else sending.end(text)
    if (leaving === 'waiting' || leaving === 'writing') setTimeout(leave, afterMs)
  })
}

const TOKENS =
  /mk[a-z]{12}|"licenses\.subscription_days":731\d|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\b[0-9A-Z]{4}(?:-[0-9A-Z]{4}){3}\b/g

const tokensOf = (text: string): string[] => text.match(TOKENS) ?? []

/**
 * Of what an answer for a tenant holds, what is another's. What nobody had yet is this tenant's from now on;
 * what the caller has sent is no news to them.
 */
function foreignIn(owners: Owners, home: Home, text: string, sent = ''): string[] {
  return tokensOf(text).filter((token) => {
    const whose = owners.get(token)
    if (whose === undefined) owners.set(token, new Set([home]))
    return whose !== undefined && !whose.has(home) && !sent.includes(token)
  })
}

type Flight = {
  readonly foreign: readonly string[]
  /** Answers that no such call should get, and calls that got none. */
  readonly strange: readonly string[]
  readonly statuses: Readonly<Record<string, number>>
  /** Clients that were to leave early, and how many of them did before they had an answer. */
  readonly hasty: number
  readonly left: number
  /** What must stand in each tenant's rows by now. */
  readonly leaves: readonly (readonly [Home, string])[]
}

type Plan = {
  readonly town: Town
  readonly urls: readonly string[]
  readonly kinds: Readonly<Record<string, Kind>>
  readonly calls: number
  readonly width: number
  readonly random: Random
  readonly agent: Agent
  /** Whether some clients leave early. */
  readonly isHasty?: boolean
}

const mayNot = ({ role }: Caller, status: number): boolean =>
  status === 403 && role !== 'owner' && role !== 'admin'

/** Calls at random, many at once, and looks at whose things come back. */
async function fly(plan: Plan): Promise<Flight> {
  const { town, urls, kinds, random, agent, isHasty = false } = plan
  const names = Object.keys(kinds)
  const foreign: string[] = []
  const strange: string[] = []
  const leaves: (readonly [Home, string])[] = []
  const statuses: Record<string, number> = {}
  let [serial, hasty, left] = [0, 0, 0]

  const ask = async (): Promise<void> => {
    serial += 1
    const name = random.pick(names)
    const caller = random.pick(town.callers)
    const home = random.pick(caller.homes)
    const other = random.pick(town.homes.filter((each) => each !== home))
    const strangersId = town.homes.find((each) => !caller.homes.includes(each))?.id ?? NOBODY
    const call = (kinds[name] as Kind)({ home, other, strangersId, serial, random })
    const isNamed = caller.homes.length > 1 || random.below(3) === 0
    const leaving =
      isHasty && random.below(LEAVES) === 0
        ? random.pick<Leaving>(['waiting', 'waiting', 'reading', 'writing'])
        : undefined
    if (leaving) hasty += 1
    const base = random.pick(['/v1', '/v1', '/api/v1'])
    const answer = await send(agent, `${random.pick(urls)}${base}/tenant${call.path}`, {
      method: call.method,
      body: call.body,
      headers: {
        Authorization: `Bearer ${caller.token}`,
        ...(isNamed ? { 'X-Tenant-ID': home.id } : {}),
        ...call.headers,
      },
      leaving,
      afterMs: random.below(25),
    }).catch((error: Error) => ({ status: 0, text: error.message }))
    if (!answer) {
      left += 1
      return
    }
    const { status, text } = answer
    const what = `${caller.role} of ${home.mark}: ${name}: ${status}`
    statuses[status] = (statuses[status] ?? 0) + 1
    const sent = call.path + JSON.stringify(call.body ?? '')
    for (const token of foreignIn(town.owners, home, text, sent)) foreign.push(`${what}: ${token}`)
    if (leaving === 'writing') return
    if (!call.expects.includes(status) && !mayNot(caller, status))
      strange.push(`${what}: ${text.slice(0, 200)}`)
    if (call.leaves !== undefined && status === 201) leaves.push([home, call.leaves])
  }

  await Promise.all(
    Array.from({ length: plan.width }, async () => {
      while (serial < plan.calls && strange.length < 100) await ask()
    }),
  )
  return { foreign, strange, statuses, hasty, left, leaves }
}

/** Tables of the platform whose rows belong to tenants. */
const OF_TENANTS = ['audit_logs', 'webhook_endpoints', 'api_keys', 'invitations', 'subscriptions']

/** All that stands in a tenant's own database, and in the platform's rows of it. */
async function rowsOf(
  provisioner: Provisioner,
  platform: string,
  { id, database }: Home,
): Promise<string> {
  const tables = await provisioner.rows<{ name: string }>(
    `select table_name as name from information_schema.tables where table_schema = ${quoteText(database)}`,
  )
  const rows = await Promise.all([
    ...tables.map(({ name }) =>
      provisioner.rows(`select * from ${quoteName(database)}.${quoteName(name)}`),
    ),
    ...OF_TENANTS.map((table) =>
      provisioner.rows(
        `select * from ${quoteName(platform)}.${quoteName(table)} where tenant_id = ${quoteText(id)}`,
      ),
    ),
  ])
  return JSON.stringify(rows)
}

/** What stands in tenants' rows and is another's. */
async function straysOf(provisioner: Provisioner, platform: string, town: Town): Promise<string[]> {
  const strays: string[] = []
  for (const home of town.homes) {
    const rows = await rowsOf(provisioner, platform, home)
    // that there is something to find
    if (!rows.includes(home.mark)) strays.push(`nothing of ${home.mark}'s own`)
    for (const token of foreignIn(town.owners, home, rows)) strays.push(`${home.mark}: ${token}`)
  }
  return strays
}

/** Transactions that are open in the tenants' databases or the platform's: what they do, by session and start. */
async function openTransactions(
  provisioner: Provisioner,
  databases: readonly string[],
): Promise<Map<string, string>> {
  const rows = await provisioner.rows<Record<'id' | 'started' | 'db' | 'doing', string>>(
    `select trx_mysql_thread_id as id, trx_started as started, processlist.db as db,
        coalesce(processlist.info, processlist.command) as doing
      from information_schema.innodb_trx
      join information_schema.processlist on processlist.id = innodb_trx.trx_mysql_thread_id
      where processlist.db in (${databases.map(quoteText).join(', ')})`,
  )
  return new Map(
    rows.map(({ id, started, db, doing }) => [`${id} since ${started}`, `${db}: ${doing}`]),
  )
}

/** Asks which of the transactions that were open at the first call are open still. */
function stillOpen(provisioner: Provisioner, databases: readonly string[]) {
  let first: Map<string, string> | undefined
  return async (): Promise<string[]> => {
    const now = await openTransactions(provisioner, databases)
    first ??= now
    return [...first].filter(([key]) => now.has(key)).map(([key, doing]) => `${key}: ${doing}`)
  }
}

const errorsOf = ({ output }: Serving): string[] =>
  output.said
    .split('\n')
    .filter((line) => line.includes('"level":"error"') && !line.includes('TENANT.EXPORT_BUSY'))

/** A door that keeps in one variable who is asking: what no server may do. */
async function openForgetful(upstream: string, agent: Agent, random: Random) {
  let asking: IncomingHttpHeaders = {}
  const server = createServer(async (incoming, response) => {
    asking = incoming.headers
    // a look-up of the token, say
    await sleep(random.below(5))
    const headers: Record<string, string> = { Authorization: asking.authorization ?? '' }
    const tenant = asking['x-tenant-id']
    if (typeof tenant === 'string') headers['X-Tenant-ID'] = tenant
    const url = `${upstream}${incoming.url}`
    const answer = await send(agent, url, { method: incoming.method ?? 'GET', headers })
    response.writeHead(answer?.status ?? 500).end(answer?.text)
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.dispose]: () => {
      server.closeAllConnections()
      server.close()
    },
  }
}

describe(`of four tenants behind two processes ${seeded}`, () => {
  test('the marks of others would be seen: one variable for whoever is asking is caught', async ({
    servers,
    client,
    town,
  }) => {
    const random = createRandom(seed)
    using forgetful = await openForgetful(servers[0]?.url ?? '', client, random)
    const owners: Owners = new Map(town.owners)
    const { foreign, strange } = await fly({
      town: { ...town, owners },
      urls: [forgetful.url],
      kinds: READS,
      calls: 500,
      width: 40,
      random,
      agent: client,
    })

    expect(foreign.length, seeded).toBeGreaterThan(50)
    expect(strange.length, seeded).toBeGreaterThan(0)
  })

  test(`each sees its own alone, in ${CALLS} calls of all kinds, whoever leaves early`, async ({
    environment,
    provisioner,
    servers,
    client,
    town,
  }) => {
    const platform = environment.VALIDONX_PLATFORM_DATABASE ?? ''
    const urls = servers.map(({ url }) => url)
    const flight = await fly({
      town,
      urls,
      kinds: { ...READS, ...REACHES, ...WRITES },
      calls: CALLS,
      width: WIDTH,
      random: createRandom(seed),
      agent: client,
      isHasty: true,
    })

    const { foreign, strange, statuses, hasty, left, leaves } = flight
    const said = `VALIDONX_TEST_SEED=${seed} ${JSON.stringify({ statuses, hasty, left })}`
    expect(foreign, said).toEqual([])
    expect(strange, said).toEqual([])
    // the weather was as bad as promised
    expect(hasty, said).toBeGreaterThan((CALLS / LEAVES) * 0.7)
    expect(left, said).toBeGreaterThan(hasty / 3)
    expect(leaves.length, said).toBeGreaterThan(CALLS / 200)
    const databases = [platform, ...town.homes.map(({ database }) => database)]
    // the servers go on relaying, sealing and delivering: new transactions come, those of the calls end
    await eventually(stillOpen(provisioner, databases), ({ length }) => length === 0)

    // nothing went astray, and nothing that was promised is missing
    expect(await straysOf(provisioner, platform, town), said).toEqual([])
    const names = new Map<Home, string[]>()
    for (const home of town.homes) {
      const rows = await provisioner.rows<{ name: string }>(
        `select customer_name as name from ${quoteName(home.database)}.licenses where customer_name is not null`,
      )
      names.set(
        home,
        rows.map(({ name }) => name),
      )
    }
    const lost = leaves.filter(
      ([home, name]) => names.get(home)?.filter((own) => own === name).length !== 1,
    )
    expect(lost, said).toEqual([])

    // and both processes answer as before
    expect(servers.flatMap(errorsOf), said).toEqual([])
    for (const url of urls) {
      const calm = await fly({
        town,
        urls: [url],
        kinds: READS,
        calls: 200,
        width: 4,
        random: createRandom(seed + 1),
        agent: client,
      })
      expect([calm.foreign, calm.strange], said).toEqual([[], []])
    }
  })

  test('a transaction that is left open would be seen', async ({ provisioner, town }) => {
    const [database = ''] = town.homes.map((home) => home.database)
    const forgotten = bare(provisioner, database).promise()
    await forgotten.query('start transaction')
    await forgotten.query('select count(*) from products for update')
    const look = stillOpen(provisioner, [database])
    const looks = [await look(), await look(), await look()]
    await forgotten.end()

    expect(looks.map((open) => open.length > 0)).toEqual([true, true, true])
    expect(await eventually(look, (open) => open.length === 0)).toEqual([])
  })

  test('a mark that went astray would be seen', async ({ environment, provisioner, town }) => {
    const [home, other] = town.homes as [Home, Home]
    await provisioner.run(
      `update ${quoteName(home.database)}.products set description = ${quoteText(other.mark)} where code = 'editor'`,
    )
    const platform = environment.VALIDONX_PLATFORM_DATABASE ?? ''

    expect(await straysOf(provisioner, platform, town), seeded).toEqual([
      `${home.mark}: ${other.mark}`,
    ])
  })
})

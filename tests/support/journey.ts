import { createConnection, type RowDataPacket } from 'mysql2/promise'
import { createApiKey } from '../../src/core/access/create-api-key.js'
import type { Context } from '../../src/core/context.js'
import { parseDatabaseUrl } from '../../src/core/db/server-address.js'
import { quoteName } from '../../src/core/db/sql.js'
import { invite } from '../../src/core/identity/invite.js'
import { enterTenant } from '../../src/core/tenants/scope.js'
import { listen } from '../../src/server/listen.js'
import { runCli } from './house.js'
import { issueFor } from './license.js'
import { dropPlatform, type Environment, freshEnvironment, open } from './platform.js'
import { mounted, type Site, TENANT_ROUTES, widenPlan } from './routes.js'
import { schemaOf } from './schema.js'

/** One to four bytes a character, and both kinds of quote: text that a wrong session setting damages. */
export const DELICATE = 'Łovelace 🚀 日本 Ñandú "q" \'s\' \\ ß'

const SLUG = 'acme'
const OWNER = 'ada@example.com'
const PASSWORD = 'correct horse battery staple'

export type Journey = {
  /** Steps that did not end as they should: `step: what it should say, what it said`. */
  readonly faults: readonly string[]
  /** Rows by table, as bytes, without what differs from run to run. */
  readonly stored: Readonly<Record<string, readonly string[]>>
  readonly schema: Readonly<Record<string, unknown>>
}

/**
 * Everything that validonx does, once, as an operator and their customers would: init, provision, issue,
 * user, serve on the runtime login, every route, health, doctor, migrate, billing and audit. Each step is
 * tried even if one before it failed.
 */
export async function takeJourney(
  databaseUrl: string,
  /** Something that happens to the server when the tenant is there and before it is served. */
  beforeServing: () => Promise<void> = async () => {},
): Promise<Journey> {
  const environment = freshEnvironment(databaseUrl, { VALIDONX_PORT: '0' })
  const faults: string[] = []
  const step = async (name: string, wanted: string, work: () => Promise<string>) => {
    const said = await work().catch((error: unknown) => describe(error))
    if (said !== wanted) faults.push(`${name}: ${wanted} expected, ${said}`)
  }
  try {
    await travel(environment, step, beforeServing)
    return { faults, ...(await readStored(environment)) }
  } finally {
    await dropPlatform(environment)
  }
}

/** What differs between two journeys: none if the stored bytes and the schema are the same. */
export function differencesBetween(plain: Journey, other: Journey): string[] {
  const tables = new Set([...Object.keys(plain.stored), ...Object.keys(other.stored)])
  const inRows = [...tables].flatMap((table) => {
    const [before, after] = [plain.stored[table] ?? [], other.stored[table] ?? []]
    const missing = without(before, after).map((row) => `${table} lacks ${row}`)
    return [...missing, ...without(after, before).map((row) => `${table} has ${row}`)]
  })
  const inSchema = Object.keys(plain.schema).filter(
    (part) => JSON.stringify(plain.schema[part]) !== JSON.stringify(other.schema[part]),
  )
  return [...inRows, ...inSchema.map((part) => `the schema differs: ${part}`)]
}

/** Rows of `these` that `those` do not have as often. */
function without(these: readonly string[], those: readonly string[]): string[] {
  const left = [...those]
  return these.filter((row) => {
    const index = left.indexOf(row)
    if (index >= 0) left.splice(index, 1)
    return index < 0
  })
}

type Step = (name: string, wanted: string, work: () => Promise<string>) => Promise<void>

async function travel(
  environment: Environment,
  step: Step,
  beforeServing: () => Promise<void>,
): Promise<void> {
  const cli = (argv: readonly string[], { input = '', exit = 0 } = {}) =>
    step(argv.join(' '), `exit ${exit}`, async () => {
      const run = await runCli(environment, argv, input)
      const why = run.exit === exit ? '' : ` ${`${run.said} ${run.out}`.trim().slice(0, 600)}`
      return `exit ${run.exit}${why}`
    })
  let runtimeUrl = ''
  await step('init', 'exit 0', async () => {
    const { exit, out, said } = await runCli(environment, ['init', '--json'])
    runtimeUrl = exit === 0 ? (JSON.parse(out) as { runtime_url: string }).runtime_url : ''
    return exit === 0 ? 'exit 0' : `exit ${exit} ${said}`
  })
  if (runtimeUrl === '') return
  await cli(['user', 'create', OWNER, '--name', DELICATE, '--password-stdin'], { input: PASSWORD })
  await cli([
    'tenant',
    'provision',
    SLUG,
    '--name',
    DELICATE,
    '--plan',
    'enterprise',
    '--owner-email',
    OWNER,
  ])
  await cli([
    ...['license', 'issue', '--tenant', SLUG, '--product', 'app', '--create-product', DELICATE],
    ...['--customer-name', DELICATE, '--type', 'perpetual', '-e', 'exports=true'],
  ])
  await beforeServing()
  await step('serve', 'served', async () => {
    await serving(environment, runtimeUrl, step)
    return 'served'
  })
  await cli(['tenant', 'health', SLUG])
  await cli(['doctor'])
  await cli(['tenant', 'migrate', '--check'])
  await cli(['billing', 'run'])
  await cli(['usage', 'rebuild', '--verify', '--tenant', SLUG])
  await step('audit verify', 'all rows are sealed', async () => {
    const { exit, out, said } = await runCli(environment, ['audit', 'verify', '--json'])
    const { verified, unsealed } = JSON.parse(out || '{}') as Record<string, number>
    return exit === 0 && Number(verified) > 0 && unsealed === 0
      ? 'all rows are sealed'
      : `exit ${exit}, ${verified} sealed, ${unsealed} not: ${said}`
  })
}

/** What `validonx serve` does, in this process and with the runtime login alone. */
async function serving(environment: Environment, runtimeUrl: string, step: Step): Promise<void> {
  const { VALIDONX_DATABASE_URL: _, ...rest } = environment
  await using operator = await open(environment)
  await using ctx = await open({ ...rest, VALIDONX_RUNTIME_URL: runtimeUrl }, { role: 'runtime' })
  const server = await listen(ctx)
  try {
    await step('every route', 'all tried', async () => {
      await callAll(server.url, operator, step)
      return 'all tried'
    })
  } finally {
    await step('stop serving', 'true', async () => String(await server.stop()))
  }
}

type Answer = { readonly status: number; readonly text: string }

async function callAll(url: string, ctx: Context, step: Step): Promise<void> {
  const call = async (
    method: string,
    path: string,
    headers: Readonly<Record<string, string>> = {},
    body?: unknown,
  ): Promise<Answer> => {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: {
        ...headers,
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    return { status: response.status, text: await response.text() }
  }
  const expecting = (name: string, status: number, work: () => Promise<Answer>, holds = '') =>
    step(name, `${status}`, async () => {
      const answer = await work()
      if (answer.status !== status) return `${answer.status} ${answer.text.slice(0, 300)}`
      return answer.text.includes(holds)
        ? `${status}`
        : `${status} without ${holds}: ${answer.text}`
    })

  const scope = await enterTenant(ctx, SLUG)
  const rateLimit = { requests: 1_000_000, periodSeconds: 60 }
  const { secret } = await createApiKey(ctx, { slug: SLUG, name: 'journey', rateLimit })
  const license = await issueFor(scope, { entitlements: { exports: true, 'activations.max': 9 } })
  const key = { 'X-API-Key': secret }
  const on = (path: string) => `/v1/integration${path}`
  const ofLicense = { license_key: license.license.key }
  for (const path of ['/healthz', '/readyz', '/openapi.json', '/docs'])
    await expecting(`GET ${path}`, 200, () => call('GET', path))
  await expecting(
    'validate a license',
    200,
    () => call('POST', on(`/licenses/${license.license.key}/validate`), key),
    '"valid":true',
  )
  let activation = ''
  await expecting('activate a license', 201, async () => {
    const body = { ...ofLicense, instance_id: 'build-7', metadata: { note: DELICATE } }
    const answer = await call('POST', on('/activations'), key, body)
    const found = JSON.parse(answer.text) as { data?: { activation?: { id: string } } }
    activation = found.data?.activation?.id ?? ''
    return answer
  })
  await expecting('validate an activation', 200, () =>
    call('POST', on(`/activations/${activation}/validate`), key),
  )
  await expecting('check entitlements', 200, () =>
    call('POST', on('/entitlements/check'), key, { ...ofLicense, features: ['exports'] }),
  )
  await expecting('record usage', 202, () =>
    call('POST', on('/usage/record'), key, { ...ofLicense, metric: 'exports', quantity: 3 }),
  )

  let token = ''
  await expecting('log in', 200, async () => {
    const answer = await call('POST', '/v1/auth/login', {}, { email: OWNER, password: PASSWORD })
    token = (JSON.parse(answer.text) as { data?: { token?: string } }).data?.token ?? ''
    return answer
  })
  const owner = { Authorization: `Bearer ${token}` }
  await expecting('GET /auth/me', 200, () => call('GET', '/v1/auth/me', owner), inJson(DELICATE))
  await expecting('accept an invitation', 201, async () => {
    const input = { email: 'grace@example.com', role: 'viewer' }
    const { token: invitation } = (await invite(ctx, { id: scope.tenant.id }, input)).result
    const body = { token: invitation, name: DELICATE, password: PASSWORD }
    return call('POST', '/v1/auth/invitations/accept', {}, body)
  })

  await widenPlan(ctx)
  const site = siteOf(ctx, scope, secret)
  for (const [name, route] of Object.entries(TENANT_ROUTES)) {
    const { method, prepare, success } = mounted(name.replace(' ', ' /v1/tenant'), route)
    await expecting(name, success, async () => {
      const { path, body } = await prepare(site)
      return call(method, path, owner, body)
    })
  }
  await expecting(
    'text comes back as it was sent',
    200,
    async () => {
      const body = { product: 'app', customer_name: DELICATE }
      const made = await call('POST', '/v1/tenant/licenses', owner, body)
      const { data } = JSON.parse(made.text) as { data?: { license?: { id: string } } }
      return call('GET', `/v1/tenant/licenses/${data?.license?.id}`, owner)
    },
    inJson(DELICATE),
  )
  await expecting('a product with licenses is kept', 409, () =>
    call('DELETE', `/v1/tenant/products/${license.license.productId}`, owner),
  )
  await expecting('POST /auth/logout', 200, () => call('POST', '/v1/auth/logout', owner))
}

const inJson = (text: string): string => JSON.stringify(text)

function siteOf(ctx: Context, scope: Site['scope'], apiKey: string): Site {
  let names = 0
  return {
    ctx,
    id: scope.tenant.id,
    slug: SLUG,
    scope,
    apiKey,
    issue: async (wish = {}) => (await issueFor(scope, { type: 'perpetual', ...wish })).license,
    name() {
      names += 1
      return `${SLUG}-${names}`
    },
  }
}

/** What depends on who works when, and on how fast: which webhooks there are when an event is sealed. */
const VOLATILE = /^(leases|webhook_deliveries)$/
const VOLATILE_COLUMN = /^(duration_ms|failing_since)$/

/** The bytes of every row, read on a connection of its own that none of our settings reach. */
async function readStored({
  VALIDONX_DATABASE_URL = '',
  VALIDONX_PLATFORM_DATABASE = '',
  VALIDONX_TENANT_PREFIX = '',
}: Environment): Promise<Pick<Journey, 'stored' | 'schema'>> {
  const { address, login } = parseDatabaseUrl(VALIDONX_DATABASE_URL, {})
  const { host, port, socketPath } = address
  const connection = await createConnection({
    ...(socketPath === undefined ? { host, port } : { socketPath }),
    ...login,
    charset: 'utf8mb4_bin',
    supportBigNumbers: true,
  })
  const rows = async (sql: string, values: readonly string[] = []) =>
    (await connection.query<RowDataPacket[]>(sql, [...values]))[0]
  try {
    await rows(
      "set names utf8mb4, session sql_mode = '', sql_select_limit = 18446744073709551615, sql_big_selects = 1, max_sort_length = 1024",
    )
    const stored: Record<string, readonly string[]> = {}
    const schema: Record<string, unknown> = {}
    const word = VALIDONX_TENANT_PREFIX.slice('vxt_'.length, -1)
    const databases = {
      platform: VALIDONX_PLATFORM_DATABASE,
      tenant: `${VALIDONX_TENANT_PREFIX}${SLUG}`,
    }
    for (const [plane, database] of Object.entries(databases)) {
      const columns = await rows(
        'select table_name as t, column_name as c, lower(data_type) as type from information_schema.columns where table_schema = ? order by 1, ordinal_position',
        [database],
      )
      for (const table of new Set(columns.map(({ t }) => String(t)))) {
        if (VOLATILE.test(table)) continue
        const fields = columns
          .filter(({ t, c }) => t === table && !VOLATILE_COLUMN.test(c))
          .map(({ c, type }) => fieldOf(c, type))
        const found = await rows(
          `select ${fields.join(', ')} from ${quoteName(database)}.${quoteName(table)}`,
        )
        stored[`${plane}.${table}`] = found.map((row) => lineOf(row, word)).sort()
      }
      Object.assign(schema, partsOf(plane, await schemaOf({ rows } as never, database)))
    }
    return { stored, schema }
  } finally {
    connection.destroy()
  }
}

const partsOf = (plane: string, schema: object): Record<string, unknown> =>
  Object.fromEntries(Object.entries(schema).map(([part, value]) => [`${plane} ${part}`, value]))

/** Text as its bytes, times and random bytes as whether and how long they are. */
function fieldOf(column: string, type: string): string {
  const name = quoteName(column)
  if (/char|text|json|enum/.test(type)) return `hex(${name}) as ${quoteName(`text ${column}`)}`
  if (/binary|blob/.test(type)) return `length(${name}) as ${name}`
  // numbers that a server gives out, and the order in which events are sealed, differ from run to run
  const isNumber = !/char|text/.test(type) && /^(id|index|sequence)$|_id$/.test(column)
  if (/date|time/.test(type) || isNumber) return `${name} is not null as ${name}`
  return name
}

const RANDOM: readonly [RegExp, string][] = [
  [/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, '<id>'],
  [/\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?/g, '<time>'],
  [/\b[0-9A-Z]{4}(-[0-9A-Z]{4}){3}\b/g, '<license key>'],
  [/\b(vx|vk|lic)_\w{6}\b/g, '<prefix>'],
  [/\bx[a-z0-9]{5,7}(?=@)/g, '<word>'],
  [/(?<=^(object|actor)_id=|"user_id": ?")\d+/g, '<number>'],
  [/(?<=^last_four=|"last_four": ?")\w{4}/g, '<four>'],
  [/\$(argon2\w*|2y)\$[^"\s]+/g, '<hash>'],
  [/(?<![\w@-])(?=[\w+/|-]*\d)(?=[\w+/|-]*[A-Za-z])[\w+/|-]{10,}=*/g, '<random>'],
]

function lineOf(row: Readonly<Record<string, unknown>>, word: string): string {
  const fields = Object.entries(row).map(([column, value]) => {
    if (!column.startsWith('text ')) return `${column}=${String(value)}`
    if (value === null) return `${column.slice('text '.length)}=null`
    // invalid UTF-8 shows up as U+FFFD, doubly encoded text as what it was taken for
    const text = Buffer.from(String(value), 'hex').toString('utf8').replaceAll(word, '<word>')
    const field = `${column.slice('text '.length)}=${text}`
    return RANDOM.reduce((said, [form, by]) => said.replace(form, by), field)
  })
  return fields.join(' ')
}

function describe(error: unknown): string {
  const { code, message, cause } = error as { code?: string; message?: string; cause?: unknown }
  const because = cause === undefined ? '' : `, because ${describe(cause)}`
  return `${code ?? ''} ${message ?? String(error)}${because}`.trim().slice(0, 600)
}

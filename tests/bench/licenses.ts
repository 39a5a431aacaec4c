import { randomUUID } from 'node:crypto'
import { Agent, request } from 'node:http'
import { createPool, type Pool } from 'mysql2/promise'
import { addMember } from '../../src/core/identity/change-members.js'
import { createToken } from '../../src/core/identity/create-token.js'
import { createUser } from '../../src/core/identity/create-user.js'
import { newId } from '../../src/core/ids.js'
import { issueLicenses } from '../../src/core/licensing/issue-licenses.js'
import { mintLicenseKey } from '../../src/core/licensing/license.js'
import { createProduct } from '../../src/core/products/create-product.js'
import { startThrowAwayServer } from '../support/throw-away-server.js'
import { type Bench, figure } from './report.js'
import { interleave, ratiosOf, spreadOf } from './rounds.js'
import { openShop, type Shop, serveShop } from './shop.js'

const LICENSES = 100_000
const PRODUCTS = 20
const ISSUED_AT_ONCE = 1_000
const READERS = 4
const QUERY = 'limit=50&product=p7&status=active'
/** The page that a reader who has gone through half of what the filter finds is on. */
const DEEP_OFFSET = Math.floor(LICENSES / PRODUCTS / 2)

/**
 * A page of 50 licenses out of 100,000 with a filter, and 1,000 issued in one call, over HTTP; against the same
 * statements by the bare driver without HTTP, and against what is commonly done: count and offset, one by one.
 */
export const benchLicenses: Bench = async ({ quick, signal, note }) => {
  await using server = await startThrowAwayServer({})
  const shop = await openShop(server, 0)
  await using _ = shop.ctx
  const count = quick ? LICENSES / 10 : LICENSES
  note(`issuing ${count} licenses`)
  await fill(shop, count, signal)
  const token = await makeOwner(shop)
  await using ours = await serveShop(shop, server)
  const pool = createPool({ ...shop.bare, connectionLimit: READERS, timezone: 'Z' })
  const agent = new Agent({ keepAlive: true, maxSockets: READERS })
  try {
    const call = caller(ours.url, token, agent)
    const first = JSON.parse(await call('GET', `/licenses?${QUERY}`)) as Page
    const deep = await cursorAfter(call, quick ? DEEP_OFFSET / 10 : DEEP_OFFSET)
    if (first.data.items.length !== 50) throw new Error('the filter finds too little')
    const [[product]] = (await pool.query(
      "select id from products where code = 'p7'",
    )) as never as [[{ id: string }]]
    const seconds = quick ? 1 : 3
    const reads = {
      ours: () => call('GET', `/licenses?${QUERY}`),
      'ours, deep': () => call('GET', `/licenses?${QUERY}&cursor=${deep}`),
      floor: () => barePage(pool, product.id),
      peer: () => offsetPage(pool, product.id, 0),
      'peer, deep': () => offsetPage(pool, product.id, quick ? DEEP_OFFSET / 10 : DEEP_OFFSET),
    }
    const perSecond = await interleave(
      Object.keys(reads) as (keyof typeof reads)[],
      quick ? 2 : 7,
      signal,
      (name) => rate(reads[name], seconds, signal),
    )
    const issuing = {
      ours: () =>
        call('POST', '/licenses/batch', {
          licenses: [{ product: 'p0', quantity: ISSUED_AT_ONCE }],
        }),
      floor: () => bareIssue(pool, product.id),
      peer: () => issueOneByOne(pool, product.id),
    }
    const took = await interleave(
      ['ours', 'floor', 'peer'] as const,
      quick ? 2 : 9,
      signal,
      (name) => millisecondsOf(issuing[name]),
    )
    const list = `50 of ${count} licenses by product and state, ${READERS} readers`
    const issue = `${ISSUED_AT_ONCE} licenses in one call`
    return {
      bench: 'licenses',
      engine: server.version,
      figures: [
        figure(
          list,
          'ours over HTTP / floor without',
          '',
          ratiosOf(perSecond.ours, perSecond.floor),
        ),
        figure(
          list,
          'ours / count and offset without HTTP',
          '',
          ratiosOf(perSecond.ours, perSecond.peer),
        ),
        figure(
          `${list}, half-way`,
          'ours / count and offset without HTTP',
          '',
          ratiosOf(perSecond['ours, deep'], perSecond['peer, deep']),
        ),
        figure(list, 'ours', 'pages/s', spreadOf(perSecond.ours)),
        figure(`${list}, half-way`, 'ours', 'pages/s', spreadOf(perSecond['ours, deep'])),
        figure(
          issue,
          'ours over HTTP / floor without, in time',
          '',
          ratiosOf(took.ours, took.floor),
        ),
        figure(issue, 'one by one / ours, in time', '', ratiosOf(took.peer, took.ours)),
        figure(issue, 'ours', 'ms', spreadOf(took.ours)),
      ],
    }
  } finally {
    agent.destroy()
    await pool.end()
  }
}

type Page = {
  readonly data: {
    readonly items: readonly { readonly id: string }[]
    readonly next_cursor: string | null
  }
}
type Call = (method: 'GET' | 'POST', path: string, body?: unknown) => Promise<string>

async function fill({ scope }: Shop, count: number, signal: AbortSignal): Promise<void> {
  for (let index = 0; index < PRODUCTS; index += 1)
    await createProduct(scope, { code: `p${index}`, name: `Product ${index}` })
  for (let made = 0; made < count; made += ISSUED_AT_ONCE) {
    signal.throwIfAborted()
    await issueLicenses(scope, {
      licenses: Array.from({ length: PRODUCTS }, (_, index) => ({
        product: `p${index}`,
        quantity: ISSUED_AT_ONCE / PRODUCTS,
        customer_name: `Customer ${made + index}`,
        customer_email: `c${made + index}@example.com`,
        entitlements: { exports: true, 'activations.max': 5 },
      })),
    })
  }
}

async function makeOwner({ ctx, scope }: Shop): Promise<string> {
  const user = 'owner@example.com'
  await createUser(ctx, { email: user, name: 'Owner', password: randomUUID() })
  await addMember(ctx, { id: scope.tenant.id }, { user, role: 'owner' })
  return (await createToken(ctx, { user })).plainText
}

const caller =
  (url: string, token: string, agent: Agent): Call =>
  (method, path, body) =>
    new Promise((done, fail) => {
      const text = body === undefined ? undefined : JSON.stringify(body)
      const sending = request(
        `${url}/v1/tenant${path}`,
        {
          method,
          agent,
          headers: {
            Authorization: `Bearer ${token}`,
            ...(text ? { 'Content-Type': 'application/json' } : {}),
          },
        },
        (response) => {
          const chunks: Buffer[] = []
          response.on('data', (chunk: Buffer) => chunks.push(chunk))
          response.on('error', fail)
          response.on('end', () => {
            const answer = Buffer.concat(chunks).toString()
            if ((response.statusCode ?? 500) < 300) done(answer)
            else fail(new Error(answer))
          })
        },
      )
      sending.on('error', fail)
      sending.end(text)
    })

async function cursorAfter(call: Call, rows: number): Promise<string> {
  let cursor = ''
  for (let seen = 0; seen < rows; seen += 100) {
    const path = `/licenses?${QUERY.replace('limit=50', 'limit=100')}${cursor && `&cursor=${cursor}`}`
    cursor = (JSON.parse(await call('GET', path)) as Page).data.next_cursor ?? ''
  }
  return cursor
}

/** How many a second, by as many readers as the floor has connections. */
async function rate(
  work: () => Promise<unknown>,
  seconds: number,
  signal: AbortSignal,
): Promise<number> {
  const end = performance.now() + seconds * 1000
  let done = 0
  const reader = async () => {
    while (performance.now() < end) {
      signal.throwIfAborted()
      await work()
      done += 1
    }
  }
  await Promise.all(Array.from({ length: READERS }, reader))
  return done / seconds
}

async function millisecondsOf(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now()
  await work()
  return performance.now() - begun
}

const ACTIVE =
  "product_id = ? and status = 'active' and not (expires_at is not null and expires_at + interval grace_days day <= ?)"

/** The statement of the list and its text, without a server, a token or a tenant. */
async function barePage(pool: Pool, productId: string): Promise<string> {
  const [rows] = await pool.query(
    `select * from licenses where ${ACTIVE} order by id desc limit 51`,
    [productId, new Date()],
  )
  return JSON.stringify(rows)
}

/** How a list with page numbers is commonly made: all are counted, and what comes before is read and thrown away. */
async function offsetPage(pool: Pool, productId: string, offset: number): Promise<string> {
  const values = [productId, new Date()]
  const [[total]] = (await pool.query(
    `select count(*) as total from licenses where ${ACTIVE}`,
    values,
  )) as never as [[{ total: number }]]
  const [rows] = await pool.query(
    `select * from licenses where ${ACTIVE} order by created_at desc, id desc limit 50 offset ${offset}`,
    values,
  )
  return JSON.stringify({ total, rows })
}

const licenseRow = (productId: string, at: Date) => [
  newId(),
  productId,
  mintLicenseKey(),
  'subscription',
  'active',
  at,
  0,
  '{}',
  '{}',
  0,
  1,
  at,
  at,
]
const LICENSE_INTO =
  'insert into licenses (id, product_id, license_key, type, status, expires_at, grace_days, entitlements, metadata, activations_count, revision, created_at, updated_at) values ?'
const eventRow = (id: string, at: Date) => [
  newId(),
  at,
  'license.created',
  'license',
  id,
  'user',
  '1',
  'owner@example.com',
  '{"after":{"product":"p7","type":"subscription","expires_at":null}}',
  1,
]
const EVENT_INTO =
  'insert into outbox (event_id, occurred_at, action, object_type, object_id, actor_type, actor_id, actor_name, changes, schema_version) values ?'
const COUNT =
  "update usage_counters set value = value + ? where code = 'licenses.max' and subject = 'tenant'"

async function bareIssue(pool: Pool, productId: string): Promise<void> {
  const at = new Date()
  const licenses = Array.from({ length: ISSUED_AT_ONCE }, () => licenseRow(productId, at))
  await inOne(pool, async (query) => {
    await query(COUNT, [ISSUED_AT_ONCE])
    await query(LICENSE_INTO, [licenses])
    await query(EVENT_INTO, [licenses.map(([id]) => eventRow(String(id), at))])
  })
}

async function issueOneByOne(pool: Pool, productId: string): Promise<void> {
  for (let index = 0; index < ISSUED_AT_ONCE; index += 1) {
    const at = new Date()
    const license = licenseRow(productId, at)
    await inOne(pool, async (query) => {
      await query(COUNT, [1])
      await query(LICENSE_INTO, [[license]])
      await query(EVENT_INTO, [[eventRow(String(license[0]), at)]])
    })
  }
}

async function inOne(
  pool: Pool,
  work: (query: (sql: string, values: unknown[]) => Promise<unknown>) => Promise<void>,
): Promise<void> {
  const connection = await pool.getConnection()
  try {
    await connection.query('begin')
    await work((sql, values) => connection.query(sql, values))
    await connection.query('commit')
  } finally {
    connection.release()
  }
}

import mysql, { type Connection, type RowDataPacket } from 'mysql2/promise'
import { describe, expect, inject } from 'vitest'
import type { Context } from '../../src/core/context.js'
import { parseDatabaseUrl } from '../../src/core/db/server-address.js'
import { newId } from '../../src/core/ids.js'
import { overrideEntitlement } from '../../src/core/subscriptions/override-entitlement.js'
import type { TenantScope } from '../../src/core/tenants/scope.js'
import { seed } from '../support/campaign.js'
import { eventually } from '../support/eventually.js'
import { test as house } from '../support/house.js'
import { makeMember } from '../support/member.js'
import { startServers } from '../support/process.js'
import { createRandom } from '../support/random.js'
import { openShop } from '../support/shop.js'

const LIMIT = 100
const CALLS = 200
const FREED = 30
/** Far beyond what they take. */
const PATIENCE = { timeout: 300_000 }
const CONNECTIONS = 20

const random = createRandom(seed)
const seeded = `(VALIDONX_TEST_SEED=${random.seed})`

/** What is counted, and how much one call asks for. */
type Code = 'products.max' | 'licenses.max' | 'activations.total' | 'webhook_endpoints.max'

type Answer = {
  readonly status: number
  readonly data?: Readonly<Record<string, unknown>> | undefined
  readonly error?: { readonly code: string; readonly details: unknown } | undefined
}
/** One call of a race: how much it asked for, what came back, and what it made. */
type Outcome = Answer & { readonly quantity: number; readonly ids: readonly string[] }

type Wish = { readonly path: string; readonly body?: object; readonly quantity?: number }

type Send = (wish: Wish & { readonly method?: string }) => Promise<Outcome>

/** A tenant that may have a hundred of something, and a way to ask both processes for it. */
type Desk = { readonly scope: TenantScope; readonly send: Send }

const test = house
  .extend('servers', { scope: 'file' }, async ({ environment }, { onCleanup }) => {
    const servers = await startServers(environment, 2, onCleanup, {
      // the question is who gets in, not how soon
      VALIDONX_ACQUIRE_TIMEOUT: '60',
    })
    return servers.map(({ url }) => url)
  })
  .extend('deskOf', { scope: 'file' }, ({ ctx, servers }) => async (code: Code): Promise<Desk> => {
    const { slug, scope, apiKey } = await openShop(ctx)
    await overrideEntitlement(ctx, scope, { code, value: LIMIT })
    const { token } = await makeMember(ctx, slug, 'developer')
    let turn = random.below(2)
    return {
      scope,
      /** To the one process and the other in turn. */
      async send({ path, body, quantity = 1, method = 'POST' }) {
        const ask = () => {
          turn += 1
          return fetch(`${servers[turn % servers.length]}/v1${path}`, {
            method,
            headers: {
              Connection: 'keep-alive',
              Authorization: `Bearer ${token}`,
              'X-API-Key': apiKey,
              ...(body ? { 'Content-Type': 'application/json' } : {}),
            },
            ...(body ? { body: JSON.stringify(body) } : {}),
          })
        }
        // a machine that is too slow for so many says that nothing was done, and to ask again
        const response = await eventually(ask, ({ status }) => status !== 503)
        const { data, error } = (await response.json()) as Answer
        return { status: response.status, data, error, quantity, ids: idsOf(data) }
      },
    }
  })
  .extend('bare', { scope: 'file' }, async ({ ctx: _ }, { onCleanup }) => {
    const { address, login } = parseDatabaseUrl(inject('databaseUrl'), {})
    const { host, port, socketPath } = address
    const place = socketPath ? { socketPath } : { host, port }
    const connections = await Promise.all(
      Array.from({ length: CONNECTIONS }, () =>
        mysql.createConnection({ ...place, user: login.user, password: login.password }),
      ),
    )
    onCleanup(async () => {
      for (const connection of connections) await connection.end()
    })
    return connections
  })

/** The ids in an answer, of one thing or of many. */
function idsOf(data: Answer['data']): string[] {
  const [first] = Object.values(data ?? {})
  const things = (Array.isArray(first) ? first : [first]) as ({ id?: string } | undefined)[]
  return things.flatMap((thing) => thing?.id ?? [])
}

/** What stands after a race: the rows, the counter, and what was told of their making. */
type Standing = {
  readonly rows: readonly string[]
  readonly counter: number
  readonly told: readonly string[]
}

const TABLES: Readonly<Record<Exclude<Code, 'webhook_endpoints.max'>, [string, string]>> = {
  'products.max': ['products', 'product'],
  'licenses.max': ['licenses', 'license'],
  'activations.total': ['activations', 'activation'],
}

async function standingOf(ctx: Context, scope: TenantScope, code: Code): Promise<Standing> {
  const [value] = await scope.db('usage_counters').where({ code, subject: 'tenant' }).pluck('value')
  const counter = Number(value)
  if (code === 'webhook_endpoints.max') {
    const own = { tenant_id: scope.tenant.id }
    const action = 'webhook_endpoint.created'
    return {
      rows: await ctx.platform('webhook_endpoints').where(own).whereNotNull('url').pluck('id'),
      counter,
      told: await ctx
        .platform('audit_logs')
        .where({ ...own, action })
        // the one that provisioning made has no address, and is none yet
        .whereRaw("json_value(changes, '$.after.url') is not null")
        .pluck('object_id'),
    }
  }
  const [table, object] = TABLES[code]
  const rows =
    code === 'products.max' ? scope.db(table) : scope.db(table).whereNot('status', 'revoked')
  return {
    rows: await rows.pluck('id'),
    counter,
    told: await scope
      .db('outbox')
      .where({ action: `${object}.created` })
      .pluck('object_id'),
  }
}

/**
 * What must not be said of calls that raced for the room below a limit.
 *
 * @param room how much there was of it
 * @param gone how many of those that were told of are no more
 */
function faultsOf(
  code: Code,
  outcomes: readonly Outcome[],
  { rows, counter, told }: Standing,
  { room = LIMIT, gone = 0 }: { room?: number; gone?: number } = {},
): string[] {
  const faults: string[] = []
  const made = outcomes.filter(({ status }) => status < 300)
  const total = made.reduce((sum, { quantity }) => sum + quantity, 0)
  if (total !== room) faults.push(`${total} made where there was room for ${room}`)
  if (rows.length !== LIMIT) faults.push(`${rows.length} rows at a limit of ${LIMIT}`)
  if (counter !== rows.length) faults.push(`${rows.length} rows, ${counter} counted`)
  if (told.length !== rows.length + gone)
    faults.push(`${rows.length + gone} were made, ${told.length} told`)
  const [standing, known] = [new Set(rows), new Set(told)]
  if (rows.some((id) => !known.has(id))) faults.push('a row that was not told of')
  for (const { status, ids, quantity } of made) {
    if (status !== 201 || ids.length !== quantity) faults.push(`${status} for ${ids.length}`)
    if (ids.some((id) => !standing.has(id) || !known.has(id)))
      faults.push('an answer without its row and its event')
  }
  for (const { status, error, quantity } of outcomes.filter((each) => each.status >= 300)) {
    const { current = -1, ...details } = (error?.details ?? {}) as { current?: number }
    const isPlain =
      status === 403 &&
      error?.code === 'ENTITLEMENTS.LIMIT_EXCEEDED' &&
      JSON.stringify(details) === JSON.stringify({ code, limit: LIMIT }) &&
      current <= LIMIT &&
      current + quantity > LIMIT
    if (!isPlain) faults.push(`${quantity} refused with ${status} ${JSON.stringify(error)}`)
  }
  return [...new Set(faults)]
}

/** All at once. */
const race = ({ send }: Desk, wishes: readonly Wish[]): Promise<Outcome[]> =>
  Promise.all(wishes.map(send))

const wishes = (count: number, of: (index: number) => Wish): Wish[] =>
  Array.from({ length: count }, (_, index) => of(index))

const shuffled = <T>(list: readonly T[]): T[] =>
  list
    .map((item) => ({ item, place: random.next() }))
    .sort((one, other) => one.place - other.place)
    .map(({ item }) => item)

const product = (): Wish => {
  const code = `p-${newId()}`
  return { path: '/tenant/products', body: { code, name: code } }
}
const endpoint = (): Wish => ({
  path: '/tenant/webhooks',
  body: { url: `https://hooks.example.com/${newId()}`, events: ['license.created'] },
})
const license = (): Wish => ({ path: '/tenant/licenses', body: { product: 'editor' } })
const licenses = (quantity: number): Wish => ({
  path: '/tenant/licenses/batch',
  body: { licenses: [{ product: 'editor', quantity }] },
  quantity,
})

/** Takes some of them away, each twice at once, and answers how many calls did so. */
async function takeAway(
  { send }: Desk,
  ids: readonly string[],
  wishOf: (id: string) => Wish & { method?: string },
): Promise<number> {
  const answers = await Promise.all([...ids, ...ids].map((id) => send(wishOf(id))))
  const refusals = answers.filter(({ status }) => status !== 200)
  expect(new Set(refusals.map(({ status }) => status > 399 && status < 500))).toEqual(
    new Set([true]),
  )
  return answers.length - refusals.length
}

describe(`of two hundred at once, in two processes, a hundred get in ${seeded}`, () => {
  test(
    'more would be seen: counting and then inserting is caught',
    PATIENCE,
    async ({ ctx, deskOf, bare }) => {
      const { scope } = await deskOf('products.max')
      for (const connection of bare)
        await connection.changeUser({ database: scope.tenant.database })
      let outcomes: Outcome[] = []
      let standing = await standingOf(ctx, scope, 'products.max')
      // it need not show at every try
      for (let tries = 0; tries < 20 && standing.rows.length <= LIMIT; tries += 1) {
        await scope.db('products').delete()
        outcomes = (
          await Promise.all(
            bare.map((each) => inTurn(CALLS / CONNECTIONS, () => countThenInsert(each))),
          )
        ).flat()
        standing = await standingOf(ctx, scope, 'products.max')
      }

      const faults = faultsOf('products.max', outcomes, standing)
      expect(standing.rows.length).toBeGreaterThan(LIMIT)
      expect(faults).toEqual(
        expect.arrayContaining([
          expect.stringMatching(/^1\d\d made where there was room for 100$/),
          expect.stringMatching(/^1\d\d rows at a limit of 100$/),
        ]),
      )
    },
  )

  test('products, and a deleted one makes room for one', PATIENCE, async ({ ctx, deskOf }) => {
    const desk = await deskOf('products.max')
    const first = await race(desk, wishes(CALLS, product))
    const full = await standingOf(ctx, desk.scope, 'products.max')
    const leaving = shuffled(full.rows).slice(0, FREED)
    const left = await takeAway(desk, leaving, (id) => ({
      path: `/tenant/products/${id}`,
      method: 'DELETE',
    }))
    const after = await standingOf(ctx, desk.scope, 'products.max')
    const second = await race(desk, wishes(FREED * 2, product))
    const refilled = await standingOf(ctx, desk.scope, 'products.max')

    expect(faultsOf('products.max', first, full), seeded).toEqual([])
    expect([left, after.rows.length, after.counter], seeded).toEqual([FREED, 70, 70])
    const room = { room: FREED, gone: FREED }
    expect(faultsOf('products.max', second, refilled, room), seeded).toEqual([])
  })

  test(
    'licenses, of those that are issued together all or none',
    PATIENCE,
    async ({ ctx, deskOf }) => {
      const desk = await deskOf('licenses.max')
      await desk.send({ path: '/tenant/products', body: { code: 'editor', name: 'Editor' } })
      const mixed = (single: number, batches: number) =>
        shuffled([
          ...wishes(single, license),
          ...wishes(batches, () => licenses(1 + random.below(9))),
        ])
      // so many one by one that no room is left over, however the batches fall
      const first = await race(desk, mixed(LIMIT, CALLS - LIMIT))
      const full = await standingOf(ctx, desk.scope, 'licenses.max')
      const leaving = shuffled(full.rows).slice(0, FREED)
      const left = await takeAway(desk, leaving, (id) => ({
        path: `/tenant/licenses/${id}/revoke`,
      }))
      const after = await standingOf(ctx, desk.scope, 'licenses.max')
      const second = await race(desk, mixed(FREED, FREED))
      const refilled = await standingOf(ctx, desk.scope, 'licenses.max')

      expect(faultsOf('licenses.max', first, full), seeded).toEqual([])
      expect(first.filter(({ quantity, status }) => quantity > 1 && status === 403)).not.toEqual([])
      expect([left, after.rows.length, after.counter], seeded).toEqual([FREED, 70, 70])
      const room = { room: FREED, gone: FREED }
      expect(faultsOf('licenses.max', second, refilled, room), seeded).toEqual([])
    },
  )

  test(
    'activations, over ten licenses, also where a license ends with all of its own',
    PATIENCE,
    async ({ ctx, deskOf }) => {
      const desk = await deskOf('activations.total')
      await desk.send({ path: '/tenant/products', body: { code: 'editor', name: 'Editor' } })
      const { data } = await desk.send(licenses(10))
      const keys = (data?.items as { key: string }[] | undefined)?.map(({ key }) => key) ?? []
      const seatOf = (key: string | undefined): Wish => ({
        path: '/integration/activations',
        body: { license_key: key, instance_id: newId() },
      })
      const first = await race(
        desk,
        wishes(CALLS, (index) => seatOf(keys[index % keys.length])),
      )
      const full = await standingOf(ctx, desk.scope, 'activations.total')
      const ended = keys.slice(0, 2)
      const ofEnded = await seatsOf(desk.scope, ended)
      const rest = shuffled(full.rows.filter((id) => !ofEnded.includes(id)))
      // the seats of a license that ends, some of which end by themselves at that moment
      const meanwhile = takeAway(desk, [...ofEnded.slice(0, 3), ...rest.slice(0, FREED)], (id) => ({
        path: `/tenant/activations/${id}/revoke`,
      }))
      await Promise.all(ended.map((key) => desk.send({ path: `/tenant/licenses/${key}/revoke` })))
      await meanwhile
      const after = await standingOf(ctx, desk.scope, 'activations.total')
      const gone = ofEnded.length + FREED
      const second = await race(
        desk,
        wishes(gone * 2, (index) => seatOf(keys[2 + (index % (keys.length - 2))])),
      )
      const refilled = await standingOf(ctx, desk.scope, 'activations.total')

      expect(faultsOf('activations.total', first, full), seeded).toEqual([])
      expect([after.rows.length, after.counter], seeded).toEqual([LIMIT - gone, LIMIT - gone])
      const room = { room: gone, gone }
      expect(faultsOf('activations.total', second, refilled, room), seeded).toEqual([])
      const [taken] = await desk.scope.db('licenses').sum({ seats: 'activations_count' })
      expect(Number(taken?.seats), seeded).toBe(LIMIT)
    },
  )

  test(
    'webhook endpoints, and a deleted one makes room for one',
    PATIENCE,
    async ({ ctx, deskOf }) => {
      const desk = await deskOf('webhook_endpoints.max')
      const first = await race(desk, wishes(CALLS, endpoint))
      const full = await standingOf(ctx, desk.scope, 'webhook_endpoints.max')
      const leaving = shuffled(full.rows).slice(0, FREED)
      const left = await takeAway(desk, leaving, (id) => ({
        path: `/tenant/webhooks/${id}`,
        method: 'DELETE',
      }))
      const after = await standingOf(ctx, desk.scope, 'webhook_endpoints.max')
      const second = await race(desk, wishes(FREED * 2, endpoint))
      const refilled = await standingOf(ctx, desk.scope, 'webhook_endpoints.max')

      expect(faultsOf('webhook_endpoints.max', first, full), seeded).toEqual([])
      expect([left, after.rows.length, after.counter], seeded).toEqual([FREED, 70, 70])
      const room = { room: FREED, gone: FREED }
      expect(faultsOf('webhook_endpoints.max', second, refilled, room), seeded).toEqual([])
    },
  )
})

/** The ids of the activations of some licenses. */
const seatsOf = (scope: TenantScope, keys: readonly string[]): Promise<string[]> =>
  scope
    .db('activations')
    .join('licenses', 'licenses.id', 'activations.license_id')
    .whereIn('license_key', [...keys])
    .pluck('activations.id')

/** One after the other. */
async function inTurn(times: number, work: () => Promise<Outcome>): Promise<Outcome[]> {
  const outcomes: Outcome[] = []
  while (outcomes.length < times) outcomes.push(await work())
  return outcomes
}

/** As one would write it at first. */
async function countThenInsert(connection: Connection): Promise<Outcome> {
  const [[row]] = await connection.query<RowDataPacket[]>(
    'select count(*) as current from products',
  )
  const current = Number(row?.current)
  const details = { code: 'products.max', current, limit: LIMIT }
  if (current >= LIMIT) {
    const error = { code: 'ENTITLEMENTS.LIMIT_EXCEEDED', details }
    return { status: 403, error, quantity: 1, ids: [] }
  }
  const id = newId()
  await connection.query(
    "insert into products (id, code, name, status, metadata, revision, created_at, updated_at) values (?, ?, 'Naive', 'active', '{}', 1, now(6), now(6))",
    [id, id],
  )
  return { status: 201, quantity: 1, ids: [id] }
}

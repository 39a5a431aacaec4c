import mysql, { type Connection, type RowDataPacket } from 'mysql2/promise'
import { beforeAll, describe, expect, inject } from 'vitest'
import { parseDatabaseUrl } from '../../src/core/db/server-address.js'
import { newId } from '../../src/core/ids.js'
import type { License } from '../../src/core/licensing/license.js'
import { revokeActivation } from '../../src/core/licensing/revoke-activation.js'
import { enterTenant, type TenantScope } from '../../src/core/tenants/scope.js'
import { type Answer, Caller } from '../support/caller.js'
import { seed, volume } from '../support/campaign.js'
import { codeOf } from '../support/code-of.js'
import { freshSlug, test as house, provision, runCli } from '../support/house.js'
import { issueFor } from '../support/license.js'
import { awayFromMonthEnd, MONTH_END_TIMEOUT_MS } from '../support/month.js'
import { startServers } from '../support/process.js'
import { createRandom } from '../support/random.js'

const SEATS = 5
const ROUNDS = volume(40, 500)
const LIMIT = 100
const METRIC = 'exports'

const random = createRandom(seed)
const seeded = `(VALIDONX_TEST_SEED=${random.seed})`

/** Two serving processes, and a tenant without limits of its own. */
const test = house
  .extend('servers', { scope: 'file' }, async ({ environment }, { onCleanup }) => {
    const servers = await startServers(environment, 2, onCleanup, {
      VALIDONX_API_RATE_LIMIT_REQUESTS: '100000000',
    })
    return servers.map(({ url }) => url)
  })
  .extend('client', { scope: 'file' }, ({ environment: _ }, { onCleanup }) => {
    const client = new Caller(250)
    onCleanup(() => client[Symbol.dispose]())
    return client
  })
  .extend('owner', { scope: 'file' }, async ({ ctx }) => {
    const slug = freshSlug()
    const apiKey = await provision(ctx, slug, 'enterprise')
    return { slug, apiKey, scope: await enterTenant(ctx, slug) }
  })
  .extend('post', async ({ servers, client, owner }) => {
    let turn = random.below(2)
    /** To the one process and the other in turn. */
    return (path: string, body: unknown, headers: Record<string, string> = {}): Promise<Answer> => {
      turn += 1
      const url = servers[turn % servers.length] ?? ''
      return client.post(`${url}/v1/integration${path}`, { apiKey: owner.apiKey, body, headers })
    }
  })
  .extend('bare', { scope: 'file' }, async ({ owner }, { onCleanup }) => {
    const { address, login } = parseDatabaseUrl(inject('databaseUrl'), {})
    const { database } = owner.scope.tenant
    const { host, port, socketPath } = address
    const place = socketPath ? { socketPath } : { host, port }
    const connections = await Promise.all(
      Array.from({ length: 20 }, () =>
        mysql.createConnection({
          ...place,
          user: login.user,
          password: login.password,
          database,
        }),
      ),
    )
    onCleanup(async () => {
      for (const connection of connections) await connection.end()
    })
    return connections
  })

beforeAll(awayFromMonthEnd, MONTH_END_TIMEOUT_MS)

const licensed = async (
  scope: TenantScope,
  entitlements: Record<string, number>,
): Promise<License> => (await issueFor(scope, { product: 'app', entitlements })).license

/** The outcome of one call: which instance or key it was for, and what came back. */
type Outcome = {
  readonly of: string
  readonly status: number
  readonly id?: string | undefined
  readonly code?: string | undefined
  readonly details?: unknown
  readonly replayed?: boolean
}

const outcomeOf = (of: string, { status, headers, body }: Answer): Outcome => ({
  of,
  status,
  id: body.data?.activation?.id ?? body.data?.usage_event?.id,
  code: body.error?.code,
  details: body.error?.details,
  replayed: headers['idempotency-replayed'] === 'true',
})

const isSuccess = ({ status }: Outcome): boolean => status >= 200 && status < 300

type Seating = {
  readonly outcomes: readonly Outcome[]
  /** Active rows of the license, and what its own count says. */
  readonly active: readonly { readonly id: string; readonly instance: string }[]
  readonly counted: number
}

async function seatingOf(
  scope: TenantScope,
  license: License,
  outcomes: readonly Outcome[],
): Promise<Seating> {
  const active = await scope
    .db('activations')
    .where({ license_id: license.id, status: 'active' })
    .select('id', 'instance_id as instance')
  const [row] = await scope.db('licenses').where({ id: license.id }).pluck('activations_count')
  return { outcomes, active, counted: Number(row) }
}

/** What must not be said of instances that raced for the seats of one license, from none taken. */
function faultsOfSeating({ outcomes, active, counted }: Seating): string[] {
  const faults: string[] = []
  const instances = [...new Set(outcomes.map(({ of }) => of))]
  const room = Math.min(SEATS, instances.length)
  if (active.length !== room) faults.push(`${active.length} active, not ${room}`)
  if (counted !== active.length) faults.push(`${active.length} active, ${counted} counted`)
  for (const instance of instances) {
    const calls = outcomes.filter(({ of }) => of === instance)
    const seated = calls.filter(isSuccess)
    const rows = active.filter((row) => row.instance === instance)
    if (rows.length > 1) faults.push(`${rows.length} seats for one instance`)
    if (seated.length > 0 && seated.length < calls.length)
      faults.push('a repeat was refused beside one that was let in')
    if (seated.length > 0 && calls.filter(({ status }) => status === 201).length !== 1)
      faults.push('an instance was given a seat more or less than once')
    if (seated.some(({ id }) => id !== rows[0]?.id)) faults.push('an answer that is not the row')
  }
  for (const { status, code, details } of outcomes.filter((each) => !isSuccess(each))) {
    const { current, limit } = (details ?? {}) as { current?: number; limit?: number }
    const isPlain =
      status === 403 && code === 'ACTIVATION.LIMIT_EXCEEDED' && current === SEATS && limit === SEATS
    if (!isPlain) faults.push(`refused with ${status} ${code} ${JSON.stringify(details)}`)
  }
  return faults
}

type Counting = {
  readonly outcomes: readonly Outcome[]
  readonly events: readonly { readonly id: string; readonly quantity: number }[]
  readonly counter: number
}

async function countingOf(
  scope: TenantScope,
  license: License,
  outcomes: readonly Outcome[],
): Promise<Counting> {
  const events = await scope
    .db('usage_events')
    .where({ license_id: license.id, code: METRIC })
    .select('id', 'quantity')
  const [value] = await scope
    .db('usage_counters')
    .where({ subject: license.id, code: METRIC })
    .pluck('value')
  return {
    outcomes,
    events: events.map(({ id, quantity }) => ({ id, quantity: Number(quantity) })),
    counter: Number(value ?? 0),
  }
}

/** What must not be said of records of quantity 1 that raced for a limit. */
function faultsOfCounting({ outcomes, events, counter }: Counting): string[] {
  const faults: string[] = []
  const recorded = outcomes.filter(isSuccess)
  const room = Math.min(LIMIT, outcomes.length)
  const sum = events.reduce((total, { quantity }) => total + quantity, 0)
  if (recorded.length !== room) faults.push(`${recorded.length} recorded, not ${room}`)
  if (sum !== room) faults.push(`the events come to ${sum}, not ${room}`)
  if (counter !== sum) faults.push(`the events come to ${sum}, the counter says ${counter}`)
  const known = new Set(events.map(({ id }) => id))
  if (recorded.some(({ id }) => id === undefined || !known.has(id)))
    faults.push('an answer without its event')
  for (const { status, code, details } of outcomes.filter((each) => !isSuccess(each))) {
    const { current, limit } = (details ?? {}) as { current?: number; limit?: number }
    const isPlain =
      status === 403 &&
      code === 'ENTITLEMENTS.LIMIT_EXCEEDED' &&
      current === LIMIT &&
      limit === LIMIT
    if (!isPlain) faults.push(`refused with ${status} ${code} ${JSON.stringify(details)}`)
  }
  return faults
}

/** What must not be said of the same request sent many times at once with one key. `rows` is what it left. */
function faultsOfRepeats(outcomes: readonly Outcome[], rows: readonly string[]): string[] {
  const faults: string[] = []
  const first = outcomes.filter((each) => isSuccess(each) && !each.replayed)
  if (rows.length !== 1) faults.push(`${rows.length} effects`)
  if (first.length !== 1) faults.push(`${first.length} answers that are no replay`)
  if (outcomes.some((each) => isSuccess(each) && each.id !== rows[0]))
    faults.push('an answer that is not the row')
  for (const { status, code } of outcomes.filter((each) => !isSuccess(each))) {
    if (status !== 409 || code !== 'VALIDATION.IDEMPOTENCY_IN_PROGRESS')
      faults.push(`refused with ${status} ${code}`)
  }
  return faults
}

/** Runs a naive version until its faults show, and answers them: it need not show them at every try. */
async function caught(attempt: () => Promise<string[]>): Promise<string[]> {
  for (let tries = 0; tries < 20; tries += 1) {
    const faults = await attempt()
    if (faults.length > 0) return faults
  }
  return []
}

const shared = (connections: readonly Connection[], index: number): Connection =>
  connections[index % connections.length] as Connection

/** One at a time on each connection, all connections at once. */
async function onConnections(
  connections: readonly Connection[],
  calls: number,
  work: (connection: Connection, index: number) => Promise<Outcome>,
): Promise<Outcome[]> {
  const lines = connections.map(() => Promise.resolve())
  return Promise.all(
    Array.from({ length: calls }, async (_, index) => {
      const line = index % connections.length
      const before = lines[line]
      const own = Promise.resolve(before).then(() => work(shared(connections, index), index))
      lines[line] = own.then(() => {})
      return own
    }),
  )
}

describe('seats', () => {
  test('more than five would be seen: reading the count and then inserting is caught', async ({
    owner: { scope },
    bare,
  }) => {
    const faults = await caught(async () => {
      const license = await licensed(scope, { 'activations.max': SEATS })
      const outcomes = await onConnections(bare, 20, async (connection, index) => {
        const of = `naive-${index}`
        const [[row]] = await connection.query<RowDataPacket[]>(
          'select activations_count as current from licenses where id = ?',
          [license.id],
        )
        if (row?.current >= SEATS)
          return {
            of,
            status: 403,
            code: 'ACTIVATION.LIMIT_EXCEEDED',
            details: { current: row?.current, limit: SEATS },
          }
        const id = newId()
        await connection.query(
          "insert into activations (id, license_id, instance_id, active_instance, device_fingerprint, status, metadata, activated_at, revision, created_at, updated_at) values (?, ?, ?, ?, '', 'active', '{}', now(6), 1, now(6), now(6))",
          [id, license.id, of, of],
        )
        await connection.query(
          'update licenses set activations_count = activations_count + 1 where id = ?',
          [license.id],
        )
        return { of, status: 201, id }
      })
      const found = faultsOfSeating(await seatingOf(scope, license, outcomes))
      await scope.db('activations').where({ license_id: license.id }).delete()
      return found
    })

    expect(faults).toContainEqual(expect.stringMatching(/^([6-9]|1\d|20) active, not 5$/))
  })

  test(`of twenty instances at once exactly five have a seat, in each of ${ROUNDS} rounds ${seeded}`, {
    timeout: 600_000,
  }, async ({ owner: { scope }, post }) => {
    const faults: string[] = []
    let calls = 0
    for (let round = 0; round < ROUNDS; round += 1) {
      const license = await licensed(scope, { 'activations.max': SEATS })
      const outcomes = await Promise.all(
        Array.from({ length: 20 }, async (_, index) => {
          const of = `round-${round}-${index}`
          const body = { license_key: license.key, instance_id: of }
          return outcomeOf(of, await post('/activations', body))
        }),
      )
      calls += outcomes.length
      for (const fault of faultsOfSeating(await seatingOf(scope, license, outcomes)))
        faults.push(`round ${round}: ${fault}`)
    }

    expect(faults).toEqual([])
    expect(calls).toBe(20 * ROUNDS)
    const [over] = await scope
      .db('activations')
      .where({ status: 'active' })
      .groupBy('license_id')
      .count({ taken: '*' })
      .orderBy('taken', 'desc')
      .limit(1)
    expect(over?.taken).toBe(SEATS)
  })

  test(`an instance that asks many times at once has one seat, and all its answers are that seat ${seeded}`, {
    timeout: 300_000,
  }, async ({ owner: { scope }, post }) => {
    const faults: string[] = []
    for (let round = 0; round < 60; round += 1) {
      const license = await licensed(scope, { 'activations.max': SEATS })
      const instances = 1 + random.below(8)
      const outcomes = await Promise.all(
        Array.from({ length: 24 }, async (_, index) => {
          const of = `again-${round}-${index % instances}`
          const body = { license_key: license.key, instance_id: of }
          return outcomeOf(of, await post('/activations', body))
        }),
      )
      for (const fault of faultsOfSeating(await seatingOf(scope, license, outcomes)))
        faults.push(`round ${round}, ${instances} instances: ${fault}`)
    }

    expect(faults).toEqual([])
  })

  test('those who sit keep their seat when the license is full, while newcomers are refused', async ({
    owner: { scope },
    post,
  }) => {
    for (let round = 0; round < 20; round += 1) {
      const license = await licensed(scope, { 'activations.max': SEATS })
      const ask = (of: string) =>
        post('/activations', { license_key: license.key, instance_id: of })
      const seated = new Map<string, string | undefined>()
      for (let seat = 0; seat < SEATS; seat += 1) {
        const { status, body } = await ask(`seat-${seat}`)
        expect(status).toBe(201)
        seated.set(`seat-${seat}`, body.data?.activation?.id)
      }

      const outcomes = await Promise.all(
        Array.from({ length: 20 }, async (_, index) => {
          const of = index % 2 === 0 ? `seat-${(index / 2) % SEATS}` : `late-${index}`
          return outcomeOf(of, await ask(of))
        }),
      )

      for (const { of, status, id, code, details } of outcomes) {
        if (seated.has(of)) expect([status, id]).toEqual([200, seated.get(of)])
        else
          expect([status, code, details]).toEqual([
            403,
            'ACTIVATION.LIMIT_EXCEEDED',
            { current: SEATS, limit: SEATS },
          ])
      }
    }
  })

  test('the seat of a revoked activation is free at once, for exactly one of twenty', async ({
    owner: { scope },
    post,
  }) => {
    const license = await licensed(scope, { 'activations.max': SEATS })
    const ask = (of: string) => post('/activations', { license_key: license.key, instance_id: of })
    const seats: string[] = []
    for (let seat = 0; seat < SEATS; seat += 1)
      seats.push((await ask(`seat-${seat}`)).body.data?.activation?.id ?? '')

    for (let round = 0; round < 20; round += 1) {
      expect((await ask(`before-${round}`)).status).toBe(403)
      await revokeActivation(scope, seats.shift() ?? '')
      const answers = await Promise.all(
        Array.from({ length: 20 }, (_, index) => ask(`after-${round}-${index}`)),
      )
      const winners = answers.filter(({ status }) => status === 201)
      expect(winners).toHaveLength(1)
      expect(answers.filter(({ status }) => status === 403)).toHaveLength(19)
      seats.push(winners[0]?.body.data?.activation?.id ?? '')
    }
    const { active, counted } = await seatingOf(scope, license, [])
    expect([active.length, counted]).toEqual([SEATS, SEATS])
  })

  test('a revocation that races with newcomers leaves no more seats taken than there are', async ({
    owner: { scope },
    post,
  }) => {
    for (let round = 0; round < 30; round += 1) {
      const license = await licensed(scope, { 'activations.max': SEATS })
      const ask = (of: string) =>
        post('/activations', { license_key: license.key, instance_id: of })
      const seats: string[] = []
      for (let seat = 0; seat < SEATS; seat += 1)
        seats.push((await ask(`seat-${seat}`)).body.data?.activation?.id ?? '')

      const revoke = (): Promise<string> =>
        revokeActivation(scope, seats[0] ?? '').then(() => 'revoked', codeOf)
      const [first, second, ...answers] = await Promise.all([
        revoke(),
        revoke(),
        ...Array.from({ length: 18 }, (_, index) =>
          // those who come back race with the end of their own seat
          ask(index % 6 === 0 ? 'seat-0' : `new-${index}`),
        ),
      ])

      expect([first, second].sort()).toEqual(['ACTIVATION.INVALID_STATE', 'revoked'])
      expect(
        answers.map(({ status }) => status).filter((s) => ![200, 201, 403].includes(s)),
      ).toEqual([])
      const { active, counted } = await seatingOf(scope, license, [])
      expect(active.length).toBeLessThanOrEqual(SEATS)
      expect(counted).toBe(active.length)
    }
  })
})

describe('usage', () => {
  test('more than the limit would be seen: reading the counter and then writing it is caught', async ({
    owner: { scope },
    bare,
  }) => {
    const faults = await caught(async () => {
      const license = await licensed(scope, { [METRIC]: LIMIT })
      await scope.db('usage_counters').insert({
        id: newId(),
        code: METRIC,
        subject: license.id,
        period_start: new Date(Date.UTC(2020, 0, 1)),
        period_end: null,
        value: 0,
        created_at: new Date(),
        updated_at: new Date(),
      })
      const outcomes = await onConnections(bare, 200, async (connection, index) => {
        const of = String(index)
        const [[row]] = await connection.query<RowDataPacket[]>(
          'select value from usage_counters where subject = ? and code = ?',
          [license.id, METRIC],
        )
        const current = Number(row?.value)
        if (current + 1 > LIMIT)
          return {
            of,
            status: 403,
            code: 'ENTITLEMENTS.LIMIT_EXCEEDED',
            details: { current, limit: LIMIT },
          }
        const id = newId()
        await connection.query(
          "insert into usage_events (id, license_id, code, quantity, metadata, recorded_at) values (?, ?, ?, 1, '{}', now(6))",
          [id, license.id, METRIC],
        )
        await connection.query(
          'update usage_counters set value = ? where subject = ? and code = ?',
          [current + 1, license.id, METRIC],
        )
        return { of, status: 202, id }
      })
      const found = faultsOfCounting(await countingOf(scope, license, outcomes))
      // what was made here disagrees on purpose: it must not stand in the way of `usage rebuild`
      await scope.db('usage_events').where({ license_id: license.id }).delete()
      await scope.db('usage_counters').where({ subject: license.id }).delete()
      return found
    })

    expect(faults).toContainEqual(expect.stringMatching(/^1\d\d recorded, not 100$|^200 recorded/))
    expect(faults).toContainEqual(expect.stringMatching(/the counter says/))
  })

  test('of 1,000 records at once exactly 100 fit a limit of 100, and each threshold is told once', {
    timeout: 300_000,
  }, async ({ owner: { scope }, post }) => {
    for (let round = 0; round < 3; round += 1) {
      const license = await licensed(scope, { [METRIC]: LIMIT })

      const outcomes = await Promise.all(
        Array.from({ length: 1000 }, async (_, index) =>
          outcomeOf(
            String(index),
            await post('/usage/record', {
              license_key: license.key,
              metric: METRIC,
              quantity: 1,
            }),
          ),
        ),
      )

      const counting = await countingOf(scope, license, outcomes)
      expect(faultsOfCounting(counting)).toEqual([])
      expect(outcomes.filter(({ status }) => status === 202)).toHaveLength(LIMIT)
      expect(counting.counter).toBe(LIMIT)
      const told = await scope
        .db('outbox')
        .where({ action: 'usage.threshold_reached', object_id: license.id })
        .select('changes')
      const changes = told.map(({ changes }) =>
        typeof changes === 'string' ? JSON.parse(changes) : changes,
      )
      expect(changes.map(({ after }) => after.percent).sort((a, b) => a - b)).toEqual([80, 100])
      expect(changes).toContainEqual({
        after: { code: METRIC, percent: 80, current: 80, limit: LIMIT },
      })
    }
  })

  test(`records of several sizes never pass the limit, and leave no room that one would fit ${seeded}`, async ({
    owner: { scope },
    post,
  }) => {
    for (let round = 0; round < 10; round += 1) {
      const license = await licensed(scope, { [METRIC]: LIMIT })
      const sizes = Array.from({ length: 120 }, () => 1 + random.below(7))

      const answers = await Promise.all(
        sizes.map((quantity) =>
          post('/usage/record', { license_key: license.key, metric: METRIC, quantity }),
        ),
      )

      const { events, counter } = await countingOf(scope, license, [])
      const sum = events.reduce((total, { quantity }) => total + quantity, 0)
      expect([counter, sum <= LIMIT]).toEqual([sum, true])
      expect(answers.filter(({ status }) => status === 202)).toHaveLength(events.length)
      const smallest = Math.min(
        ...sizes.filter((_, index) => answers[index]?.status === 403),
        Number.POSITIVE_INFINITY,
      )
      expect(smallest).toBeGreaterThan(LIMIT - sum)
    }
  })
})

describe('one Idempotency-Key', () => {
  const fiftyOf = (ask: (index: number) => Promise<Answer>, of: (index: number) => string) =>
    Promise.all(Array.from({ length: 50 }, async (_, i) => outcomeOf(of(i), await ask(i))))

  test('two effects would be seen: looking for the key and then inserting is caught', async ({
    owner: { scope },
    bare,
  }) => {
    const license = await licensed(scope, { [METRIC]: 1_000 })
    const faults = await caught(async () => {
      const key = newId()
      const outcomes = await onConnections(bare, 50, async (connection) => {
        const [[known]] = await connection.query<RowDataPacket[]>(
          "select id from usage_events where license_id = ? and json_value(metadata, '$.key') = ?",
          [license.id, key],
        )
        if (known) return { of: key, status: 202, id: known.id, replayed: true }
        const id = newId()
        await connection.query(
          'insert into usage_events (id, license_id, code, quantity, metadata, recorded_at) values (?, ?, ?, 1, ?, now(6))',
          [id, license.id, METRIC, JSON.stringify({ key })],
        )
        return { of: key, status: 202, id }
      })
      const rows: string[] = await scope
        .db('usage_events')
        .where({ license_id: license.id })
        .pluck('id')
      await scope.db('usage_events').where({ license_id: license.id }).delete()
      return faultsOfRepeats(outcomes, rows)
    })

    expect(faults).toContainEqual(expect.stringMatching(/^([2-9]|\d\d) effects$/))
  })

  test.for(['header', 'body'] as const)(
    'in the %s: fifty records of usage at once are one, and a later repeat is a replay',
    async (where, { owner: { scope }, post }) => {
      for (let round = 0; round < 10; round += 1) {
        const license = await licensed(scope, { [METRIC]: LIMIT })
        const key = newId()
        const ask = (quantity: number) => {
          const body = { license_key: license.key, metric: METRIC, quantity }
          return where === 'header'
            ? post('/usage/record', body, { 'Idempotency-Key': key })
            : post('/usage/record', { ...body, idempotency_key: key })
        }

        const outcomes = await fiftyOf(
          () => ask(3),
          () => key,
        )

        const { events, counter } = await countingOf(scope, license, [])
        expect(
          faultsOfRepeats(
            outcomes,
            events.map(({ id }) => id),
          ),
        ).toEqual([])
        expect([events[0]?.quantity, counter]).toEqual([3, 3])
        const repeat = await ask(3)
        const other = await ask(4)
        expect(outcomeOf(key, repeat)).toMatchObject({
          status: 202,
          id: events[0]?.id,
          replayed: true,
        })
        expect(outcomeOf(key, other)).toMatchObject({
          status: 422,
          code: 'VALIDATION.IDEMPOTENCY_MISMATCH',
        })
        expect((await countingOf(scope, license, [])).counter).toBe(3)
      }
    },
  )

  test('repeats of a record that took the last of the limit are replays, not refusals', async ({
    owner: { scope },
    post,
  }) => {
    const faults: string[] = []
    for (let round = 0; round < 40; round += 1) {
      const license = await licensed(scope, { [METRIC]: 1 })
      const key = newId()
      const outcomes = await fiftyOf(
        () =>
          post(
            '/usage/record',
            { license_key: license.key, metric: METRIC, quantity: 1 },
            { 'Idempotency-Key': key },
          ),
        () => key,
      )
      const { events } = await countingOf(scope, license, [])
      for (const fault of new Set(
        faultsOfRepeats(
          outcomes,
          events.map(({ id }) => id),
        ),
      ))
        faults.push(`round ${round}: ${fault}`)
    }

    expect(faults).toEqual([])
  })

  test.for([
    ['a blank at its end', 'k ', 'k'],
    ['half of a surrogate pair', 'k\ud800', 'k\udbff'],
    ['other case', 'K', 'k'],
    ['other accents', 'ké', 'ke'],
  ] as const)(
    'keys that differ in %s are answered apart, and repeats of each are replays',
    async ([, one, other], { owner: { scope }, post }) => {
      const license = await licensed(scope, { [METRIC]: LIMIT })
      const prefix = newId()
      const ask = (key: string) =>
        post('/usage/record', {
          license_key: license.key,
          metric: METRIC,
          quantity: 1,
          idempotency_key: `${prefix}${key}`,
        })

      const statuses: number[] = []
      for (const key of [one, other, one, other]) statuses.push((await ask(key)).status)

      // a key that cannot be kept as it is may be refused by name, never fail
      for (const status of statuses) expect([202, 422]).toContain(status)
      const { events } = await countingOf(scope, license, [])
      expect(events).toHaveLength(new Set([one, other].filter((_, i) => statuses[i] === 202)).size)
    },
  )

  test('a record with a strange key fails no other that waits beside it', async ({
    owner: { scope },
    post,
  }) => {
    const license = await licensed(scope, { [METRIC]: 10_000 })
    const record = (extra: object) =>
      post('/usage/record', { license_key: license.key, metric: METRIC, quantity: 1, ...extra })

    for (let round = 0; round < 5; round += 1) {
      const key = newId()
      await record({ idempotency_key: key })
      const answers = await Promise.all(
        Array.from({ length: 40 }, (_, index) =>
          record(index % 10 === 0 ? { idempotency_key: `${key} ` } : {}),
        ),
      )
      const statuses = answers.filter((_, index) => index % 10 !== 0).map(({ status }) => status)
      expect(new Set(statuses)).toEqual(new Set([202]))
    }
  })

  test('fifty activations at once are one, and a later repeat is a replay', async ({
    owner: { scope },
    post,
  }) => {
    for (let round = 0; round < 10; round += 1) {
      const license = await licensed(scope, { 'activations.max': SEATS })
      const key = newId()
      const ask = (instance: string) =>
        post(
          '/activations',
          { license_key: license.key, instance_id: instance },
          { 'Idempotency-Key': key },
        )

      const outcomes = await fiftyOf(
        () => ask('one'),
        () => key,
      )

      const { active, counted } = await seatingOf(scope, license, [])
      expect(
        faultsOfRepeats(
          outcomes,
          active.map(({ id }) => id),
        ),
      ).toEqual([])
      expect(counted).toBe(1)
      expect(outcomeOf(key, await ask('one'))).toMatchObject({
        status: 201,
        id: active[0]?.id,
        replayed: true,
      })
      expect(outcomeOf(key, await ask('two'))).toMatchObject({
        status: 422,
        code: 'VALIDATION.IDEMPOTENCY_MISMATCH',
      })
    }
  })

  test('of two requests that share a key at once one has its effect, and the other is told so', async ({
    owner: { scope },
    post,
  }) => {
    for (let round = 0; round < 10; round += 1) {
      const license = await licensed(scope, { 'activations.max': SEATS })
      const key = newId()
      const outcomes = await fiftyOf(
        (index) =>
          post(
            '/activations',
            { license_key: license.key, instance_id: `half-${index % 2}` },
            { 'Idempotency-Key': key },
          ),
        (index) => `half-${index % 2}`,
      )

      const { active } = await seatingOf(scope, license, [])
      const winner = active[0]?.instance
      const [own, others] = [0, 1].map((side) =>
        outcomes.filter(({ of }) => (of === winner) === (side === 0)),
      )
      expect(
        faultsOfRepeats(
          own ?? [],
          active.map(({ id }) => id),
        ),
      ).toEqual([])
      expect((others ?? []).filter(({ code }) => !/MISMATCH|IN_PROGRESS/.test(code ?? ''))).toEqual(
        [],
      )
    }
  })

  test('requests that fail are all refused alike, and keep nothing: the key is free again', async ({
    owner: { scope },
    post,
  }) => {
    for (let round = 0; round < 10; round += 1) {
      const license = await licensed(scope, { 'activations.max': 1 })
      await post('/activations', { license_key: license.key, instance_id: 'holder' })
      const key = newId()
      const ask = () =>
        post(
          '/activations',
          { license_key: license.key, instance_id: 'late' },
          { 'Idempotency-Key': key },
        )

      const outcomes = await fiftyOf(ask, () => key)

      const plain = ['ACTIVATION.LIMIT_EXCEEDED', 'VALIDATION.IDEMPOTENCY_IN_PROGRESS']
      expect(outcomes.filter(({ code }) => !plain.includes(code ?? ''))).toEqual([])
      expect(
        await scope.db('idempotency_keys').where('scope_key', 'like', `%${key}`).pluck('status'),
      ).toEqual([])
      const { active } = await seatingOf(scope, license, [])
      await revokeActivation(scope, active[0]?.id ?? '')
      expect((await ask()).status).toBe(201)
    }
  })
})

describe('validonx usage rebuild', () => {
  test('counters and events agree after all these races', async ({ environment, owner }) => {
    const verified = await runCli(environment, [
      'usage',
      'rebuild',
      '--verify',
      '--tenant',
      owner.slug,
    ])

    expect([verified.exit, verified.said]).toEqual([0, expect.stringContaining('agree')])
  })

  test('--verify names a counter that was bent and changes nothing; without it, it is mended', async ({
    environment,
    owner: { slug, scope },
    post,
  }) => {
    const license = await licensed(scope, { [METRIC]: LIMIT })
    for (let count = 0; count < 7; count += 1)
      await post('/usage/record', { license_key: license.key, metric: METRIC, quantity: 2 })
    const bent = (value: number) =>
      scope.db('usage_counters').where({ subject: license.id, code: METRIC }).update({ value })
    const counter = async () => (await countingOf(scope, license, [])).counter
    const rebuild = (...more: string[]) =>
      runCli(environment, ['usage', 'rebuild', '--tenant', slug, ...more])
    expect((await rebuild('--verify')).exit).toBe(0)

    for (const value of [13, 99, 0]) {
      await bent(value)
      const verified = await rebuild('--verify', '--json')
      const shown = await rebuild('--verify')
      const stillBent = await counter()
      const mended = await rebuild()

      expect(verified.exit).toBe(1)
      expect(JSON.parse(verified.out)).toMatchObject({
        code: METRIC,
        license_id: license.id,
        counted: value,
        recorded: 14,
      })
      expect([shown.exit, shown.out]).toEqual([1, expect.stringContaining(license.id)])
      expect([stillBent, mended.exit, await counter()]).toEqual([value, 0, 14])
      expect((await rebuild('--verify')).exit).toBe(0)
    }
  })

  test('a counter that lost its row is made again, and one without events goes to zero', async ({
    environment,
    owner: { slug, scope },
    post,
  }) => {
    const [lost, idle] = [
      await licensed(scope, { [METRIC]: LIMIT }),
      await licensed(scope, { [METRIC]: LIMIT }),
    ]
    for (const { key } of [lost, idle])
      await post('/usage/record', { license_key: key, metric: METRIC, quantity: 5 })
    await scope.db('usage_counters').where({ subject: lost.id }).delete()
    await scope.db('usage_events').where({ license_id: idle.id }).delete()
    const at = ['--tenant', slug]

    const verified = await runCli(environment, ['usage', 'rebuild', '--verify', '--json', ...at])
    const mended = await runCli(environment, ['usage', 'rebuild', ...at])

    expect(verified.exit).toBe(1)
    expect(
      verified.out
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line).license_id)
        .sort(),
    ).toEqual([lost.id, idle.id].sort())
    expect(mended.exit).toBe(0)
    expect((await countingOf(scope, lost, [])).counter).toBe(5)
    expect((await countingOf(scope, idle, [])).counter).toBe(0)
    expect((await runCli(environment, ['usage', 'rebuild', '--verify', ...at])).exit).toBe(0)
  })

  test('mending while usage is recorded loses none of it', async ({
    environment,
    owner: { slug, scope },
    post,
  }) => {
    const license = await licensed(scope, { [METRIC]: 100_000 })
    const at = ['--tenant', slug]
    let recording = true
    const rebuilding = (async () => {
      const exits = new Set<number>()
      while (recording) exits.add((await runCli(environment, ['usage', 'rebuild', ...at])).exit)
      return exits
    })()
    for (let round = 0; round < 10; round += 1) {
      const answers = await Promise.all(
        Array.from({ length: 50 }, () =>
          post('/usage/record', { license_key: license.key, metric: METRIC, quantity: 1 }),
        ),
      )
      expect(answers.filter(({ status }) => status !== 202)).toEqual([])
    }
    recording = false

    expect(await rebuilding).toEqual(new Set([0]))
    const { events, counter } = await countingOf(scope, license, [])
    expect([events.length, counter]).toEqual([500, 500])
    expect((await runCli(environment, ['usage', 'rebuild', '--verify', ...at])).exit).toBe(0)
  })
})

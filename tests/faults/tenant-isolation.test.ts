import { setTimeout as sleep } from 'node:timers/promises'
import type { Connection, PoolConnection, RowDataPacket } from 'mysql2'
import { describe, expect } from 'vitest'
import type { Context } from '../../src/core/context.js'
import { connectionOptions } from '../../src/core/db/connect.js'
import { loadMysql } from '../../src/core/db/drivers.js'
import type { Provisioner } from '../../src/core/db/provisioner.js'
import { quoteName, quoteText } from '../../src/core/db/sql.js'
import type { TenantPlace } from '../../src/core/db/tenant-database-manager.js'
import { tenantUser } from '../../src/core/db/user-names.js'
import { placeOf } from '../../src/core/tenants/scope.js'
import { getTenant } from '../../src/core/tenants/tenant-store.js'
import { atMost } from '../support/at-most.js'
import { seed, volume } from '../support/campaign.js'
import { CANARY, type Canary, type Door, fly } from '../support/canaries.js'
import { test as house, provision } from '../support/house.js'
import { open } from '../support/platform.js'
import { createRandom, type Random } from '../support/random.js'

const TENANTS = volume(50, 200)
const QUERIES = volume(3_000, 10_000)
const CONNECTIONS = 16
const ABORTED = 'SERVER.INTERNAL: Error: aborted'
const ABANDONED = 'SERVER.INTERNAL: Error: abandoned'

const ask = <Row>(connection: Connection, sql: string, prepared = false): Promise<Row[]> =>
  new Promise((done, fail) => {
    const settle = (error: unknown, rows: RowDataPacket[]) =>
      error ? fail(error) : done(rows as unknown as Row[])
    if (prepared) connection.execute<RowDataPacket[]>(sql, settle)
    else connection.query<RowDataPacket[]>(sql, settle)
  })

const gaugesOf = ({ tenantDatabases }: Context) =>
  Object.values(tenantDatabases.gauges().servers)[0] ?? { bound: 0, idle: 0, waiting: 0 }

const test = house
  .extend('crowded', { scope: 'file' }, async ({ environment }, { onCleanup }) => {
    const crowded = await open({
      ...environment,
      VALIDONX_CONNECTIONS: String(CONNECTIONS),
      // the question is whose rows come, not how soon
      VALIDONX_ACQUIRE_TIMEOUT: '60',
      VALIDONX_CONNECT_TIMEOUT: '60',
    })
    onCleanup(() => crowded[Symbol.asyncDispose]())
    return crowded
  })
  .extend('tenants', { scope: 'file' }, async ({ ctx, provisioner }): Promise<TenantPlace[]> => {
    const inTurn = atMost(4)
    const slugs = Array.from({ length: TENANTS }, (_, index) => `canary-${index}`)
    return Promise.all(
      slugs.map((slug) =>
        inTurn(async () => {
          await provision(ctx, slug)
          const tenant = await getTenant(ctx.platform, slug)
          await provisioner.run(
            `update ${quoteName(tenant.database)}.branding set display_name = ?`,
            [tenant.id],
          )
          ctx.tenantDatabases.close(tenant.id)
          return placeOf(tenant)
        }),
      ),
    )
  })

/** What a flight leaves behind: sessions that were broken off, and rows that were written. */
type Traces = { readonly cut: Set<number>; readonly written: Map<string, TenantPlace> }

/** Every way into a tenant's database, also those that leave it in the middle of something. */
function doorsOf(
  { tenantDatabases }: Context,
  random: Random,
  { cut, written }: Traces,
): Readonly<Record<string, Door>> {
  let serial = 0
  return {
    read: (tenant) => tenantDatabases.read<Canary>(tenant, CANARY, []),
    builder: async (tenant) =>
      tenantDatabases.for(tenant)('branding').select('display_name as canary'),
    async builders(tenant) {
      const db = tenantDatabases.for(tenant)
      const both = [1, 2].map(async () => db('branding').select('display_name as canary'))
      return (await Promise.all(both)).flat()
    },
    async transaction(tenant) {
      serial += 1
      const [name, value] = [`mark-${serial}`, JSON.stringify(tenant.id)]
      const rows = await tenantDatabases.for(tenant).transaction(async (transaction) => {
        const before = await transaction('branding').select('display_name as canary')
        const [created_at, updated_at] = [new Date(), new Date()]
        await transaction('settings').insert({ name, value, created_at, updated_at })
        return [...before, ...(await transaction('branding').select('display_name as canary'))]
      })
      written.set(name, tenant)
      return rows
    },
    prepared: (tenant) =>
      tenantDatabases.lend(tenant, (connection) => ask<Canary>(connection, CANARY, true)),
    pipelined: (tenant) =>
      tenantDatabases.lend(tenant, async (connection) => {
        const asked = [false, true, false].map((prepared) =>
          ask<Canary>(connection, CANARY, prepared),
        )
        return (await Promise.all(asked)).flat()
      }),
    // what a session remembers must not outlive its tenant
    session: (tenant) =>
      tenantDatabases.lend(tenant, async (connection) => {
        const before = await ask<Canary>(connection, 'select @canary as canary')
        await ask(connection, `set @canary = ${quoteText(tenant.id)}`)
        return before.filter(({ canary }) => canary !== null)
      }),
    async aborting(tenant) {
      const client = new AbortController()
      const leave = () => setTimeout(() => client.abort(), random.below(20))
      const leavesEarly = random.below(2) === 0
      let leaving = leavesEarly ? leave() : undefined
      const work = async (connection: Connection) => {
        leaving ??= leave()
        const note = () => cut.add(connection.threadId)
        client.signal.addEventListener('abort', note)
        try {
          return await ask<Canary>(connection, `${CANARY} where sleep(0.01) = 0`)
        } finally {
          client.signal.removeEventListener('abort', note)
        }
      }
      try {
        return await tenantDatabases.lend(tenant, work, { signal: client.signal })
      } catch (error) {
        throw client.signal.aborted ? new Error('aborted') : error
      } finally {
        clearTimeout(leaving)
      }
    },
    // with a reply under way that nobody will read
    abandoning: (tenant) =>
      tenantDatabases.lend(tenant, async (connection) => {
        cut.add(connection.threadId)
        connection.query(CANARY, () => {})
        throw new Error('abandoned')
      }),
  }
}

/** Counts the tenants' sessions on the server, and kills one now and then, until told to stop. */
async function patrol(
  provisioner: Provisioner,
  tenants: readonly TenantPlace[],
  random: Random,
  { cut }: Traces,
  stop: AbortSignal,
): Promise<{ readonly mostSessions: number; readonly kills: number }> {
  let [mostSessions, kills] = [0, 0]
  while (!stop.aborted) {
    // the server may need a moment to notice that a session was broken off
    const live = (await sessionsOf(provisioner, tenants)).filter((id) => !cut.has(id))
    mostSessions = Math.max(mostSessions, live.length)
    if (live.length > 0 && random.below(2) === 0) {
      const victim = random.pick(live)
      cut.add(victim)
      kills += 1
      await provisioner.run(`kill ${victim}`).catch(() => {})
    }
    await sleep(5)
  }
  return { mostSessions, kills }
}

async function sessionsOf(
  provisioner: Provisioner,
  tenants: readonly TenantPlace[],
): Promise<number[]> {
  const users = tenants.map(({ id }) => quoteText(tenantUser(id))).join(', ')
  const rows = await provisioner.rows<{ id: number }>(
    `select id as id from information_schema.processlist where user in (${users})`,
  )
  return rows.map(({ id }) => Number(id))
}

/** The marks that stand in each tenant's settings, as `name: whose`. */
async function marksOf(
  provisioner: Provisioner,
  tenants: readonly TenantPlace[],
): Promise<Map<string, string[]>> {
  const sql = tenants.map(
    ({ id, database }) =>
      `select '${id}' as home, name, value from ${quoteName(database)}.settings where name like 'mark-%'`,
  )
  const rows = await provisioner.rows<{ home: string; name: string; value: string }>(
    sql.join(' union all '),
  )
  const marks = new Map<string, string[]>()
  for (const { home, name, value } of rows)
    marks.set(name, [...(marks.get(name) ?? []), home, JSON.parse(value)])
  return marks
}

describe(`of ${TENANTS} tenants on ${CONNECTIONS} connections`, () => {
  test('each reads and writes its own rows alone, whoever leaves early and whatever session dies', async ({
    crowded,
    provisioner,
    tenants,
  }) => {
    const random = createRandom(seed)
    const traces: Traces = { cut: new Set(), written: new Map() }
    const landed = new AbortController()
    let mostBound = 0
    const patrolling = patrol(provisioner, tenants, createRandom(seed + 1), traces, landed.signal)
    const flight = await fly({
      tenants,
      doors: doorsOf(crowded, random, traces),
      queries: QUERIES,
      width: 48,
      random,
      watch: () => {
        mostBound = Math.max(mostBound, gaugesOf(crowded).bound)
      },
    })
    landed.abort()
    const { mostSessions, kills } = await patrolling

    const { rows, uses, errors, foreign } = flight
    const said = `VALIDONX_TEST_SEED=${seed} ${JSON.stringify({ rows, uses, errors, kills })}`
    expect(foreign, said).toEqual([])
    expect(rows, said).toBeGreaterThan(QUERIES / 2)
    expect(mostBound, said).toBe(CONNECTIONS)
    expect(mostSessions, said).toBeLessThanOrEqual(CONNECTIONS)
    // the weather was as bad as promised, and nothing else went wrong
    expect(kills, said).toBeGreaterThan(0)
    expect(Object.keys(errors), said).toEqual(expect.arrayContaining([ABORTED, ABANDONED]))
    const expected = [ABORTED, ABANDONED, 'DATABASE.CONNECTION_LOST']
    expect(
      Object.keys(errors).filter((error) => !expected.includes(error)),
      said,
    ).toEqual([])

    const marks = await marksOf(provisioner, tenants)
    const strays = [...marks].filter(([, whose]) => new Set(whose).size !== 1 || whose.length !== 2)
    expect(strays, said).toEqual([])
    const lost = [...traces.written].filter(([name, { id }]) => marks.get(name)?.[0] !== id)
    expect(lost, said).toEqual([])

    // and all is as before: nothing is held, nobody waits, and every door opens
    await expect.poll(() => gaugesOf(crowded).bound - gaugesOf(crowded).idle).toBe(0)
    expect(gaugesOf(crowded).waiting).toBe(0)
    const { read, builder, prepared } = doorsOf(crowded, random, traces)
    for (const tenant of tenants) {
      for (const door of [read, builder, prepared])
        expect(await door?.(tenant)).toEqual([{ canary: tenant.id }])
    }
    await expect
      .poll(async () => (await sessionsOf(provisioner, tenants)).length)
      .toBe(gaugesOf(crowded).bound)
  })

  test('a pool that all share, with USE and prepared statements, would be seen to mix them', async ({
    provisioner,
    tenants,
  }) => {
    const pool = loadMysql().createPool({
      ...connectionOptions(provisioner.reach),
      connectionLimit: CONNECTIONS,
    })
    const borrow = () =>
      new Promise<PoolConnection>((done, fail) =>
        pool.getConnection((error, connection) => (error ? fail(error) : done(connection))),
      )
    const naive: Door = async ({ database }) => {
      const connection = await borrow()
      try {
        await ask(connection, `use ${quoteName(database)}`)
        return await ask<Canary>(connection, CANARY, true)
      } finally {
        connection.release()
      }
    }

    const random = createRandom(seed)
    const flight = await fly({ tenants, doors: { naive }, queries: 1_000, width: 48, random })

    await new Promise<void>((done) => pool.end(() => done()))
    expect(flight.errors).toEqual({})
    expect(flight.foreign.length, `VALIDONX_TEST_SEED=${seed}`).toBeGreaterThan(0)
  })
})

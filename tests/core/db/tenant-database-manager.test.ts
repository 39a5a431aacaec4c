import type { Connection } from 'mysql2'
import { describe, expect } from 'vitest'
import type { Context } from '../../../src/core/context.js'
import { AppError } from '../../../src/core/errors.js'
import { placeOf } from '../../../src/core/tenants/scope.js'
import { getTenant } from '../../../src/core/tenants/tenant-store.js'
import { freshSlug, test as house, provision } from '../../support/house.js'
import { type Environment, open } from '../../support/platform.js'

/** What takes a moment is awaited, and never for a fixed time. */
const SOON = { timeout: 150_000 }

const ask = (connection: Connection, sql: string): Promise<unknown> =>
  new Promise((done, fail) =>
    connection.query(sql, (error, rows) => (error ? fail(error) : done(rows))),
  )

const gaugesOf = ({ tenantDatabases }: Context) =>
  Object.values(tenantDatabases.gauges().servers)[0]

/** A promise that others wait for until the test opens it. */
function createGate(): { readonly opened: Promise<void>; open(): void } {
  let open = () => {}
  const opened = new Promise<void>((done) => {
    open = done
  })
  return { opened, open }
}

/** Lends a connection to work that tells when it began and ends when the gate opens. */
function hold(ctx: Context, tenant: Parameters<Context['tenantDatabases']['lend']>[0]) {
  const [begun, gate] = [createGate(), createGate()]
  const ended = ctx.tenantDatabases.lend(tenant, async (connection) => {
    begun.open()
    await gate.opened
    return connection.threadId
  })
  return { begun: begun.opened, release: gate.open, ended }
}

const test = house
  .extend('place', async ({ ctx, tenant }) => placeOf(await getTenant(ctx.platform, tenant.slug)))
  .extend('neighbour', async ({ ctx }) => {
    const slug = freshSlug()
    await provision(ctx, slug)
    return placeOf(await getTenant(ctx.platform, slug))
  })
  .extend('openWith', async ({ environment }, { onCleanup }) => {
    const opened: Context[] = []
    onCleanup(async () => {
      for (const ctx of opened) await ctx[Symbol.asyncDispose]()
    })
    return async (extra: Environment): Promise<Context> => {
      const ctx = await open({ ...environment, ...extra })
      opened.push(ctx)
      return ctx
    }
  })

describe('a tenant’s share', () => {
  test('is all that it gets of a hundred connections asked for at once, and another is served meanwhile', async ({
    openWith,
    place,
    neighbour,
  }) => {
    const ctx = await openWith({
      VALIDONX_CONNECTIONS: '16',
      VALIDONX_CONNECTIONS_PER_TENANT: '4',
      VALIDONX_ACQUIRE_TIMEOUT: '60',
    })
    const gate = createGate()
    let [held, most] = [0, 0]
    const greedy = Array.from({ length: 100 }, () =>
      ctx.tenantDatabases.lend(place, async () => {
        held += 1
        most = Math.max(most, held)
        await gate.opened
        held -= 1
      }),
    )
    await expect.poll(() => held, SOON).toBe(4)

    const [row] = await ctx.tenantDatabases.read<{ home: string }>(
      neighbour,
      'select database() as home',
      [],
    )
    const meanwhile = { held, waiting: gaugesOf(ctx)?.waiting }
    gate.open()
    await Promise.all(greedy)

    expect(row?.home).toBe(neighbour.database)
    expect(meanwhile).toEqual({ held: 4, waiting: 96 })
    expect(most).toBe(4)
    expect(gaugesOf(ctx)).toMatchObject({ bound: 5, idle: 5, waiting: 0, refused: 0 })
  })

  test.for([
    ['8', 4],
    ['32', 8],
  ] as const)(
    'of %s connections is %i where nothing else is set: a quarter, at least four',
    async ([connections, share], { openWith, place }) => {
      const ctx = await openWith({
        VALIDONX_CONNECTIONS: connections,
        VALIDONX_ACQUIRE_TIMEOUT: '60',
      })
      const holders = Array.from({ length: 20 }, () => hold(ctx, place))
      await Promise.all(holders.slice(0, share).map(({ begun }) => begun))
      const standing = gaugesOf(ctx)
      for (const { release } of holders) release()
      await Promise.all(holders.map(({ ended }) => ended))

      expect(standing).toMatchObject({ bound: share, idle: 0, waiting: 20 - share })
    },
  )
})

describe('a tenant that wants a second connection where all are taken', () => {
  test.for([
    ['has its own again as soon as that comes back, and takes nobody else’s', true, 0],
    ['takes another’s that is idle after a moment in vain', false, 1],
  ] as const)('%s', async ([, comesBack, rebound], { openWith, place, neighbour }) => {
    const ctx = await openWith({ VALIDONX_CONNECTIONS: '2', VALIDONX_CONNECTIONS_PER_TENANT: '2' })
    await ctx.tenantDatabases.lend(neighbour, async () => {})
    const first = hold(ctx, place)
    await first.begun
    const second = hold(ctx, place)
    if (comesBack) first.release()
    await second.begun
    first.release()
    second.release()
    const threads = await Promise.all([first.ended, second.ended])

    expect(gaugesOf(ctx)).toMatchObject({ opened: 2, rebound })
    expect(new Set(threads).size).toBe(comesBack ? 1 : 2)
  })
})

describe('where all connections are in use', () => {
  test('whoever waits too long is told that the database is busy', async ({
    openWith,
    place,
    neighbour,
  }) => {
    const ctx = await openWith({ VALIDONX_CONNECTIONS: '1', VALIDONX_ACQUIRE_TIMEOUT: '0.1' })
    const holder = hold(ctx, place)
    await holder.begun
    const lent = ctx.tenantDatabases.lend(neighbour, async () => 'lent')
    const built = ctx.tenantDatabases.for(neighbour)('settings').select('name')

    await expect(lent).rejects.toMatchObject({ code: 'DATABASE.BUSY' })
    await expect(built).rejects.toMatchObject({ code: 'DATABASE.BUSY' })
    expect(gaugesOf(ctx)).toMatchObject({ bound: 1, waiting: 0, refused: 2 })

    holder.release()
    await holder.ended
    expect(await ctx.tenantDatabases.lend(neighbour, async () => 'lent')).toBe('lent')
  })

  test('the line has an end: whoever comes then is turned away at once', async ({
    openWith,
    place,
    neighbour,
  }) => {
    const ctx = await openWith({ VALIDONX_CONNECTIONS: '1', VALIDONX_ACQUIRE_TIMEOUT: '60' })
    const holder = hold(ctx, place)
    await holder.begun
    const line = Array.from({ length: 64 }, () =>
      ctx.tenantDatabases.lend(neighbour, async () => 'lent'),
    )
    await expect.poll(() => gaugesOf(ctx)?.waiting, SOON).toBe(64)

    await expect(ctx.tenantDatabases.lend(neighbour, async () => 'lent')).rejects.toMatchObject({
      code: 'DATABASE.BUSY',
    })

    holder.release()
    await holder.ended
    expect(new Set(await Promise.all(line))).toEqual(new Set(['lent']))
  })

  test('work whose caller left the line is never begun, and costs no connection', async ({
    openWith,
    place,
  }) => {
    const ctx = await openWith({ VALIDONX_CONNECTIONS: '1', VALIDONX_ACQUIRE_TIMEOUT: '60' })
    const holder = hold(ctx, place)
    await holder.begun
    const client = new AbortController()
    let hasBegun = false
    const left = ctx.tenantDatabases.lend(
      place,
      async () => {
        hasBegun = true
      },
      { signal: client.signal },
    )
    left.catch(() => {})
    await expect.poll(() => gaugesOf(ctx)?.waiting, SOON).toBe(1)
    client.abort()
    holder.release()

    await expect(left).rejects.toMatchObject({ name: 'AbortError' })
    expect(hasBegun).toBe(false)
    const sessionNow = await ctx.tenantDatabases.lend(place, async ({ threadId }) => threadId)
    expect(sessionNow).toBe(await holder.ended)
  })
})

describe('a connection that was lent', () => {
  test('is used again after a decision of ours, and by nobody after an error that was none', async ({
    openWith,
    place,
  }) => {
    const ctx = await openWith({ VALIDONX_CONNECTIONS: '1' })
    const { tenantDatabases } = ctx
    const session = () => tenantDatabases.lend(place, async ({ threadId }) => threadId)
    const leaveBy = (error: Error) =>
      expect(
        tenantDatabases.lend(place, async () => {
          throw error
        }),
      ).rejects.toBe(error)

    const first = await session()
    await leaveBy(new AppError('LICENSE.NOT_FOUND'))
    const second = await session()
    await leaveBy(new Error('nobody foresaw this'))
    const third = await session()

    expect(second).toBe(first)
    expect(third).not.toBe(first)
  })

  test('is cut off in the middle of a statement when its caller leaves', async ({
    openWith,
    place,
  }) => {
    const ctx = await openWith({ VALIDONX_CONNECTIONS: '1' })
    const client = new AbortController()
    const begun = createGate()
    const asked = ctx.tenantDatabases.lend(
      place,
      (connection) => {
        const answer = ask(connection, 'select sleep(5)')
        begun.open()
        return answer
      },
      { signal: client.signal },
    )
    await begun.opened
    client.abort()

    await expect(asked).rejects.toThrow()
    await expect.poll(() => gaugesOf(ctx), SOON).toMatchObject({ bound: 0, idle: 0, waiting: 0 })
    expect(await ctx.tenantDatabases.lend(place, async () => 'lent')).toBe('lent')
  })

  test('settles also where its session dies after its caller has left', async ({
    openWith,
    place,
    provisioner,
  }) => {
    const ctx = await openWith({ VALIDONX_CONNECTIONS: '1' })
    const client = new AbortController()
    let session = 0
    const asked = ctx.tenantDatabases.lend(
      place,
      (connection) => {
        session = connection.threadId
        return ask(connection, 'select sleep(5)')
      },
      { signal: client.signal },
    )
    asked.catch(() => {})
    await expect.poll(() => session, SOON).not.toBe(0)
    client.abort()
    // gone already where the server noticed by itself
    await provisioner.run(`kill ${session}`).catch(() => {})

    await expect(asked).rejects.toThrow()
    await expect.poll(() => gaugesOf(ctx), SOON).toMatchObject({ bound: 0, idle: 0, waiting: 0 })
  })

  test('is replaced where the server killed it while it was idle', async ({
    openWith,
    place,
    provisioner,
  }) => {
    const ctx = await openWith({ VALIDONX_CONNECTIONS: '2' })
    const { tenantDatabases } = ctx
    const session = await tenantDatabases.lend(place, async ({ threadId }) => threadId)
    await provisioner.run(`kill ${session}`)

    const [row] = await tenantDatabases.read<{ session: number }>(
      place,
      'select connection_id() as session',
      [],
    )

    expect(row?.session).not.toBe(session)
    expect(gaugesOf(ctx)).toMatchObject({ waiting: 0 })
  })
})

describe('closing a tenant', () => {
  test('ends its connections at once, in use or idle, turns away who waits, and touches nobody else', async ({
    openWith,
    place,
    neighbour,
  }) => {
    const ctx = await openWith({
      VALIDONX_CONNECTIONS: '8',
      VALIDONX_CONNECTIONS_PER_TENANT: '2',
      VALIDONX_ACQUIRE_TIMEOUT: '60',
    })
    const { tenantDatabases } = ctx
    const begun = createGate()
    const other = hold(ctx, neighbour)
    await other.begun
    const inUse = tenantDatabases.lend(place, (connection) => {
      const answer = ask(connection, 'select sleep(5)')
      begun.open()
      return answer
    })
    const inKnex = tenantDatabases.for(place).raw('select sleep(5)').then()
    await begun.opened
    await expect.poll(() => gaugesOf(ctx)?.bound, SOON).toBe(3)
    const waiting = tenantDatabases.lend(place, async () => 'lent')
    await expect.poll(() => gaugesOf(ctx)?.waiting, SOON).toBe(1)

    tenantDatabases.close(place.id)

    const ends = await Promise.allSettled([inUse, inKnex, waiting])
    expect(ends.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
    await expect(waiting).rejects.toMatchObject({ code: 'DATABASE.CONNECTION_LOST' })
    await expect.poll(() => tenantDatabases.boundTenants(), SOON).toEqual([neighbour.id])
    other.release()
    await other.ended
    expect(gaugesOf(ctx)).toMatchObject({ bound: 1, idle: 1, waiting: 0 })

    await tenantDatabases.lend(place, async () => 'lent')
    tenantDatabases.close(place.id)
    await expect.poll(() => tenantDatabases.boundTenants(), SOON).toEqual([neighbour.id])
  })
})

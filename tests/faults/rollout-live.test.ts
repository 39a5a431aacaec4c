import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect } from 'vitest'
import { migrateFleet } from '../../src/core/fleet/migrate-fleet.js'
import type { RolloutEvent } from '../../src/core/fleet/run-rollout.js'
import { Caller } from '../support/caller.js'
import { addMigrations, bare, databaseOf, type PlainMigration } from '../support/fleet.js'
import { test as house } from '../support/house.js'
import { type Environment, initialize } from '../support/platform.js'
import { startServe } from '../support/process.js'
import { openShop } from '../support/shop.js'

const NOTE: PlainMigration = {
  name: '20991201-01-note',
  up: ['alter table licenses add column note varchar(200) null'],
  down: ['alter table licenses drop column note'],
}

/** A server under load, for one tenant. */
const test = house
  .extend('url', { scope: 'file' }, async ({ environment }, { onCleanup }) => {
    const { VALIDONX_DATABASE_URL: _, ...rest } = environment
    const runtime: Environment = { ...rest, VALIDONX_RUNTIME_URL: await initialize(environment) }
    const { child, url } = await startServe(runtime)
    onCleanup(() => {
      child.kill('SIGKILL')
    })
    return url
  })
  .extend('newer', async ({ task: _ }, { onCleanup }) => (migration: PlainMigration) => {
    onCleanup(addMigrations([migration]))
  })
  .extend('shop', async ({ ctx }) => openShop(ctx))
  .extend('load', async ({ url, shop }, { onCleanup }) => {
    const client = new Caller(20)
    const { key } = await shop.issue()
    const took: number[] = []
    const statuses = new Map<number, number>()
    let going = true
    const one = async () => {
      const start = performance.now()
      const { status } = await client.post(`${url}/v1/integration/licenses/${key}/validate`, {
        apiKey: shop.apiKey,
      })
      took.push(performance.now() - start)
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
    }
    const stream = async () => {
      while (going) {
        await one()
        await sleep(20)
      }
    }
    const streams = Promise.all([stream(), stream(), stream()])
    onCleanup(async () => {
      going = false
      await streams
      client[Symbol.dispose]()
    })
    return {
      statuses,
      count: () => took.length,
      /** Milliseconds; of all answers so far. */
      p99: () => [...took].sort((one, other) => one - other)[Math.floor(took.length * 0.99)] ?? 0,
      stop: async () => {
        going = false
        await streams
      },
    }
  })

describe('while a server answers for a tenant', () => {
  test('its migration runs between two requests, and every one of them is answered', async ({
    ctx,
    shop,
    newer,
    load,
  }) => {
    newer(NOTE)
    await expect.poll(load.count).toBeGreaterThan(50)
    const there = await migrateFleet(ctx, { kind: 'new', wish: { slugs: [shop.slug] } })
    const before = load.count()
    await expect.poll(load.count).toBeGreaterThan(before + 50)
    const back = await migrateFleet(ctx, {
      kind: 'new',
      wish: { slugs: [shop.slug], rollback: true },
    })
    await load.stop()

    expect([there.outcome?.status, back.outcome?.status]).toEqual(['done', 'done'])
    expect([...load.statuses.keys()]).toEqual([200])
  })

  test('a migration that a reader keeps waiting gives way again and again, and then names the reader', async ({
    ctx,
    shop,
    newer,
    load,
    provisioner,
    annotate,
  }) => {
    newer(NOTE)
    const reader = bare(provisioner, databaseOf(ctx, shop.slug)).promise()
    await reader.query('start transaction')
    await reader.query('select count(*) from licenses')
    const [[row]] = (await reader.query('select connection_id() as id')) as unknown as [
      { id: number }[],
    ]
    const events: RolloutEvent[] = []
    const blocked = await migrateFleet(
      ctx,
      { kind: 'new', wish: { slugs: [shop.slug] } },
      { report: (event) => events.push(event) },
    )
    await reader.query('rollback')
    await reader.end()
    await load.stop()
    const after = await migrateFleet(ctx, { kind: 'retry failed' })

    await annotate(
      `${load.count()} requests beside a migration that waits: p99 ${load.p99().toFixed(0)} ms`,
    )
    const [failure] = events.flatMap((event) => (event.type === 'failed' ? [event.error] : []))
    expect(blocked.outcome).toMatchObject({ status: 'failed', done: 0, failed: 1 })
    expect(failure).toMatchObject({
      code: 'MIGRATION.BLOCKED',
      message: expect.stringContaining(`session ${row?.id} of `),
    })
    expect(events.filter(({ type }) => type === 'retry').length).toBeGreaterThan(2)
    expect([...load.statuses.keys()]).toEqual([200])
    expect(after.outcome).toMatchObject({ status: 'done', done: 1 })
  })
})

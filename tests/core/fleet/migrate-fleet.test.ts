import { rm } from 'node:fs/promises'
import { describe, expect, onTestFinished } from 'vitest'
import { startEmbeddedServer, stopEmbeddedServer } from '../../../src/core/db/embedded-server.js'
import { withLease } from '../../../src/core/db/lease.js'
import { formatDatabaseUrl } from '../../../src/core/db/server-address.js'
import { quoteName } from '../../../src/core/db/sql.js'
import { addServer } from '../../../src/core/fleet/add-server.js'
import { type FleetMigration, migrateFleet } from '../../../src/core/fleet/migrate-fleet.js'
import { planRollout, sqlOf } from '../../../src/core/fleet/plan-rollout.js'
import { getRollout, listRolloutTenants } from '../../../src/core/fleet/rollout-store.js'
import { batchesOf, type RolloutEvent } from '../../../src/core/fleet/run-rollout.js'
import { newId } from '../../../src/core/ids.js'
import { provisionTenant } from '../../../src/core/provisioning/provision-tenant.js'
import { FIRST_SERVER } from '../../../src/core/servers/database-server.js'
import { suspendTenant } from '../../../src/core/tenants/change-status.js'
import { getTenant } from '../../../src/core/tenants/tenant-store.js'
import {
  addMigrations,
  bare,
  databaseOf,
  ledgerOf,
  type PlainMigration,
  schemasAmong,
} from '../../support/fleet.js'
import { freshSlug, test as house, provision, provisionFleet } from '../../support/house.js'
import { makeThrowAwayFolder } from '../../support/throw-away-folder.js'

const NOTE: PlainMigration = {
  name: '20991201-01-note',
  up: ['alter table licenses add column note varchar(200) null'],
  down: ['alter table licenses drop column note'],
}
const FILL: PlainMigration = {
  name: '20991202-01-fill-note',
  up: ["update licenses set note = 'none' where note is null", 'update settings set value = value'],
  down: ['update licenses set note = null'],
}
const WIDGETS: PlainMigration = {
  name: '20991203-01-widgets',
  up: [
    'create table widgets (id int not null primary key, label varchar(20), key labels (label)) engine = InnoDB',
  ],
  down: ['drop table widgets'],
}

/** A fleet of its own for each test: six tenants that no other test touches. */
const test = house
  .extend('slugs', async ({ ctx }) => provisionFleet(ctx, 6))
  .extend('newer', async ({ slugs: _ }, { onCleanup }) => (...migrations: PlainMigration[]) => {
    onCleanup(addMigrations(migrations))
  })
  .extend('standing', async ({ ctx, provisioner, slugs }) => async (name: string) => {
    const ledgers = await Promise.all(
      slugs.map((slug) => ledgerOf(provisioner, databaseOf(ctx, slug))),
    )
    return ledgers.map((ledger) => ledger[name] ?? 0)
  })

const numbers = ({ outcome }: FleetMigration) =>
  outcome && [outcome.status, outcome.done, outcome.failed, outcome.left]

describe('a rollout', () => {
  test('does what is pending in every tenant, once, and has nothing to do the second time', async ({
    ctx,
    provisioner,
    slugs,
    newer,
    standing,
  }) => {
    newer(NOTE, FILL, WIDGETS)
    const first = await migrateFleet(ctx, { kind: 'new', wish: { slugs } })
    const second = await migrateFleet(ctx, { kind: 'new', wish: { slugs } })

    expect(numbers(first)).toEqual(['done', 6, 0, 0])
    expect([second.outcome, second.plan.leftAlone.length]).toEqual([undefined, 6])
    for (const { name } of [NOTE, FILL, WIDGETS])
      expect(await standing(name)).toEqual([1, 1, 1, 1, 1, 1])
    expect(
      await schemasAmong(
        provisioner,
        slugs.map((slug) => databaseOf(ctx, slug)),
      ),
    ).toHaveLength(1)
    const { id, status } = await getRollout(ctx.platform, first.outcome?.rolloutId ?? '')
    const tenants = await listRolloutTenants(ctx.platform, id)
    expect([status, tenants.map((tenant) => tenant.status)]).toEqual([
      'done',
      Array(6).fill('done'),
    ])
  })

  test('gives a tenant that is provisioned from now on the same schema', async ({
    ctx,
    provisioner,
    slugs,
    newer,
  }) => {
    newer(WIDGETS)
    await migrateFleet(ctx, { kind: 'new', wish: { slugs } })
    const later = freshSlug()
    await provision(ctx, later)

    expect(await ledgerOf(provisioner, databaseOf(ctx, later))).toMatchObject({ [WIDGETS.name]: 1 })
    const databases = [...slugs, later].map((slug) => databaseOf(ctx, slug))
    expect(await schemasAmong(provisioner, databases)).toHaveLength(1)
  })

  test('goes back so many migrations as it is told, and forward again', async ({
    ctx,
    slugs,
    newer,
    standing,
  }) => {
    newer(NOTE, FILL, WIDGETS)
    await migrateFleet(ctx, { kind: 'new', wish: { slugs } })
    const back = await migrateFleet(ctx, { kind: 'new', wish: { slugs, rollback: true, steps: 2 } })
    const after = [
      await standing(NOTE.name),
      await standing(FILL.name),
      await standing(WIDGETS.name),
    ]
    const forward = await migrateFleet(ctx, { kind: 'new', wish: { slugs, to: FILL.name } })

    expect(numbers(back)).toEqual(['done', 6, 0, 0])
    expect(after.map((counts) => new Set(counts))).toEqual([
      new Set([1]),
      new Set([0]),
      new Set([0]),
    ])
    expect(numbers(forward)).toEqual(['done', 6, 0, 0])
    expect(await standing(WIDGETS.name)).toEqual([0, 0, 0, 0, 0, 0])
    await expect(
      planRollout(ctx, { slugs, to: NOTE.name }).then(({ refused }) =>
        refused.map(({ error }) => error.code),
      ),
    ).resolves.toEqual(Array(6).fill('MIGRATION.NO_WAY_BACK'))
  })

  test('names who fails, does the others, and retries only them once they are mended', async ({
    ctx,
    provisioner,
    slugs,
    newer,
    standing,
  }) => {
    newer(WIDGETS)
    const broken = slugs.slice(2, 4)
    for (const slug of broken)
      await provisioner.run(`create table ${quoteName(databaseOf(ctx, slug))}.widgets (id int)`)
    const events: RolloutEvent[] = []
    const first = await migrateFleet(ctx, { kind: 'new', wish: { slugs } })
    for (const slug of broken)
      await provisioner.run(`drop table ${quoteName(databaseOf(ctx, slug))}.widgets`)
    const again = await migrateFleet(
      ctx,
      { kind: 'retry failed' },
      { report: (e) => events.push(e) },
    )

    expect(numbers(first)).toEqual(['failed', 4, 2, 0])
    expect(numbers(again)).toEqual(['done', 2, 0, 0])
    expect(again.outcome?.rolloutId).toBe(first.outcome?.rolloutId)
    expect(events.flatMap((e) => (e.type === 'done' ? [e.tenant] : [])).sort()).toEqual(broken)
    expect(await standing(WIDGETS.name)).toEqual([1, 1, 1, 1, 1, 1])
  })

  test('ends after its canary where that fails, and after a batch with too many failures', async ({
    ctx,
    provisioner,
    slugs,
    newer,
  }) => {
    newer(WIDGETS)
    const [canary = '', second = ''] = slugs
    const block = (slug: string) =>
      provisioner.run(`create table ${quoteName(databaseOf(ctx, slug))}.widgets (id int)`)
    await block(canary)
    const first = await migrateFleet(ctx, { kind: 'new', wish: { slugs } })
    await block(second)
    const other = await migrateFleet(
      ctx,
      { kind: 'new', wish: { slugs } },
      { terms: { canary: 0, batchSize: 2, maxFailures: 1 } },
    )

    expect(numbers(first)).toEqual(['stopped', 0, 1, 5])
    expect(numbers(other)).toEqual(['stopped', 0, 2, 4])
  })

  test('that is told to stop ends what runs, leaves the rest, and goes on where it was', async ({
    ctx,
    slugs,
    newer,
    standing,
  }) => {
    newer(WIDGETS)
    const stopping = new AbortController()
    const cut = await migrateFleet(
      ctx,
      { kind: 'new', wish: { slugs } },
      {
        terms: { canary: 0, concurrency: 1 },
        signal: stopping.signal,
        report: ({ type }) => type === 'done' && stopping.abort(),
      },
    )
    const left = await migrateFleet(ctx, { kind: 'resume' })

    expect(numbers(cut)).toEqual(['interrupted', 1, 0, 5])
    expect(numbers(left)).toEqual(['done', 5, 0, 0])
    expect(await standing(WIDGETS.name)).toEqual([1, 1, 1, 1, 1, 1])
  })

  test('is one at a time', async ({ ctx, slugs, newer }) => {
    newer(WIDGETS)
    await withLease(
      ctx.platform,
      'rollout',
      { ...ctx.lease, holder: { name: 'elsewhere:1:x', machine: undefined, pid: 1 } },
      async () => {
        await expect(migrateFleet(ctx, { kind: 'new', wish: { slugs } })).rejects.toMatchObject({
          code: 'LEASE.HELD',
          message: expect.stringContaining('elsewhere:1:x'),
        })
      },
    )
  })
})

describe('a plan', () => {
  test('takes tenants by name, plan, server and status, and refuses names that nobody has', async ({
    ctx,
    slugs,
    newer,
  }) => {
    const big = freshSlug()
    await provision(ctx, big, 'enterprise')
    newer(NOTE)
    const [suspended = '', ...open] = slugs
    await suspendTenant(ctx, { slug: suspended })
    const all = [...slugs, big]
    const of = async (wish: object) =>
      (await planRollout(ctx, { slugs: all, ...wish })).tasks.map(({ slug }) => slug).sort()

    expect(await of({})).toEqual([...all].sort())
    expect(await of({ exclude: open })).toEqual([suspended, big].sort())
    expect(await of({ plans: ['enterprise'] })).toEqual([big])
    expect(await of({ statuses: ['suspended'] })).toEqual([suspended])
    expect(await of({ servers: [FIRST_SERVER] })).toHaveLength(7)
    for (const [wish, code] of [
      [{ slugs: ['nobody'] }, 'TENANT.NOT_FOUND'],
      [{ exclude: ['nobody'] }, 'TENANT.NOT_FOUND'],
      [{ plans: ['nothing'] }, 'PLAN.NOT_FOUND'],
      [{ servers: ['nowhere'] }, 'SERVER.NOT_FOUND'],
      [{ to: 'nothing' }, 'MIGRATION.NOT_FOUND'],
      [{ to: NOTE.name, rollback: true, steps: 1 }, 'VALIDATION.FAILED'],
      [{ steps: 1 }, 'VALIDATION.FAILED'],
      [{ rollback: true, to: 'nothing' }, 'MIGRATION.NOT_FOUND'],
      [{ rollback: true, rollout: 'nothing' }, 'ROLLOUT.NOT_FOUND'],
      [{ rollback: true, steps: 99 }, 'ROLLOUT.STEPS_TOO_MANY'],
    ] as const)
      await expect(planRollout(ctx, wish as object)).rejects.toMatchObject({ code })
  })

  test('shows the statements with their values, and tells schema from data', async ({
    ctx,
    slugs,
    newer,
  }) => {
    newer(NOTE, FILL)
    const plan = await planRollout(ctx, { slugs })

    expect(plan.migrations).toEqual([
      { name: NOTE.name, kind: 'schema', tenants: 6 },
      { name: FILL.name, kind: 'data', tenants: 6 },
    ])
    expect(Object.fromEntries(await sqlOf(plan))).toEqual({
      [NOTE.name]: NOTE.up,
      [FILL.name]: FILL.up,
    })
  })

  test('refuses a tenant whose database is gone, another’s, or ahead, and lets the others be', async ({
    ctx,
    provisioner,
    slugs,
    newer,
    cli,
  }) => {
    newer(NOTE)
    const [gone = '', taken = '', ahead = ''] = slugs
    const at = (slug: string) => quoteName(databaseOf(ctx, slug))
    await provisioner.run(`drop database ${at(gone)}`)
    await provisioner.run(`update ${at(taken)}.validonx_owner set tenant_id = ?`, [newId()])
    await provisioner.run(
      `insert into ${at(ahead)}.knex_migrations (name, batch) values ('20999999-from-the-future', 9)`,
    )
    const plan = await planRollout(ctx, { slugs })
    const run = await cli('tenant', 'migrate', '--tenants', slugs.join(','), '--json')

    expect(plan.tasks).toHaveLength(3)
    expect(plan.refused.map(({ tenant, error }) => [tenant.slug, error.code])).toEqual([
      [gone, 'TENANT.DATABASE_MISSING'],
      [taken, 'PROVISIONING.DATABASE_TAKEN'],
      [ahead, 'MIGRATION.AHEAD'],
    ])
    expect(run.exit).toBe(1)
    expect(JSON.parse(run.out.trim().split('\n').at(-1) ?? '')).toMatchObject({
      event: 'summary',
      done: 3,
      failed: 3,
    })
  })

  test('waits for a lock on the table that names the owner of the database', async ({
    ctx,
    provisioner,
    slugs,
    newer,
  }) => {
    newer(NOTE)
    const holders = slugs.map((slug) => bare(provisioner, databaseOf(ctx, slug)))
    const all = (sql: string) =>
      Promise.all(
        holders.map(
          (holder) =>
            new Promise<void>((done, fail) =>
              holder.query(sql, (error) => (error ? fail(error) : done())),
            ),
        ),
      )
    onTestFinished(() => {
      for (const holder of holders) holder.destroy()
    })
    const waited: string[] = []
    const { outcome } = await migrateFleet(
      ctx,
      { kind: 'new', wish: { slugs } },
      {
        terms: { canary: 0, concurrency: 1 },
        // after the plan was made; the first tenant opens the session, the others are entered by it
        confirm: async () => {
          holders.shift()?.destroy()
          await all('lock tables validonx_owner write')
          return true
        },
        report: (event) => {
          if (event.type !== 'retry') return
          waited.push(event.tenant)
          void all('unlock tables')
        },
      },
    )

    expect(outcome).toMatchObject({ status: 'done', done: 6, failed: 0 })
    expect(waited.length).toBeGreaterThan(0)
  })

  test('a server that is away fails its own tenants alone', async ({ ctx, slugs, newer }) => {
    newer(NOTE)
    const [orphan = ''] = slugs
    const { id } = await getTenant(ctx.platform, orphan)
    const server = newId()
    // the runtime login may not add servers: the row is the provisioner's to write
    const provisioner = await ctx.provisioner()
    await provisioner.run(
      `insert into ${quoteName(ctx.config.platformDatabase)}.database_servers (id, name, host, port, capacity, accepts_tenants, version, created_at, updated_at) values (?, ?, '127.0.0.1', 1, 10, 0, '', now(), now())`,
      [server, `away-${server.slice(-6)}`],
    )
    await ctx.platform('tenants').where({ id }).update({ server_id: server })
    const { outcome, plan } = await migrateFleet(ctx, { kind: 'new', wish: { slugs } })

    expect(outcome).toMatchObject({ status: 'failed', done: 5, failed: 1 })
    expect(plan.refused.map(({ tenant, error }) => [tenant.slug, error.code])).toEqual([
      [orphan, 'DATABASE.UNREACHABLE'],
    ])
  })
})

test('two servers are migrated side by side, and one that dies fails its own tenants alone', async ({
  ctx,
  slugs,
  newer,
}) => {
  const home = await makeThrowAwayFolder('second')
  onTestFinished(async () => {
    await stopEmbeddedServer(home)
    await rm(home, { recursive: true, force: true })
  })
  const { address, login } = await startEmbeddedServer(home, { durable: false })
  const second = `second-${newId().slice(-6)}`
  await addServer(ctx, { name: second, url: formatDatabaseUrl(address, login) })
  const there = Array.from({ length: 3 }, () => freshSlug())
  for (const slug of there)
    await provisionTenant(ctx, { slug, server: second }, { deliver: async () => {} })
  const wish = { slugs: [...slugs, ...there] }
  newer(NOTE, WIDGETS)
  const begun: string[] = []
  const both = await migrateFleet(
    ctx,
    { kind: 'new', wish: { ...wish, to: NOTE.name } },
    {
      terms: { canary: 0, concurrency: 1 },
      report: (event) => event.type === 'started' && begun.push(event.tenant),
    },
  )
  let stopped: Promise<boolean> | undefined
  const halved = await migrateFleet(
    ctx,
    { kind: 'new', wish },
    {
      terms: { canary: 0, concurrency: 1, maxFailures: 0 },
      reconnectForMs: 1_000,
      // after the plan was made
      confirm: async () => {
        stopped = stopEmbeddedServer(home)
        return stopped
      },
    },
  )

  await startEmbeddedServer(home, { durable: false })
  const mended = await migrateFleet(ctx, { kind: 'retry failed' })

  expect(numbers(both)).toEqual(['done', 9, 0, 0])
  expect(new Set(begun.slice(0, 2).map((slug) => there.includes(slug)))).toEqual(
    new Set([true, false]),
  )
  expect(halved.outcome).toMatchObject({ status: 'failed', done: 6, failed: 3 })
  expect(mended.outcome).toMatchObject({ status: 'done', done: 3, failed: 0 })
})

describe('batches', () => {
  house.for([
    [10, 1, 4, [1, 4, 4, 1]],
    [10, 0, 4, [4, 4, 2]],
    [3, 5, 2, [2, 1]],
    [1, 1, 100, [1]],
    [0, 1, 100, []],
  ] as const)(
    'of %i tenants with a canary of %i and %i at a time are %o',
    ([tenants, canary, batchSize, sizes]) => {
      const all = Array.from({ length: tenants }, (_, index) => index)
      const batches = batchesOf(all, { canary, batchSize })

      expect(batches.map((batch) => batch.length)).toEqual(sizes)
      expect(batches.flat()).toEqual(all)
    },
  )
})

import { describe, expect } from 'vitest'
import * as splitRolloutErrors from '../../../migrations/platform/20261125-13-split-rollout-errors.js'
import * as markCutOffTenants from '../../../migrations/platform/20261125-15-mark-cut-off-tenants.js'
import type { Context } from '../../../src/core/context.js'
import { quoteName } from '../../../src/core/db/sql.js'
import {
  type FleetMigration,
  type FleetRequest,
  type MigrateFleetOptions,
  migrateFleet,
} from '../../../src/core/fleet/migrate-fleet.js'
import { planRollout, type RolloutWish } from '../../../src/core/fleet/plan-rollout.js'
import { listRolloutTenants } from '../../../src/core/fleet/rollout-store.js'
import { getTenant } from '../../../src/core/tenants/tenant-store.js'
import { addMigrations, databaseOf, ledgerOf, type PlainMigration } from '../../support/fleet.js'
import { freshSlug, test as house, provision, provisionFleet } from '../../support/house.js'

const table = (name: string, day: number): PlainMigration => ({
  name: `2099120${day}-01-${name}`,
  up: [`create table ${name} (id int not null primary key) engine = InnoDB`],
  down: [`drop table ${name}`],
})

const ONE = table('one', 1)
const TWO = table('two', 2)
const THREE = table('three', 3)

/** Three tenants and no other: a rollback looks at the whole fleet. Each test finds them as new. */
const test = house
  .extend('fleet', { scope: 'file' }, async ({ ctx }) => provisionFleet(ctx, 3))
  .extend('slugs', async ({ ctx, provisioner, fleet }, { onCleanup }) => {
    onCleanup(async () => {
      const platform = quoteName(ctx.config.platformDatabase)
      const undo = fleet.map((slug) => {
        const at = quoteName(databaseOf(ctx, slug))
        return `drop table if exists ${at}.three, ${at}.two, ${at}.one; delete from ${at}.knex_migrations where name like '2099%'`
      })
      await provisioner.run(
        `${undo.join('; ')}; delete from ${platform}.rollout_tenants; delete from ${platform}.rollouts`,
      )
    })
    return fleet
  })
  .extend('newer', async ({ slugs: _ }, { onCleanup }) => (...migrations: PlainMigration[]) => {
    onCleanup(addMigrations(migrations))
  })
  .extend(
    'at',
    async ({ ctx }) =>
      (slug: string) =>
        quoteName(databaseOf(ctx, slug)),
  )
  .extend('tables', async ({ ctx, provisioner, slugs }) => async (more: string[] = []) => {
    const tables = async (slug: string) => {
      const database = databaseOf(ctx, slug)
      const rows = await provisioner.rows<{ name: string }>(
        "select table_name as name from information_schema.tables where table_schema = ? and table_name in ('one', 'two', 'three')",
        [database],
      )
      const ledger = Object.keys(await ledgerOf(provisioner, database))
        .filter((name) => name.startsWith('2099'))
        .map((name) => name.slice('20991201-01-'.length))
      const names = rows.map(({ name }) => name).sort()
      expect(names).toEqual(ledger.sort())
      return names.join(' ')
    }
    return Promise.all([...slugs, ...more].map(tables))
  })

const up = (ctx: Context, wish: RolloutWish = {}, options: MigrateFleetOptions = {}) =>
  migrateFleet(ctx, { kind: 'new', wish }, { terms: { canary: 0 }, ...options })
const back = (ctx: Context, wish: RolloutWish = {}) => up(ctx, { rollback: true, ...wish })

const numbers = ({ outcome }: FleetMigration) =>
  outcome && [outcome.status, outcome.done, outcome.failed, outcome.left]
const aloneIn = ({ plan }: FleetMigration) =>
  plan.leftAlone.map(({ tenant, keeps }) => [tenant.slug, keeps.length])

describe('a rollback', () => {
  test('takes a migration back where its rollout applied it, and nothing older where it failed', async ({
    ctx,
    provisioner,
    slugs,
    newer,
    at,
    tables,
  }) => {
    newer(ONE)
    const [failing = ''] = slugs
    await provisioner.run(`create table ${at(failing)}.one (id text)`)
    const forth = await up(ctx)
    const undone = await back(ctx)
    await provisioner.run(`drop table ${at(failing)}.one`)

    expect(numbers(forth)).toEqual(['failed', 2, 1, 0])
    expect(numbers(undone)).toEqual(['done', 2, 0, 0])
    expect(undone.plan.undoes?.id).toBe(forth.outcome?.rolloutId)
    expect(aloneIn(undone)).toEqual([[failing, 0]])
    expect(await tables()).toEqual(['', '', ''])
    for (const slug of slugs)
      expect(await ledgerOf(provisioner, databaseOf(ctx, slug))).toMatchObject({
        '20261101-11-idempotency-keys': 1,
      })
  })

  test('repeated takes back the rollout before, and then says that there is nothing', async ({
    ctx,
    newer,
    tables,
  }) => {
    newer(ONE, TWO)
    await up(ctx, { to: ONE.name })
    await up(ctx)
    await back(ctx)
    const once = await tables()
    await back(ctx)
    const twice = await tables()
    const third = await back(ctx)

    expect([once, twice]).toEqual([
      ['one', 'one', 'one'],
      ['', '', ''],
    ])
    expect([third.outcome, third.plan.undoes]).toEqual([undefined, undefined])
  })

  test('of a rollout that applied nothing leaves the one before alone', async ({
    ctx,
    provisioner,
    slugs,
    newer,
    at,
    tables,
  }) => {
    newer(ONE, TWO)
    await up(ctx, { to: ONE.name })
    for (const slug of slugs) await provisioner.run(`create table ${at(slug)}.two (id text)`)
    const failed = await up(ctx)
    const undone = await back(ctx)
    for (const slug of slugs) await provisioner.run(`drop table ${at(slug)}.two`)

    expect(numbers(failed)).toEqual(['failed', 0, 3, 0])
    expect([undone.outcome, undone.plan.undoes?.id]).toEqual([undefined, failed.outcome?.rolloutId])
    expect(await tables()).toEqual(['one', 'one', 'one'])
  })

  test('takes back all that a rollout did in several attempts', async ({
    ctx,
    provisioner,
    slugs,
    newer,
    at,
    tables,
  }) => {
    newer(ONE, TWO)
    const [failing = ''] = slugs
    await provisioner.run(`create table ${at(failing)}.two (id text)`)
    await up(ctx)
    await provisioner.run(`drop table ${at(failing)}.two`)
    await migrateFleet(ctx, { kind: 'retry failed' })
    const all = await tables()
    await back(ctx)

    expect(all).toEqual(['one two', 'one two', 'one two'])
    expect(await tables()).toEqual(['', '', ''])
  })

  test('after an interrupted rollout was resumed takes back both halves', async ({
    ctx,
    newer,
    tables,
  }) => {
    newer(ONE)
    const stopping = new AbortController()
    const cut = await up(
      ctx,
      {},
      {
        terms: { canary: 0, concurrency: 1 },
        signal: stopping.signal,
        report: ({ type }) => type === 'done' && stopping.abort(),
      },
    )
    const resumed = await migrateFleet(ctx, { kind: 'resume' })
    await back(ctx)

    expect([numbers(cut), numbers(resumed)]).toEqual([
      ['interrupted', 1, 0, 2],
      ['done', 2, 0, 0],
    ])
    expect(await tables()).toEqual(['', '', ''])
  })

  test('of one tenant’s rollout takes nothing from the others, and names them', async ({
    ctx,
    slugs: [first = '', ...others],
    newer,
    tables,
  }) => {
    newer(ONE)
    await up(ctx, { slugs: others })
    await up(ctx, { slugs: [first] })
    const late = freshSlug()
    await provision(ctx, late)
    const undone = await back(ctx)

    expect(aloneIn(undone)).toEqual(expect.arrayContaining([...others, late].map((s) => [s, 1])))
    expect(await tables([late])).toEqual(['', 'one', 'one', 'one'])
    await ctx.platform('tenants').where({ slug: late }).update({ status: 'archived' })
  })

  test('that leaves tenants out can be finished later, before an earlier rollout is undone', async ({
    ctx,
    slugs: [first = ''],
    newer,
    tables,
  }) => {
    newer(ONE, TWO)
    await up(ctx, { to: ONE.name })
    await up(ctx)
    await back(ctx, { exclude: [first] })
    const again = await back(ctx, { exclude: [first] })
    const left = await tables()
    await back(ctx)

    expect(again.outcome).toBeUndefined()
    expect(left).toEqual(['one two', 'one', 'one'])
    expect(await tables()).toEqual(['one', 'one', 'one'])
  })

  test('that failed somewhere is finished by --retry-failed or by itself', async ({
    ctx,
    provisioner,
    slugs: [first = '', second = ''],
    newer,
    at,
    tables,
  }) => {
    newer(ONE)
    await up(ctx)
    const hold = (slug: string) =>
      provisioner.run(
        `create table ${at(slug)}.holder (id int, constraint held foreign key (id) references ${at(slug)}.one (id)) engine = InnoDB`,
      )
    await hold(first)
    await hold(second)
    const part = await back(ctx)
    await provisioner.run(`drop table ${at(first)}.holder`)
    const retried = await migrateFleet(ctx, { kind: 'retry failed' })
    const between = await tables()
    await provisioner.run(`drop table ${at(second)}.holder`)
    const again = await back(ctx)

    expect([part, retried, again].map(numbers)).toEqual([
      ['failed', 1, 2, 0],
      ['failed', 1, 1, 0],
      ['done', 1, 0, 0],
    ])
    expect(between).toEqual(['', 'one', ''])
    expect(await tables()).toEqual(['', '', ''])
  })

  test('knows what a killed process did and did not record', async ({
    ctx,
    provisioner,
    slugs: [first = '', second = ''],
    newer,
    at,
    tables,
  }) => {
    newer(ONE, TWO)
    const { outcome } = await up(ctx)
    // as a kill leaves it: results unrecorded, and one statement done without its row in the ledger
    await provisioner.run(`delete from ${at(second)}.knex_migrations where name = ?`, [TWO.name])
    await ctx.platform('rollouts').where({ id: outcome?.rolloutId }).update({ status: 'running' })
    for (const slug of [first, second]) {
      const { id } = await getTenant(ctx.platform, slug)
      await ctx
        .platform('rollout_tenants')
        .where({ rollout_id: outcome?.rolloutId, tenant_id: id })
        .update({ status: 'running', applied: null })
    }
    const undone = await back(ctx)

    expect(numbers(undone)).toEqual(['done', 3, 0, 0])
    expect(await tables()).toEqual(['', '', ''])
  })

  test('leaves what was made by hand before the rollout found it', async ({
    ctx,
    provisioner,
    slugs: [first = ''],
    newer,
    at,
    tables,
  }) => {
    newer(ONE)
    const [create = ''] = ONE.up
    await provisioner.run(create.replace('create table one', `create table ${at(first)}.one`))
    const forth = await up(ctx)
    const undone = await back(ctx)

    expect(numbers(forth)).toEqual(['done', 3, 0, 0])
    expect(aloneIn(undone)).toEqual([[first, 1]])
    expect(await tables()).toEqual(['one', '', ''])
  })

  test('of an earlier rollout by its id works until something is on top', async ({
    ctx,
    slugs: [first = '', ...others],
    newer,
    tables,
  }) => {
    newer(ONE, TWO)
    const earlier = await up(ctx, { to: ONE.name })
    await up(ctx, { slugs: [first] })
    const rollout = earlier.outcome?.rolloutId ?? ''
    const undone = await back(ctx, { rollout: rollout.slice(-12) })

    expect(undone.plan.refused.map(({ tenant, error }) => [tenant.slug, error.code])).toEqual([
      [first, 'MIGRATION.NOT_ON_TOP'],
    ])
    expect(undone.plan.tasks.map(({ slug }) => slug)).toEqual(others)
    expect(await tables()).toEqual(['one two', '', ''])
    await expect(
      planRollout(ctx, { rollback: true, rollout: undone.outcome?.rolloutId ?? '' }),
    ).rejects.toMatchObject({ code: 'ROLLOUT.IS_ROLLBACK' })
  })

  test.for([
    ['to a migration', { to: ONE.name }],
    ['by steps of the fleet', { steps: 2 }],
  ] as const)(
    '%s takes the same migrations from every tenant that has them',
    async ([, wish], { ctx, slugs: [first = '', second = '', third = ''], newer, tables }) => {
      newer(ONE, TWO, THREE)
      await up(ctx, { slugs: [first] })
      await up(ctx, { slugs: [second], to: TWO.name })
      await up(ctx, { slugs: [third], to: ONE.name })
      const undone = await back(ctx, wish)

      expect(undone.plan.target).toBe(ONE.name)
      expect(undone.plan.migrations.map(({ tenants }) => tenants)).toEqual([2, 1])
      expect(aloneIn(undone)).toEqual([[third, 0]])
      expect(await tables()).toEqual(['one', 'one', 'one'])
    },
  )

  test('counts steps in the fleet also if it is for one tenant', async ({
    ctx,
    slugs: [first = '', ...others],
    newer,
    tables,
  }) => {
    newer(ONE, TWO)
    await up(ctx, { slugs: others })
    await up(ctx, { slugs: [first], to: ONE.name })
    const undone = await back(ctx, { slugs: [first], steps: 1 })

    expect([undone.outcome, undone.plan.target]).toEqual([undefined, ONE.name])
    expect(await tables()).toEqual(['one', 'one two', 'one two'])
  })

  test.for([
    ['without statements', { ...ONE, down: [] }],
    ['that throws', { ...ONE, down: undefined as unknown as string[] }],
  ] as const)(
    'is refused as a whole if a migration has a way back %s',
    async ([, oneWay], { ctx, newer, tables }) => {
      newer(oneWay, TWO)
      await up(ctx)

      await expect(back(ctx)).rejects.toMatchObject({ code: 'MIGRATION.IRREVERSIBLE' })
      expect(await tables()).toEqual(['one two', 'one two', 'one two'])
    },
  )

  test('of an earlier version’s rollout, which did not record enough, is refused', async ({
    ctx,
    newer,
    tables,
  }) => {
    newer(ONE)
    const { outcome } = await up(ctx)
    await ctx
      .platform('rollouts')
      .where({ id: outcome?.rolloutId })
      .update({ records_applied: false })

    await expect(back(ctx)).rejects.toMatchObject({ code: 'ROLLOUT.NOT_RECORDED' })
    await back(ctx, { to: '20261101-11-idempotency-keys' })
    expect(await tables()).toEqual(['', '', ''])
  })

  test('of an earlier version is not gone on with: it may have planned older migrations', async ({
    ctx,
    newer,
    tables,
    slugs: [first = ''],
  }) => {
    newer(ONE)
    await up(ctx)
    const { outcome } = await back(ctx, { slugs: [first] })
    const rollback = { id: outcome?.rolloutId ?? '' }
    await ctx
      .platform('rollouts')
      .where(rollback)
      .update({ undoes: null, target: '-3', status: 'failed', records_applied: false })
    await ctx
      .platform('rollout_tenants')
      .where({ rollout_id: rollback.id })
      .update({ status: 'failed', planned: '["20261101-11-idempotency-keys"]', applied: null })

    await expect(migrateFleet(ctx, { kind: 'retry failed' })).rejects.toMatchObject({
      code: 'ROLLOUT.NOT_RECORDED',
    })
    expect(await tables()).toEqual(['', 'one', 'one'])
  })
})

test('what earlier versions recorded in one column is told apart by its migrations', async ({
  ctx,
  slugs,
  newer,
}) => {
  newer(ONE)
  const { outcome } = await up(ctx)
  const rollout = outcome?.rolloutId ?? ''
  const texts = ['DATABASE.UNREACHABLE: no answer', 'MIGRATION.HALF_DONE: it lacks: a']
  for (const [index, error] of texts.entries()) {
    const { id } = await getTenant(ctx.platform, slugs[index] ?? '')
    await ctx
      .platform('rollout_tenants')
      .where({ rollout_id: rollout, tenant_id: id })
      .update({ status: 'failed', error })
  }
  for (const migration of [splitRolloutErrors, markCutOffTenants]) await migration.up(ctx.platform)
  // repeated, as after a crash between the statement and its row in the ledger
  for (const migration of [splitRolloutErrors, markCutOffTenants]) await migration.up(ctx.platform)
  const tenants = await listRolloutTenants(ctx.platform, rollout)

  expect(tenants.map(({ errorCode, error, cutOff }) => [errorCode, error, cutOff])).toEqual([
    ['DATABASE.UNREACHABLE', 'no answer', true],
    ['MIGRATION.HALF_DONE', 'it lacks: a', false],
    [undefined, undefined, false],
  ])
})

describe('a rollout that is gone on with', () => {
  const again: FleetRequest = { kind: 'resume' }

  test('is closed if its process died after its last tenant', async ({ ctx, slugs, newer }) => {
    newer(ONE)
    const { outcome } = await up(ctx)
    const { id } = await getTenant(ctx.platform, slugs[0] ?? '')
    await ctx.platform('rollouts').where({ id: outcome?.rolloutId }).update({ status: 'running' })
    await ctx
      .platform('rollout_tenants')
      .where({ rollout_id: outcome?.rolloutId, tenant_id: id })
      .update({ status: 'running', applied: null })
    const closed = await migrateFleet(ctx, again)
    const nothing = await migrateFleet(ctx, again)

    expect(closed.outcome?.status).toBe('done')
    expect([nothing.outcome, nothing.rollout?.status]).toEqual([undefined, 'done'])
  })

  test('names the tenants that failed before it', async ({
    ctx,
    provisioner,
    slugs,
    newer,
    at,
    cli,
  }) => {
    newer(ONE)
    const [canary = '', failing = ''] = slugs
    await provisioner.run(`create table ${at(failing)}.one (id text)`)
    const stopping = new AbortController()
    await up(
      ctx,
      {},
      {
        terms: { canary: 0, batchSize: 1, concurrency: 1 },
        signal: stopping.signal,
        report: ({ type }) => type === 'failed' && stopping.abort(),
      },
    )
    const resumed = await cli('tenant', 'migrate', '--resume')
    await provisioner.run(`drop table ${at(failing)}.one`)

    expect(canary).not.toBe('')
    expect(resumed.exit).toBe(1)
    expect(resumed.out).toContain(`${failing}  The schema of`)
    expect(resumed.out).toContain('failed: 1 done, 0 failed, 1 failed earlier, 0 left')
    expect(resumed.said).toContain('--retry-failed')
  })

  test('is none if there was none', async ({ ctx, slugs: _ }) => {
    await expect(migrateFleet(ctx, again)).rejects.toMatchObject({
      code: 'ROLLOUT.NOTHING_TO_RESUME',
    })
  })
})

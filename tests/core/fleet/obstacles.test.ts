import knex from 'knex'
import { describe, expect } from 'vitest'
import { tenantMigrations } from '../../../migrations/tenant/index.js'
import type { Provisioner } from '../../../src/core/db/provisioner.js'
import { quoteName } from '../../../src/core/db/sql.js'
import { examineFleet } from '../../../src/core/fleet/examine-fleet.js'
import { findBlockers } from '../../../src/core/fleet/find-blockers.js'
import { migrateFleet } from '../../../src/core/fleet/migrate-fleet.js'
import { planRollout } from '../../../src/core/fleet/plan-rollout.js'
import {
  addMigrations,
  bare,
  databaseOf,
  ledgerOf,
  type PlainMigration,
} from '../../support/fleet.js'
import { test as house } from '../../support/house.js'

const NOTE: PlainMigration = {
  name: '20991201-01-note',
  up: ['alter table licenses add column note varchar(200) null'],
  down: ['alter table licenses drop column note'],
}

const test = house
  .extend('database', async ({ ctx, tenant }) => databaseOf(ctx, tenant.slug))
  .extend('newer', async ({ tenant: _ }, { onCleanup }) => {
    onCleanup(addMigrations([NOTE]))
  })
  /** A session of an administrator, with another database selected than the tenant's. */
  .extend('elsewhere', async ({ ctx, provisioner }, { onCleanup }) => {
    const session = bare(provisioner, ctx.config.platformDatabase).promise()
    onCleanup(() => session.end())
    const [[row]] = (await session.query('select connection_id() as id')) as unknown as [
      { id: number }[],
    ]
    return { id: Number(row?.id), run: (sql: string) => session.query(sql) }
  })

/** Whether the server tells who holds a lock; MariaDB does with a plugin that is not installed as a rule. */
const tellsHolders = async (provisioner: Provisioner): Promise<boolean> =>
  (
    await provisioner
      .rows(
        "select 1 from performance_schema.setup_instruments where name = 'wait/lock/metadata/sql/mdl' and enabled = 'YES'",
      )
      .catch(() => [])
  ).length > 0

describe('what blocks a migration is named', () => {
  test.for([
    ['a transaction that has read', 'start transaction; select * from @db.licenses', 'rollback'],
    [
      'a transaction that has changed rows',
      'start transaction; update @db.settings set value = value',
      'rollback',
    ],
    ['lock tables', 'lock tables @db.licenses read', 'unlock tables'],
    ['lock tables for writing', 'lock tables @db.licenses write', 'unlock tables'],
  ] as const)(
    'if it is %s of a session in another database',
    async ([, hold, release], { provisioner, database, elsewhere }) => {
      for (const statement of hold.split('; '))
        await elsewhere.run(statement.replace('@db', quoteName(database)))
      const look = () => findBlockers(provisioner, database, provisioner.threads)
      // a transaction that is younger than the wait for its lock is not suspected
      await expect.poll(async () => [...(await look()).sessions.keys()]).toContain(elsewhere.id)
      const { sessions, areCertain, mayLook } = await look()
      await elsewhere.run(release)

      expect(sessions.get(elsewhere.id)).toMatch(new RegExp(`^session ${elsewhere.id} of `))
      expect([areCertain, mayLook]).toEqual([await tellsHolders(provisioner), true])
      if (areCertain) expect([...sessions.keys()]).toEqual([elsewhere.id])
    },
  )

  test('and a session that holds nothing there is not, if the server tells', async ({
    provisioner,
    database,
    elsewhere,
    skip,
  }) => {
    if (!(await tellsHolders(provisioner))) skip()
    await elsewhere.run('start transaction')
    await elsewhere.run('select count(*) from tenants')
    const { sessions } = await findBlockers(provisioner, database, provisioner.threads)
    await elsewhere.run('rollback')

    expect(sessions.has(elsewhere.id)).toBe(false)
  })
})

describe('a schema between before and after a migration', () => {
  test('is described by what is different, and by what is missing', async ({
    ctx,
    provisioner,
    tenant: { slug },
    database,
    newer: _,
  }) => {
    const remove = addMigrations([
      {
        name: '20991202-01-pair',
        up: ['alter table licenses add column left_half int null, add column right_half int null'],
        down: ['alter table licenses drop column left_half, drop column right_half'],
      },
    ])
    const run = async () => {
      const failures: string[] = []
      await migrateFleet(
        ctx,
        { kind: 'new', wish: { slugs: [slug] } },
        { report: (event) => event.type === 'failed' && failures.push(event.error.message) },
      )
      return failures[0] ?? ''
    }
    const at = `${quoteName(database)}.licenses`
    await provisioner.run(`alter table ${at} add column note varchar(10) null`)
    const different = await run()
    await provisioner.run(`alter table ${at} drop column note`)
    await provisioner.run(`alter table ${at} add column left_half int null`)
    const missing = await run()
    remove()

    expect(different).toContain('different column licenses.note (varchar(10) ')
    expect(different).toContain('instead of varchar(200) ')
    expect(different).not.toContain('lacks')
    expect(missing).toContain('missing column licenses.right_half.')
    expect(missing).not.toContain('left_half')
  })
})

describe("the lock of Knex's own command", () => {
  const set = (database: string) =>
    `update ${quoteName(database)}.knex_migrations_lock set is_locked = 1`

  test('left by a dead process stops no rollout, is found, and is released by --fix', async ({
    ctx,
    provisioner,
    tenant: { slug },
    database,
    newer: _,
    cli,
  }) => {
    await provisioner.run(set(database))
    const { outcome } = await migrateFleet(ctx, { kind: 'new', wish: { slugs: [slug] } })
    const found = await cli('tenant', 'health', slug, '--json')
    const fixed = await cli('tenant', 'health', slug, '--fix', '--yes')

    expect(outcome?.status).toBe('done')
    expect(JSON.parse(found.out).tenants[0].findings).toMatchObject([
      { check: 'knex lock', remedy: 'release knex lock' },
    ])
    expect([fixed.exit, fixed.out]).toEqual([0, expect.stringContaining('1 tenant, all well.')])
    expect(
      await provisioner.rows(`select is_locked from ${quoteName(database)}.knex_migrations_lock`),
    ).toEqual([{ is_locked: 0 }])
  })

  test('of a living one is respected: the tenant fails, and health has nothing to release', async ({
    ctx,
    provisioner,
    tenant: { slug },
    database,
    newer: _,
  }) => {
    const { address, login } = provisioner.reach
    await using living = Object.assign(
      knex({
        client: 'mysql2',
        connection: {
          ...(address.socketPath === undefined
            ? { host: address.host, port: address.port }
            : { socketPath: address.socketPath }),
          user: login.user,
          password: login.password,
          database,
        },
      }),
      { [Symbol.asyncDispose]: () => living.destroy() },
    )
    let begun = () => {}
    const isAtWork = new Promise<void>((resolve) => {
      begun = resolve
    })
    let finish = () => {}
    const mayFinish = new Promise<void>((resolve) => {
      finish = resolve
    })
    const names = tenantMigrations.map(({ name }) => name)
    const work = living.migrate.latest({
      migrationSource: {
        getMigrations: async () => names,
        getMigrationName: (name: string) => name,
        getMigration: async () => ({
          up: async (db) => {
            begun()
            await mayFinish
            for (const statement of NOTE.up) await db.raw(statement)
          },
          down: async () => {},
        }),
      },
      disableTransactions: true,
    })
    await isAtWork
    const failures: string[] = []
    const { outcome } = await migrateFleet(
      ctx,
      { kind: 'new', wish: { slugs: [slug] } },
      { report: (event) => event.type === 'failed' && failures.push(event.error.code) },
    )
    const health = await examineFleet(ctx, { slugs: [slug] })
    finish()
    await work
    const after = await planRollout(ctx, { slugs: [slug] })

    expect([outcome?.status, failures]).toEqual(['failed', ['MIGRATION.KNEX_RUNNING']])
    const lock = health.tenants[0]?.findings.find(({ check }) => check === 'knex lock')
    expect([lock?.remedy, lock?.says]).toEqual([
      undefined,
      expect.stringContaining('is in its database'),
    ])
    expect(after.tasks).toEqual([])
    expect(await ledgerOf(provisioner, database)).toMatchObject({ [NOTE.name]: 1 })
  })
})

import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, inject, onTestFinished } from 'vitest'
import {
  embeddedStatus,
  startEmbeddedServer,
  stopEmbeddedServer,
} from '../../src/core/db/embedded-server.js'
import { formatDatabaseUrl, parseDatabaseUrl } from '../../src/core/db/server-address.js'
import { quoteName } from '../../src/core/db/sql.js'
import { migrateFleet } from '../../src/core/fleet/migrate-fleet.js'
import { ensureTemplate } from '../../src/core/fleet/template.js'
import { newId } from '../../src/core/ids.js'
import { FIRST_SERVER } from '../../src/core/servers/database-server.js'
import { getServerByName } from '../../src/core/servers/database-server-store.js'
import { CountingProxy } from '../support/counting-proxy.js'
import {
  addMigrations,
  databaseOf,
  ledgerOf,
  type PlainMigration,
  schemasAmong,
  withMigrations,
} from '../support/fleet.js'
import { freshSlug, test as house, provision, provisionFleet } from '../support/house.js'
import { freshEnvironment, initialize, open, openProvisioner } from '../support/platform.js'
import { createRandom, freshSeed } from '../support/random.js'
import { startCli } from '../support/real-process.js'

const TENANTS = 300
const KILLS = 20
const SERVER_KILLS = 3
const BROKEN = 5

/** One of each kind, each of which can be seen to have been done twice. */
const KINDS: readonly PlainMigration[] = [
  {
    name: '20991201-01-create',
    up: ['create table gadgets (id int not null primary key, label varchar(20)) engine = InnoDB'],
    down: ['drop table gadgets'],
  },
  {
    name: '20991201-02-add-column',
    up: ['alter table gadgets add column weight int not null default 7'],
    down: ['alter table gadgets drop column weight'],
  },
  {
    name: '20991201-03-add-index',
    up: ['create index gadgets_weight on gadgets (weight)'],
    down: ['drop index gadgets_weight on gadgets'],
  },
  {
    name: '20991201-04-data',
    up: [
      "update usage_counters set value = value + 1 where subject = 'tenant' and code = 'products.max'",
      "insert into gadgets (id, label) values (1, 'one')",
    ],
    down: [
      'delete from gadgets',
      "update usage_counters set value = value - 1 where subject = 'tenant' and code = 'products.max'",
    ],
  },
  {
    name: '20991201-05-drop',
    up: ['alter table gadgets drop column label'],
    down: ['alter table gadgets add column label varchar(20)'],
  },
]

const SLOW: PlainMigration = {
  name: '20991201-01-slow',
  up: ['do sleep(0.3)'],
  down: ['do 0'],
}

const random = createRandom(freshSeed())

describe('a rollout whose process is killed', () => {
  house(
    'before and after every statement that it sends: the same command again ends it',
    { timeout: 300_000 },
    async ({ environment, ctx, provisioner }) => {
      const slug = freshSlug()
      await provision(ctx, slug)
      const database = databaseOf(ctx, slug)
      onTestFinished(addMigrations(KINDS))
      const { address, login } = parseDatabaseUrl(inject('databaseUrl'), {})
      await using proxy = await CountingProxy.open(address)
      const through = {
        ...environment,
        ...withMigrations(KINDS),
        VALIDONX_DATABASE_URL: formatDatabaseUrl({ host: '127.0.0.1', port: proxy.port }, login),
      }
      const argv = ['tenant', 'migrate', slug, '--canary', '0', '--concurrency', '1']
      const standing = async () => {
        const [row] = await provisioner.rows<{ counted: number; gadgets: number }>(
          `select (select value from ${quoteName(database)}.usage_counters where subject = 'tenant' and code = 'products.max') as counted, (select count(*) from ${quoteName(database)}.gadgets) as gadgets`,
        )
        return {
          ledger: await ledgerOf(provisioner, database),
          schema: await schemasAmong(provisioner, [database]),
          rows: [Number(row?.counted), Number(row?.gadgets)],
        }
      }
      const back = () =>
        migrateFleet(ctx, {
          kind: 'new',
          wish: { slugs: [slug], rollback: true, steps: KINDS.length },
        })

      // the first of a version builds the template too
      expect(
        (await migrateFleet(ctx, { kind: 'new', wish: { slugs: [slug] } })).outcome?.done,
      ).toBe(1)
      await back()
      await using undisturbed = startCli(through, argv)
      expect(await undisturbed.ended).toMatchObject({ status: 0 })
      const [statements, expected] = [proxy.count, await standing()]
      expect(expected.rows).toEqual([1, 1])
      expect(statements).toBeGreaterThan(25)
      let killed = 0
      for (let command = 1; command <= statements; command += 1) {
        for (const when of ['before', 'after'] as const) {
          expect((await back()).outcome?.status).toBe('done')
          proxy.count = 0
          await using validonx = startCli(through, argv)
          proxy.interruption = { command, when, act: () => validonx.signal('SIGKILL') }
          const exit = await validonx.ended
          proxy.interruption = undefined
          if (exit.signal === 'SIGKILL') killed += 1
          await migrateFleet(ctx, { kind: 'new', wish: { slugs: [slug] } })

          expect({ command, when, ...(await standing()) }).toEqual({ command, when, ...expected })
        }
      }
      // the last few commands of a run are not always the same
      expect(killed).toBeGreaterThan(2 * statements - 8)
    },
  )

  house(
    `at ${KILLS} moments, and its database server at ${SERVER_KILLS}: ${TENANTS} tenants are migrated once, and ${BROKEN} that cannot be are named (SEED=${random.seed})`,
    { timeout: 300_000 },
    async () => {
      const home = join(tmpdir(), `validonx-rollout-${newId().slice(-8)}`)
      onTestFinished(async () => {
        await stopEmbeddedServer(home)
        await rm(home, { recursive: true, force: true })
      })
      // what was committed must be there after a kill
      const start = () => startEmbeddedServer(home, { durable: true })
      const { address, login } = await start()
      const environment = freshEnvironment(formatDatabaseUrl(address, login))
      await initialize(environment)
      await using ctx = await open(environment)
      const slugs = await provisionFleet(ctx, TENANTS)
      const broken = slugs.filter((_, index) => index % (TENANTS / BROKEN) === 30)
      const [create = KINDS[0] as PlainMigration] = KINDS
      await using provisioner = openProvisioner(environment.VALIDONX_DATABASE_URL ?? '')
      for (const slug of broken)
        await provisioner.run(`create table ${quoteName(databaseOf(ctx, slug))}.gadgets (id int)`)
      const newer = { ...environment, ...withMigrations([create]) }
      const argv = [
        'tenant',
        'migrate',
        '--canary',
        '0',
        '--max-failures',
        String(TENANTS),
        '--json',
      ]
      const migrated = async () => {
        const ledgers = await Promise.all(
          slugs.map((slug) => ledgerOf(provisioner, databaseOf(ctx, slug))),
        )
        return ledgers.map((ledger) => ledger[create.name] ?? 0)
      }

      const serverKills = new Set([3, 9, 15])
      let killed = 0
      let wasUnderWay = 0
      for (let kill = 0; kill < KILLS; kill += 1) {
        await using validonx = startCli(newer, [
          ...argv,
          '--concurrency',
          '1',
          '--batch-size',
          '20',
        ])
        // by what it has done, not by the clock: so it is under way on any machine
        const done = validonx.line('{"event":"done"', random.below(14))
        await Promise.race([done, validonx.ended])
        await sleep(random.next() * 8)
        if (serverKills.has(kill)) {
          const { pid } = await embeddedStatus(home)
          process.kill(pid ?? 0, 'SIGKILL')
          await sleep(random.next() * 100)
        }
        validonx.signal('SIGKILL')
        if ((await validonx.ended).signal === 'SIGKILL') killed += 1
        if (serverKills.has(kill)) await start()
        const counts = await migrated()
        if (counts.includes(0) && counts.includes(1)) wasUnderWay += 1
        expect(Math.max(...counts)).toBeLessThanOrEqual(1)
      }
      await using last = startCli(newer, argv)
      const exit = await last.ended
      const summary = JSON.parse(exit.out.trim().split('\n').at(-1) ?? '{}')
      const before = await migrated()
      for (const slug of broken)
        await provisioner.run(`drop table ${quoteName(databaseOf(ctx, slug))}.gadgets`)
      await using mended = startCli(newer, ['tenant', 'migrate', '--retry-failed', '--json'])
      const retried = (await mended.ended).out
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line))

      expect(killed).toBeGreaterThan(KILLS / 2)
      expect(wasUnderWay).toBeGreaterThan(KILLS / 2)
      expect(exit.status).toBe(1)
      expect(summary.failures.map(({ tenant }: { tenant: string }) => tenant).sort()).toEqual(
        broken,
      )
      expect(before.filter((count) => count === 1)).toHaveLength(TENANTS - BROKEN)
      expect(
        retried.flatMap((event) => (event.event === 'done' ? [event.tenant] : [])).sort(),
      ).toEqual(broken)
      expect(await migrated()).toEqual(Array(TENANTS).fill(1))
      expect(
        await schemasAmong(
          provisioner,
          slugs.map((slug) => databaseOf(ctx, slug)),
        ),
      ).toHaveLength(1)
    },
  )
})

house(
  'of two rollouts at once one runs, and the other says who holds it',
  async ({ environment, ctx }) => {
    const slugs = await provisionFleet(ctx, 14)
    const newer = { ...environment, ...withMigrations([SLOW]) }
    const argv = ['tenant', 'migrate', ...slugs, '--canary', '0', '--concurrency', '1']
    await using first = startCli(newer, [...argv, '--json'])
    await first.line('{"event":"started"')
    await using second = startCli(newer, argv)
    const [other, one] = [await second.ended, await first.ended]

    expect([one.status, other.status, other.out]).toEqual([0, 75, ''])
    expect(other.said).toMatch(/is working on "rollout".*LEASE\.HELD/s)
  },
)

house(
  'Ctrl-C finishes the tenants at work, leaves the rest, and exits 130',
  async ({ environment, ctx }) => {
    const slugs = await provisionFleet(ctx, 6)
    const newer = { ...environment, ...withMigrations([SLOW]) }
    const argv = ['tenant', 'migrate', ...slugs, '--canary', '0', '--concurrency', '2', '--json']
    await using validonx = startCli(newer, argv)
    await validonx.line('{"event":"started"')
    validonx.signal('SIGINT')
    const exit = await validonx.ended
    const events = exit.out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    await using resumed = startCli(newer, ['tenant', 'migrate', '--resume', '--json'])
    const rest = (await resumed.ended).out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))

    expect(exit.status).toBe(130)
    const { done, left } = events.at(-1)
    expect(events.at(-1)).toMatchObject({ event: 'summary', status: 'interrupted', failed: 0 })
    expect([done + left, done > 0, left > 0]).toEqual([6, true, true])
    expect(rest.at(-1)).toMatchObject({ event: 'summary', status: 'done', done: left, left: 0 })
  },
)

house(
  'what a dead process sent is ended before anything else is sent',
  async ({ environment, ctx, provisioner }) => {
    const [slug = ''] = await provisionFleet(ctx, 1)
    const long: PlainMigration = { ...SLOW, name: '20991201-02-long', up: ['do sleep(60)'] }
    onTestFinished(addMigrations([{ ...long, up: ['do 0'] }]))
    await ensureTemplate(ctx, ctx.platform, await getServerByName(ctx.platform, FIRST_SERVER))
    await using validonx = startCli({ ...environment, ...withMigrations([long]) }, [
      'tenant',
      'migrate',
      slug,
    ])
    const asleep = async () =>
      (await provisioner.rows<{ Info: string | null }>('show full processlist')).filter(
        ({ Info }) => Info?.includes('do sleep(60)'),
      ).length
    await expect.poll(asleep, { timeout: 20_000 }).toBe(1)
    validonx.signal('SIGKILL')
    await validonx.ended
    const after = await asleep()
    let atStart: Promise<number> | undefined
    const { outcome } = await migrateFleet(
      ctx,
      { kind: 'new', wish: { slugs: [slug] } },
      {
        report: ({ type }) => {
          if (type === 'started') atStart = asleep()
        },
      },
    )

    // the server does not notice by itself
    expect(after).toBe(1)
    expect(await atStart).toBe(0)
    expect(outcome).toMatchObject({ status: 'done', done: 1 })
  },
)

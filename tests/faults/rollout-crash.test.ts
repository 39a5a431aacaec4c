import { describe, expect, onTestFinished } from 'vitest'
import type { Context } from '../../src/core/context.js'
import type { Provisioner } from '../../src/core/db/provisioner.js'
import { quoteName, quoteText } from '../../src/core/db/sql.js'
import { migrateFleet } from '../../src/core/fleet/migrate-fleet.js'
import { ensureTemplate, newestTenantMigration } from '../../src/core/fleet/template.js'
import { FIRST_SERVER } from '../../src/core/servers/database-server.js'
import { getServerByName } from '../../src/core/servers/database-server-store.js'
import { seed, volume } from '../support/campaign.js'
import { CountingProxy, through } from '../support/counting-proxy.js'
import { eventually, signal } from '../support/eventually.js'
import {
  addMigrations,
  bare,
  databaseOf,
  ledgerOf,
  type PlainMigration,
  schemasAmong,
  withMigrations,
} from '../support/fleet.js'
import { test as house, provisionFleet } from '../support/house.js'
import {
  type Environment,
  freshEnvironment,
  initialize,
  open,
  openProvisioner,
} from '../support/platform.js'
import { createRandom } from '../support/random.js'
import { startCli } from '../support/real-process.js'
import { startThrowAwayServer } from '../support/throw-away-server.js'

/** How many tenants one process migrates at the same time. */
const AT_ONCE = 64
const STATEMENT_KILLS = volume(6, 100)
const TENANTS = volume(60, 300)
const KILLS = volume(4, 20)
const SERVER_KILLED_EVERY = volume(4, 6)
/** A process is killed before it has done more than so many tenants. */
const LONGEST_RUN = 10
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

/** Waits in each tenant for a lock of its database's name, which a test holds. */
const GATED: PlainMigration = {
  name: '20991201-01-gated',
  up: ['do get_lock(concat("gate ", database()), 600)', 'do release_all_locks()'],
  down: ['do 0'],
}

const random = createRandom(seed)

/** The ledger, the schema and the rows of a tenant, each of which shows a migration that ran twice. */
async function stateOf(provisioner: Provisioner, database: string) {
  const [row] = await provisioner.rows<{ counted: number; gadgets: number }>(
    `select (select value from ${quoteName(database)}.usage_counters where subject = 'tenant' and code = 'products.max') as counted, (select count(*) from ${quoteName(database)}.gadgets) as gadgets`,
  )
  return {
    ledger: await ledgerOf(provisioner, database),
    schema: await schemasAmong(provisioner, [database]),
    rows: [Number(row?.counted), Number(row?.gadgets)],
  }
}

/** The newest migration that this version ships. */
const BEFORE = newestTenantMigration()

/** Tenants that have anything of KINDS: a ledger row, a table, or a counted row. */
async function leftOf(
  ctx: Context,
  provisioner: Provisioner,
  slugs: readonly string[],
): Promise<string[]> {
  const rows = await provisioner.rows<{ slug: string; marks: string }>(
    slugs
      .map((slug) => {
        const database = databaseOf(ctx, slug)
        return `select '${slug}' as slug, concat(
          (select count(*) from ${quoteName(database)}.knex_migrations where name like '2099%'), ' ',
          (select count(*) from information_schema.tables where table_schema = '${database}' and table_name = 'gadgets'), ' ',
          (select value from ${quoteName(database)}.usage_counters where subject = 'tenant' and code = 'products.max')) as marks`
      })
      .join(' union all '),
  )
  return rows.flatMap(({ slug, marks }) => (marks === '0 0 0' ? [] : [`${slug}: ${marks}`]))
}

const linesOf = (out: string) =>
  out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))

const test = house
  // made before there is anything to migrate
  .extend('fleet', { scope: 'file' }, ({ ctx }) =>
    provisionFleet(ctx, 2 + AT_ONCE + STATEMENT_KILLS),
  )
  .extend('newer', { scope: 'file' }, ({ environment }) => ({
    ...environment,
    ...withMigrations(KINDS),
  }))
  .extend('undisturbed', { scope: 'file' }, async ({ newer, ctx, provisioner, fleet }) => {
    const [first = '', slug = ''] = fleet
    // the first of a version builds the template too
    const remove = addMigrations(KINDS)
    await migrateFleet(ctx, { kind: 'new', wish: { slugs: [first] } }).finally(remove)
    const database = databaseOf(ctx, slug)
    await using proxy = await CountingProxy.open(provisioner.reach.address)
    const inTenant = { count: 0 }
    proxy.inDatabase.set(database, inTenant)
    await using validonx = startCli(through(proxy, newer), ['tenant', 'migrate', slug])
    expect(await validonx.ended).toMatchObject({ status: 0 })
    const state = await stateOf(provisioner, database)
    expect(state.rows).toEqual([1, 1])
    return { state, commands: proxy.count, inTenant: inTenant.count }
  })

type Cut = { readonly command: number; readonly when: 'before' | 'after' }

const cutsOf = (commands: number): Cut[] =>
  Array.from({ length: commands }, (_, index) => index + 1).flatMap((command) => [
    { command, when: 'before' },
    { command, when: 'after' },
  ])

/** One process works on all tenants at once: each waits at another statement when it is killed. */
async function killAtEach(
  ctx: Context,
  environment: Environment,
  cuts: readonly Cut[],
  slugs: readonly string[],
  options: readonly string[] = [],
) {
  const { reach } = await ctx.provisioner()
  await using proxy = await CountingProxy.open(reach.address)
  let waiting = 0
  const act = (): void => {
    waiting += 1
  }
  for (const [index, cut] of cuts.entries()) {
    const count = { count: 0, interruption: { ...cut, act } }
    proxy.inDatabase.set(databaseOf(ctx, slugs[index] ?? ''), count)
  }
  const at = ['--canary', '0', '--batch-size', String(AT_ONCE), '--concurrency', String(AT_ONCE)]
  await using validonx = startCli(through(proxy, environment), [
    'tenant',
    'migrate',
    ...slugs,
    ...at,
    ...options,
  ])
  await eventually(
    () => waiting,
    (count) => count === cuts.length,
  )
  validonx.signal('SIGKILL')
  return validonx.ended
}

describe('a rollout whose process is killed', () => {
  test('before and after every statement in a tenant: the same command again ends it', {
    timeout: 300_000,
  }, async ({ newer, ctx, provisioner, fleet, undisturbed }) => {
    onTestFinished(addMigrations(KINDS))
    const cuts = cutsOf(undisturbed.inTenant)
    expect(cuts.length).toBeGreaterThan(25)
    expect(cuts.length).toBeLessThanOrEqual(AT_ONCE)
    const slugs = fleet.slice(2, 2 + cuts.length)
    const exit = await killAtEach(ctx, newer, cuts, slugs)
    const { outcome } = await migrateFleet(ctx, { kind: 'new', wish: { slugs } })

    expect(exit.signal).toBe('SIGKILL')
    expect(outcome).toMatchObject({ status: 'done', failed: 0 })
    for (const [index, slug] of slugs.entries()) {
      const state = await stateOf(provisioner, databaseOf(ctx, slug))
      expect({ ...cuts[index], ...state }).toEqual({ ...cuts[index], ...undisturbed.state })
    }
  })

  test('before and after every statement in a tenant: a rollback takes back what it did', {
    timeout: 300_000,
  }, async ({ newer, ctx, provisioner, fleet, undisturbed }) => {
    onTestFinished(addMigrations(KINDS))
    const cuts = cutsOf(undisturbed.inTenant)
    const slugs = fleet.slice(2, 2 + cuts.length)
    await migrateFleet(ctx, {
      kind: 'new',
      wish: { slugs, rollback: true, to: BEFORE },
    })
    const exit = await killAtEach(ctx, newer, cuts, slugs)
    const { outcome, plan } = await migrateFleet(ctx, { kind: 'new', wish: { rollback: true } })

    expect(exit.signal).toBe('SIGKILL')
    expect(outcome).toMatchObject({ status: 'done', done: cuts.length, failed: 0 })
    expect(plan.undoes?.status).not.toBe('done')
    expect(await leftOf(ctx, provisioner, slugs)).toEqual([])
  })

  test('before and after every statement of a rollback: the same command again ends it', {
    timeout: 300_000,
  }, async ({ newer, ctx, provisioner, fleet: [first = '', , ...others], undisturbed }) => {
    onTestFinished(addMigrations(KINDS))
    const options = ['--rollback', '--to', BEFORE, '--yes']
    const inTenant = { count: 0 }
    {
      await using proxy = await CountingProxy.open(provisioner.reach.address)
      proxy.inDatabase.set(databaseOf(ctx, first), inTenant)
      await using validonx = startCli(through(proxy, newer), [
        'tenant',
        'migrate',
        first,
        ...options,
      ])
      expect(await validonx.ended).toMatchObject({ status: 0 })
    }
    const cuts = cutsOf(inTenant.count)
    expect(cuts.length).toBeGreaterThan(25)
    expect(cuts.length).toBeLessThanOrEqual(AT_ONCE)
    const slugs = others.slice(0, cuts.length)
    await migrateFleet(ctx, { kind: 'new', wish: { slugs } })
    const exit = await killAtEach(ctx, newer, cuts, slugs, options)
    const { plan } = await migrateFleet(ctx, {
      kind: 'new',
      wish: { slugs, rollback: true, to: BEFORE },
    })
    const left = await leftOf(ctx, provisioner, slugs)
    const forth = await migrateFleet(ctx, { kind: 'new', wish: { slugs } })

    expect(exit.signal).toBe('SIGKILL')
    expect(plan.tasks.length).toBeGreaterThan(cuts.length / 2)
    expect(left).toEqual([])
    expect(forth.outcome).toMatchObject({ status: 'done', failed: 0 })
    for (const [index, slug] of slugs.entries()) {
      const state = await stateOf(provisioner, databaseOf(ctx, slug))
      expect({ ...cuts[index], ...state }).toEqual({ ...cuts[index], ...undisturbed.state })
    }
  })

  test(`before or after any statement, ${STATEMENT_KILLS} times: the same command again ends it (VALIDONX_TEST_SEED=${seed})`, async ({
    newer,
    ctx,
    provisioner,
    fleet,
    undisturbed,
  }) => {
    onTestFinished(addMigrations(KINDS))
    await using proxy = await CountingProxy.open(provisioner.reach.address)
    for (const slug of fleet.slice(-STATEMENT_KILLS)) {
      // the last few commands of a run are not always the same
      const command = 1 + random.below(undisturbed.commands - 4)
      const when = random.pick(['before', 'after'] as const)
      proxy.count = 0
      await using validonx = startCli(through(proxy, newer), ['tenant', 'migrate', slug])
      proxy.interruption = { command, when, act: () => validonx.signal('SIGKILL') }
      const { signal } = await validonx.ended
      proxy.interruption = undefined
      const { outcome } = await migrateFleet(ctx, { kind: 'new', wish: { slugs: [slug] } })

      const state = await stateOf(provisioner, databaseOf(ctx, slug))
      expect({ command, when, signal, ...state }).toEqual({
        command,
        when,
        signal: 'SIGKILL',
        ...undisturbed.state,
      })
      // undefined: it was killed when all was done
      expect([undefined, 'done']).toContain(outcome?.status)
    }
  })

  test(`at ${KILLS} moments, at times with its database server: ${TENANTS} tenants are migrated once, and ${BROKEN} that cannot be are named (VALIDONX_TEST_SEED=${seed})`, async () => {
    // what was committed must be there after a kill
    await using server = await startThrowAwayServer({ durable: true })
    const environment = freshEnvironment(server.databaseUrl)
    await initialize(environment)
    await using ctx = await open(environment)
    const slugs = await provisionFleet(ctx, TENANTS)
    const broken = slugs.filter((_, index) => index % (TENANTS / BROKEN) === 3)
    const [create = KINDS[0] as PlainMigration] = KINDS
    await using provisioner = openProvisioner(server.databaseUrl)
    for (const slug of broken)
      await provisioner.run(`create table ${quoteName(databaseOf(ctx, slug))}.gadgets (id int)`)
    await using proxy = await CountingProxy.open(provisioner.reach.address)
    const newer = through(proxy, { ...environment, ...withMigrations([create]) })
    const argv = ['tenant', 'migrate', '--canary', '0', '--max-failures', String(TENANTS), '--json']
    const migrated = async () => {
      const ledgers = await Promise.all(
        slugs.map((slug) => ledgerOf(provisioner, databaseOf(ctx, slug))),
      )
      return ledgers.map((ledger) => ledger[create.name] ?? 0)
    }

    let killed = 0
    let wasUnderWay = 0
    for (let kill = 0; kill < KILLS; kill += 1) {
      await using validonx = startCli(newer, [...argv, '--concurrency', '1', '--batch-size', '20'])
      // by what it has done, not by the clock: so it is under way on any machine
      const [isThere, arrive] = signal()
      await Promise.race([
        validonx.line('{"event":"done"', random.below(LONGEST_RUN)),
        validonx.ended,
      ])
      proxy.interruption = {
        command: proxy.count + 1 + random.below(8),
        when: 'after',
        act: arrive,
      }
      await Promise.race([isThere, validonx.ended])
      proxy.interruption = undefined
      if (kill % SERVER_KILLED_EVERY === 1) await server.crash()
      validonx.signal('SIGKILL')
      if ((await validonx.ended).signal === 'SIGKILL') killed += 1
      const counts = await migrated()
      if (counts.includes(0) && counts.includes(1)) wasUnderWay += 1
      expect(Math.max(...counts)).toBeLessThanOrEqual(1)
    }
    await using last = startCli(newer, argv)
    const exit = await last.ended
    const summary = linesOf(exit.out).at(-1)
    const before = await migrated()
    for (const slug of broken)
      await provisioner.run(`drop table ${quoteName(databaseOf(ctx, slug))}.gadgets`)
    await using repaired = startCli(newer, ['tenant', 'migrate', '--retry-failed', '--json'])
    const retried = linesOf((await repaired.ended).out)

    expect([killed, wasUnderWay]).toEqual([KILLS, KILLS])
    expect(exit.status).toBe(1)
    expect(summary.failures.map(({ tenant }: { tenant: string }) => tenant).sort()).toEqual(broken)
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
  })
})

/** Holds back the gated migration in these tenants. Returns how to let it through. */
async function closeGates(
  provisioner: Provisioner,
  databases: readonly string[],
): Promise<AsyncDisposable & { open(database: string): Promise<void> }> {
  const holder = bare(provisioner, databases[0] ?? '').promise()
  const gate = (database: string) => quoteText(`gate ${database}`)
  for (const database of databases) await holder.query(`do get_lock(${gate(database)}, 0)`)
  return {
    async open(database) {
      await holder.query(`do release_lock(${gate(database)})`)
    },
    [Symbol.asyncDispose]: () => holder.end(),
  }
}

house(
  'of two rollouts at once one runs, and the other says who holds it',
  async ({ environment, ctx, provisioner }) => {
    const slugs = await provisionFleet(ctx, 2)
    const newer = { ...environment, ...withMigrations([GATED]) }
    const argv = ['tenant', 'migrate', ...slugs]
    const gates = await closeGates(
      provisioner,
      slugs.map((slug) => databaseOf(ctx, slug)),
    )
    await using first = startCli(newer, [...argv, '--json'])
    await first.line('{"event":"started"')
    await using second = startCli(newer, argv)
    const other = await second.ended
    await gates[Symbol.asyncDispose]()

    expect((await first.ended).status).toBe(0)
    expect([other.status, other.out]).toEqual([75, ''])
    expect(other.said).toMatch(/is working on "rollout".*LEASE\.HELD/s)
  },
)

house(
  'Ctrl-C finishes the tenants at work, leaves the rest, and exits 130',
  async ({ environment, ctx, provisioner }) => {
    const slugs = await provisionFleet(ctx, 6)
    const newer = { ...environment, ...withMigrations([GATED]) }
    const argv = ['tenant', 'migrate', ...slugs, '--canary', '0', '--concurrency', '2', '--json']
    const gates = await closeGates(
      provisioner,
      slugs.map((slug) => databaseOf(ctx, slug)),
    )
    await using validonx = startCli(newer, argv)
    const { tenant } = JSON.parse(await validonx.line('{"event":"started"'))
    validonx.signal('SIGINT')
    await gates.open(databaseOf(ctx, tenant))
    // by now it has seen the signal, which came before
    await validonx.line('{"event":"done"')
    await gates[Symbol.asyncDispose]()
    const exit = await validonx.ended
    await using resumed = startCli(newer, ['tenant', 'migrate', '--resume', '--json'])
    const rest = linesOf((await resumed.ended).out)

    expect(exit.status).toBe(130)
    const summary = linesOf(exit.out).at(-1)
    expect(summary).toMatchObject({ event: 'summary', status: 'interrupted', failed: 0 })
    const { done, left } = summary
    expect([done + left, done > 0, left > 0]).toEqual([6, true, true])
    expect(rest.at(-1)).toMatchObject({ event: 'summary', status: 'done', done: left, left: 0 })
  },
)

house(
  'what a dead process sent is ended before anything else is sent',
  async ({ environment, ctx, provisioner }) => {
    const [slug = ''] = await provisionFleet(ctx, 1)
    const long: PlainMigration = {
      name: '20991201-02-long',
      up: ['do sleep(3600)'],
      down: ['do 0'],
    }
    onTestFinished(addMigrations([{ ...long, up: ['do 0'] }]))
    await ensureTemplate(ctx, ctx.platform, await getServerByName(ctx.platform, FIRST_SERVER))
    await using validonx = startCli({ ...environment, ...withMigrations([long]) }, [
      'tenant',
      'migrate',
      slug,
    ])
    const asleep = async () =>
      (await provisioner.rows<{ Info: string | null }>('show full processlist')).filter(
        ({ Info }) => Info?.includes('do sleep(3600)'),
      ).length
    await expect.poll(asleep).toBe(1)
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

import { execFile } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Connection, createConnection } from 'mysql2/promise'
import type { Migration } from '../../migrations/migration.js'
import { tenantMigrations } from '../../migrations/tenant/index.js'
import type { Context } from '../../src/core/context.js'
import { loadKnex } from '../../src/core/db/drivers.js'
import { quoteName } from '../../src/core/db/sql.js'
import { examineFleet } from '../../src/core/fleet/examine-fleet.js'
import { migrateFleet } from '../../src/core/fleet/migrate-fleet.js'
import { provisionTenant } from '../../src/core/provisioning/provision-tenant.js'
import {
  addMigrations,
  type PlainMigration,
  toMigration,
  withMigrations,
} from '../support/fleet.js'
import {
  type Environment,
  freshEnvironment,
  initialize,
  open,
  openProvisioner,
} from '../support/platform.js'
import { ROOT } from '../support/source-files.js'
import { startThrowAwayServer, type ThrowAwayServer } from '../support/throw-away-server.js'
import { createKnexCommand } from './knex-command.js'
import { type Bench, type BenchOptions, type Figure, figure } from './report.js'
import { interleave, ratiosOf, runAtOnce, spreadOf } from './rounds.js'

const run = promisify(execFile)
const DBMATE = 'dbmate@2.36.0'
const CONCURRENCY = 4
const DBMATE_AT_ONCE = 8

type Sizes = {
  readonly tenants: number
  /** Tenants of each contender in a round. */
  readonly ours: number
  readonly knex: number
  /** The same of the command, which takes long. */
  readonly command: number
  readonly dbmate: number
  readonly few: number
  readonly rounds: number
}

const sizesOf = ({ quick }: BenchOptions): Sizes =>
  quick
    ? { tenants: 120, ours: 40, knex: 10, command: 8, dbmate: 8, few: 20, rounds: 2 }
    : { tenants: 2000, ours: 500, knex: 100, command: 24, dbmate: 48, few: 200, rounds: 5 }

type House = {
  readonly server: ThrowAwayServer
  readonly environment: Environment
  readonly ctx: Context
  readonly slugs: readonly string[]
  readonly sizes: Sizes
  readonly options: BenchOptions
}

/** Migrations and health of a whole fleet on one server, which writes durably. */
export const benchFleet: Bench = async (options) => {
  const sizes = sizesOf(options)
  options.note('starting a durable server')
  await using server = await startThrowAwayServer({ durable: true })
  const environment = freshEnvironment(server.databaseUrl)
  await initialize(environment)
  await using ctx = await open(environment)
  const slugs = Array.from({ length: sizes.tenants }, (_, index) => `t${index}`)
  options.note(`provisioning ${slugs.length} tenants`)
  await runAtOnce(slugs.length, 4, options.signal, async (index) => {
    await provisionTenant(ctx, { slug: slugs[index] }, { deliver: async () => {} })
  })
  const house: House = { server, environment, ctx, slugs, sizes, options }
  return {
    bench: 'fleet',
    engine: server.version,
    figures: [
      ...(await nothingToDo(house)),
      ...(await instantColumn(house)),
      ...(await health(house)),
      ...(await memory(house)),
    ],
  }
}

const databaseOf = ({ ctx }: House, slug: string): string => `${ctx.config.tenantPrefix}${slug}`

/** A no-op, in ms a tenant: ours over the whole fleet, Knex's command and its function over parts of it. */
async function nothingToDo(house: House): Promise<Figure[]> {
  const { ctx, slugs, sizes, options, server } = house
  options.note('nothing to do')
  const scenario = `nothing to do, ${slugs.length} tenants`
  const knexCommand = await createKnexCommand(server.folder, server.socketPath)
  const perTenant = await interleave(
    ['ours', 'command', 'knex'] as const,
    sizes.rounds,
    options.signal,
    async (name) => {
      const start = performance.now()
      if (name === 'ours') {
        const { outcome } = await migrateFleet(ctx, { kind: 'new', wish: {} })
        if (outcome) throw new Error('something was pending')
        return (performance.now() - start) / slugs.length
      }
      if (name === 'command') {
        for (const slug of slugs.slice(0, sizes.command)) await knexCommand(databaseOf(house, slug))
        return (performance.now() - start) / sizes.command
      }
      for (const slug of slugs.slice(0, sizes.knex)) await byKnex(house, slug, [])
      return (performance.now() - start) / sizes.knex
    },
  )
  return [
    figure(
      scenario,
      'a loop of knex migrate:latest / ours (time)',
      '',
      ratiosOf(perTenant.command, perTenant.ours),
      {
        atLeast: 50,
      },
    ),
    figure(scenario, 'ours', 'ms/tenant', spreadOf(perTenant.ours), { atMost: 1 }),
    figure(
      scenario,
      'knex in one process / ours (time)',
      '',
      ratiosOf(perTenant.knex, perTenant.ours),
    ),
    figure(scenario, 'knex, the command', 'ms/tenant', spreadOf(perTenant.command)),
    figure(scenario, 'knex in one process', 'ms/tenant', spreadOf(perTenant.knex)),
  ]
}

async function instantColumn(house: House): Promise<Figure[]> {
  const { ctx, slugs, sizes, options, server } = house
  const dbmate = await installDbmate(server.folder, options)
  // each has tenants of its own: a ledger with another's migrations would be refused
  const parts = {
    ours: slugs.slice(0, sizes.ours),
    floor: slugs.slice(sizes.ours, 2 * sizes.ours),
    knex: slugs.slice(2 * sizes.ours, 2 * sizes.ours + sizes.knex),
    command: slugs.slice(-sizes.dbmate - sizes.command, -sizes.dbmate),
    dbmate: slugs.slice(-sizes.dbmate),
  }
  const connections = await Promise.all(
    Array.from({ length: CONCURRENCY }, () =>
      createConnection({ socketPath: server.socketPath, user: 'root' }),
    ),
  )
  let sessions = 0
  const added: PlainMigration[] = []
  const addedByKnex: PlainMigration[] = []
  const addedByCommand: PlainMigration[] = []
  const knexCommand = await createKnexCommand(server.folder, server.socketPath)
  const makers = {
    ours: async (migration: PlainMigration) => {
      added.push(migration)
      const remove = addMigrations(added)
      const watching = watchSessions(house)
      const { outcome } = await migrateFleet(
        ctx,
        { kind: 'new', wish: { slugs: parts.ours } },
        { terms: { canary: 0, concurrency: CONCURRENCY, batchSize: 200 } },
      )
      sessions = Math.max(sessions, await watching.most())
      remove()
      if (outcome?.done !== parts.ours.length) throw new Error(JSON.stringify(outcome))
    },
    floor: async (migration: PlainMigration) => {
      await runAtOnce(parts.floor.length, CONCURRENCY, options.signal, async (index, worker) => {
        const database = quoteName(databaseOf(house, parts.floor[index] as string))
        const connection = connections[worker] as Connection
        await connection.query(
          `${migration.up[0]}`.replace('alter table ', `alter table ${database}.`),
        )
        await connection.query(
          `insert into ${database}.knex_migrations (name, batch, migration_time) values (?, 2, now())`,
          [migration.name],
        )
      })
    },
    knex: async (migration: PlainMigration) => {
      addedByKnex.push(migration)
      await runAtOnce(parts.knex.length, CONCURRENCY, options.signal, (index) =>
        byKnex(house, parts.knex[index] as string, addedByKnex),
      )
    },
    command: async (migration: PlainMigration) => {
      addedByCommand.push(migration)
      await runAtOnce(parts.command.length, CONCURRENCY, options.signal, (index) =>
        knexCommand(databaseOf(house, parts.command[index] as string), addedByCommand),
      )
    },
    dbmate: async (migration: PlainMigration) => {
      await dbmate.write(migration)
      await runAtOnce(parts.dbmate.length, DBMATE_AT_ONCE, options.signal, (index) =>
        dbmate.up(databaseOf(house, parts.dbmate[index] as string), server.socketPath),
      )
    },
  }
  options.note(`one instant column, ${sizes.rounds} rounds`)
  const perTenant = await interleave(
    ['ours', 'floor', 'command', 'knex', 'dbmate'] as const,
    sizes.rounds,
    options.signal,
    async (name, round) => {
      const migration = column(`${name}-${round}`)
      const start = performance.now()
      await makers[name](migration)
      return (performance.now() - start) / parts[name].length
    },
  )
  for (const connection of connections) connection.destroy()
  const scenario = `one instant column, ${CONCURRENCY} at once`
  return [
    figure(scenario, 'floor / ours (time)', '', ratiosOf(perTenant.floor, perTenant.ours), {
      atLeast: 0.7,
    }),
    figure(
      scenario,
      'a loop of knex migrate:latest / ours (time)',
      '',
      ratiosOf(perTenant.command, perTenant.ours),
      { atLeast: 4 },
    ),
    figure(
      scenario,
      'knex in one process / ours (time)',
      '',
      ratiosOf(perTenant.knex, perTenant.ours),
    ),
    figure(
      scenario,
      `dbmate up, ${DBMATE_AT_ONCE} at once / ours (time)`,
      '',
      ratiosOf(perTenant.dbmate, perTenant.ours),
      { atLeast: 10 },
    ),
    ...(['ours', 'floor', 'command', 'knex', 'dbmate'] as const).map((name) =>
      figure(scenario, name, 'tenants/s', spreadOf(perTenant[name].map((ms) => 1000 / ms))),
    ),
    figure(scenario, `sessions used, ${CONCURRENCY} configured`, '', sessions, {
      atMost: CONCURRENCY,
    }),
  ]
}

const column = (word: string): PlainMigration => {
  const name = `bench_${word.replaceAll('-', '_')}`
  return {
    name: `20991201-01-${word}`,
    up: [`alter table licenses add column ${name} int null`],
    down: [`alter table licenses drop column ${name}`],
  }
}

/** The most sessions that stood in tenants' databases at once under the provisioner's login. */
function watchSessions({ server, ctx }: House): { most(): Promise<number> } {
  let going = true
  let most = 0
  const watching = (async () => {
    await using provisioner = openProvisioner(server.databaseUrl)
    while (going) {
      const rows = await provisioner.rows<{ User: string; db: string | null }>('show processlist')
      const inTenants = rows.filter(
        ({ User, db }) => User === 'root' && db?.startsWith(`${ctx.config.tenantPrefix}t`),
      )
      most = Math.max(most, inTenants.length)
      await new Promise((done) => setTimeout(done, 50))
    }
  })()
  return {
    async most() {
      going = false
      await watching
      return most
    },
  }
}

async function byKnex(house: House, slug: string, extra: readonly PlainMigration[]): Promise<void> {
  const migrations = [
    ...tenantMigrations.filter(({ name }) => !name.startsWith('2099')),
    ...extra.map(toMigration),
  ]
  const db = loadKnex()({
    client: 'mysql2',
    connection: {
      socketPath: house.server.socketPath,
      user: 'root',
      database: databaseOf(house, slug),
    },
  })
  try {
    await db.migrate.latest({
      migrationSource: {
        getMigrations: async () => migrations,
        getMigrationName: ({ name }: Migration) => name,
        getMigration: async (migration: Migration) => migration,
      },
    })
  } finally {
    await db.destroy()
  }
}

type Dbmate = {
  write(migration: PlainMigration): Promise<void>
  up(database: string, socketPath: string): Promise<void>
}

/** Brought from npm into the bench's own folder: it is nobody's dependency. */
async function installDbmate(folder: string, { note, signal }: BenchOptions): Promise<Dbmate> {
  const home = join(folder, 'dbmate')
  const migrations = join(home, 'db')
  await mkdir(migrations, { recursive: true })
  await writeFile(join(home, 'package.json'), '{}')
  note(`installing ${DBMATE}`)
  await run('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', DBMATE], {
    cwd: home,
    signal,
  })
  let count = 0
  return {
    async write({ up, down }) {
      count += 1
      const text = `-- migrate:up\n${up.join(';\n')};\n\n-- migrate:down\n${down.join(';\n')};\n`
      await writeFile(join(migrations, `2099120100000${count}_column.sql`), text)
    },
    async up(database, socketPath) {
      await run(
        join(home, 'node_modules/.bin/dbmate'),
        ['--no-dump-schema', '--migrations-dir', migrations, 'up'],
        {
          env: {
            PATH: process.env.PATH,
            DATABASE_URL: `mysql://root@/${database}?socket=${socketPath}`,
          },
        },
      )
    },
  }
}

async function health({ ctx, slugs, sizes, options }: House): Promise<Figure[]> {
  options.note('health of all')
  const took: number[] = []
  for (let round = 0; round < Math.max(2, Math.floor(sizes.rounds / 2)); round += 1) {
    const start = performance.now()
    await examineFleet(ctx)
    took.push((performance.now() - start) / slugs.length)
  }
  return [figure(`health, ${slugs.length} tenants`, 'ours', 'ms/tenant', spreadOf(took))]
}

/** Peak memory of the command over few and over all tenants. */
async function memory({ environment, slugs, sizes, options }: House): Promise<Figure[]> {
  options.note('memory')
  const peak = async (tenants: readonly string[], word: string): Promise<number> => {
    const file = tenants.map((slug) => `${slug}\n`).join('')
    const hook = `data:text/javascript,process.on('exit',()=>process.stderr.write('PEAK '+process.resourceUsage().maxRSS+'\\n'))`
    const child = execFile(
      process.execPath,
      [
        '--import',
        hook,
        join(ROOT, 'bin/validonx.js'),
        'tenant',
        'migrate',
        '--from-file',
        '-',
        '--canary',
        '0',
        '--max-failures',
        '10000',
      ],
      { env: { PATH: process.env.PATH, ...environment, ...withMigrations([table(word)]) } },
    )
    child.stdin?.end(file)
    let said = ''
    child.stderr?.on('data', (text: string) => {
      said += text
    })
    await new Promise((done) => child.once('close', done))
    return Number(/PEAK (\d+)/.exec(said)?.[1]) / 1024
  }
  // those that the others have left with ledgers of their own are refused, and weigh as much
  const few = await peak(slugs.slice(0, sizes.few), 'few')
  const all = await peak(slugs, 'all')
  const scenario = `memory of the command, ${sizes.few} to ${slugs.length} tenants`
  return [
    figure(scenario, 'growth', 'MB', all - few, { atMost: 30 }),
    figure(scenario, `peak with ${sizes.few}`, 'MB', few),
    figure(scenario, `peak with ${slugs.length}`, 'MB', all),
  ]
}

const table = (word: string): PlainMigration => ({
  name: `20991202-01-${word}`,
  up: [`create table bench_${word} (id int not null primary key) engine = InnoDB`],
  down: [`drop table bench_${word}`],
})

import type { Connection, RowDataPacket } from 'mysql2/promise'
import { createConnection } from 'mysql2/promise'
import type { Migration } from '../../migrations/migration.js'
import { tenantMigrations } from '../../migrations/tenant/index.js'
import type { Context } from '../../src/core/context.js'
import { loadKnex } from '../../src/core/db/drivers.js'
import { quoteGrantDatabase, quoteName, quoteText, quoteUser } from '../../src/core/db/sql.js'
import { newId } from '../../src/core/ids.js'
import { provisionTenant } from '../../src/core/provisioning/provision-tenant.js'
import {
  type Environment,
  freshEnvironment,
  initialize,
  open,
  openProvisioner,
} from '../support/platform.js'
import { startThrowAwayServer, type ThrowAwayServer } from '../support/throw-away-server.js'
import { createKnexCommand } from './knex-command.js'
import { type Bench, type BenchOptions, type Figure, figure } from './report.js'
import { interleave, ratiosOf, runAtOnce, spreadOf } from './rounds.js'

/**
 * `ours`: all twelve stages. `without template`: the same where the schema is made by the migrations.
 * `floor`: the same database, user and grants by raw SQL, in one round trip. `peer`: a new database and
 * the command `knex migrate:latest` on it, as it is looped over in scripts. `peer in process`: the same
 * by Knex's own function, in one process for all. Neither makes users, grants, defaults or keys.
 */
const CONTENDERS = ['ours', 'floor', 'peer', 'peer in process', 'without template'] as const
type Contender = (typeof CONTENDERS)[number]

const CONCURRENCIES = [1, 2, 4] as const
const MOST_AT_ONCE = 4

/** Makes one tenant under a name that is new. */
type MakeTenant = (word: string, worker: number) => Promise<void>

/** How long a tenant takes from nothing to usable, on a server that writes durably. */
export const benchProvision: Bench = async (options) => {
  options.note('starting a durable server')
  await using server = await startThrowAwayServer({ durable: true })
  await using contest = await openContest(server)
  const figures: Figure[] = []
  await warmUp(contest.makers, options)
  await assertSameTables(server, contest.databaseOf)
  for (const concurrency of CONCURRENCIES) {
    figures.push(...(await measure(contest.makers, concurrency, options)))
  }
  return { bench: 'provision', engine: server.version, figures }
}

async function measure(
  makers: Readonly<Record<Contender, MakeTenant>>,
  concurrency: number,
  { quick, signal, note }: BenchOptions,
): Promise<Figure[]> {
  const rounds = quick ? 2 : 7
  const tenants = (quick ? 2 : 10) * concurrency
  const durations: Record<Contender, number[]> = {
    ours: [],
    floor: [],
    peer: [],
    'peer in process': [],
    'without template': [],
  }
  note(`${rounds} rounds of ${tenants} tenants each, ${concurrency} at once`)
  /** Milliseconds a tenant, over the whole of a round. */
  const perTenant = await interleave(CONTENDERS, rounds, signal, async (contender, round) => {
    const start = performance.now()
    const took = await runAtOnce(tenants, concurrency, signal, (index, worker) =>
      makers[contender](`c${concurrency}r${round}n${index}`, worker),
    )
    durations[contender].push(...took)
    return (performance.now() - start) / tenants
  })

  const scenario = `${concurrency} at once`
  return [
    figure(scenario, 'ours / floor (time)', '', ratiosOf(perTenant.ours, perTenant.floor), {
      atMost: 1.6,
    }),
    figure(scenario, 'peer / ours (time)', '', ratiosOf(perTenant.peer, perTenant.ours), {
      atLeast: 2,
    }),
    figure(
      scenario,
      'peer in process / ours (time)',
      '',
      ratiosOf(perTenant['peer in process'], perTenant.ours),
    ),
    figure(
      scenario,
      'without template / ours (time)',
      '',
      ratiosOf(perTenant['without template'], perTenant.ours),
    ),
    ...CONTENDERS.flatMap((contender) => [
      figure(
        scenario,
        `${contender}: throughput`,
        'tenants/s',
        spreadOf(perTenant[contender].map((milliseconds) => 1000 / milliseconds)),
      ),
      figure(scenario, `${contender}: p50`, 'ms', spreadOf(durations[contender]).median),
    ]),
  ]
}

async function warmUp(
  makers: Readonly<Record<Contender, MakeTenant>>,
  { signal, note }: BenchOptions,
): Promise<void> {
  note('warming up')
  for (const contender of CONTENDERS) {
    await runAtOnce(2 * MOST_AT_ONCE, MOST_AT_ONCE, signal, (index, worker) =>
      makers[contender](`warm${index}`, worker),
    )
  }
}

type Contest = AsyncDisposable & {
  readonly makers: Readonly<Record<Contender, MakeTenant>>
  /** The database that a contender made for a name. */
  readonly databaseOf: (contender: Contender, word: string) => string
}

async function openContest({ databaseUrl, socketPath, folder }: ThrowAwayServer): Promise<Contest> {
  const [withTemplate, withoutTemplate] = [
    freshEnvironment(databaseUrl),
    freshEnvironment(databaseUrl),
  ]
  await initialize(withTemplate)
  await initialize(withoutTemplate)
  await dropTemplate(withoutTemplate)
  const ours = await open(withTemplate)
  const bare = await open(withoutTemplate)
  const connections = await Promise.all(
    Array.from({ length: MOST_AT_ONCE }, () =>
      createConnection({ socketPath, user: 'root', multipleStatements: true }),
    ),
  )
  await provision(ours, 'pattern')
  const script = await floorScript(
    connections[0] as Connection,
    `${withTemplate.VALIDONX_TENANT_PREFIX}pattern`,
  )
  const knex = await createKnexCommand(folder, socketPath)
  return {
    makers: {
      ours: (word) => provision(ours, word),
      'without template': (word) => provision(bare, word),
      floor: async (word, worker) => {
        await connections[worker]?.query(script(`floor_${word}`))
      },
      peer: async (word, worker) => {
        await connections[worker]?.query(`create database peer_${word}`)
        await knex(`peer_${word}`)
      },
      'peer in process': async (word, worker) => {
        await connections[worker]?.query(`create database inner_${word}`)
        await migrateInProcess(socketPath, `inner_${word}`)
      },
    },
    databaseOf: (contender, word) =>
      ({
        ours: `${withTemplate.VALIDONX_TENANT_PREFIX}${word}`,
        'without template': `${withoutTemplate.VALIDONX_TENANT_PREFIX}${word}`,
        floor: `floor_${word}`,
        peer: `peer_${word}`,
        'peer in process': `inner_${word}`,
      })[contender],
    async [Symbol.asyncDispose]() {
      for (const connection of connections) connection.destroy()
      await ours[Symbol.asyncDispose]()
      await bare[Symbol.asyncDispose]()
    },
  }
}

async function provision(ctx: Context, slug: string): Promise<void> {
  await provisionTenant(ctx, { slug }, { deliver: async () => {} })
}

async function dropTemplate({
  VALIDONX_DATABASE_URL = '',
  VALIDONX_TENANT_PREFIX = '',
}: Environment): Promise<void> {
  await using provisioner = openProvisioner(VALIDONX_DATABASE_URL)
  await provisioner.run(`drop database ${quoteName(`${VALIDONX_TENANT_PREFIX}_template`)}`)
}

/** Everything that makes a tenant's database and its user, as one text of statements: a single round trip. */
async function floorScript(
  connection: Connection,
  pattern: string,
): Promise<(database: string) => string> {
  const [names] = await connection.query<RowDataPacket[]>(
    'select table_name as name from information_schema.tables where table_schema = ?',
    [pattern],
  )
  const tables: string[] = []
  for (const { name } of names) {
    const [[row]] = await connection.query<RowDataPacket[]>(
      `show create table ${quoteName(pattern)}.${quoteName(String(name))}`,
    )
    tables.push(String(row?.['Create Table']).replace(/ AUTO_INCREMENT=\d+/, ''))
  }
  const ledger = tenantMigrations.map(({ name }) => `(${quoteText(name)}, 1, utc_timestamp())`)
  return (database) => {
    const account = quoteUser(database, '%')
    return [
      `create database ${quoteName(database)} character set utf8mb4 collate utf8mb4_unicode_ci`,
      `use ${quoteName(database)}`,
      'set foreign_key_checks = 0',
      ...tables,
      'set foreign_key_checks = 1',
      `insert into validonx_owner (tenant_id, created_at) values (${quoteText(newId())}, utc_timestamp(6))`,
      'insert into knex_migrations_lock (is_locked) values (0)',
      `insert into knex_migrations (name, batch, migration_time) values ${ledger.join(', ')}`,
      `create user ${account} identified by ${quoteText(newId())}`,
      `grant select, insert, update, delete on ${quoteGrantDatabase(database)}.* to ${account}`,
    ].join(';\n')
  }
}

async function migrateInProcess(socketPath: string, database: string): Promise<void> {
  const db = loadKnex()({
    client: 'mysql2',
    connection: { socketPath, user: 'root', database },
  })
  try {
    await db.migrate.latest({
      migrationSource: {
        getMigrations: async () => [...tenantMigrations],
        getMigrationName: ({ name }: Migration) => name,
        getMigration: async (migration: Migration) => migration,
      },
    })
  } finally {
    await db.destroy()
  }
}

/** A contender that makes less would win by that: all make the same tables. Only the peers mark no owner. */
async function assertSameTables(
  { databaseUrl }: ThrowAwayServer,
  databaseOf: Contest['databaseOf'],
): Promise<void> {
  await using provisioner = openProvisioner(databaseUrl)
  const tablesOf = async (contender: Contender): Promise<string> => {
    const rows = await provisioner.rows<{ name: string }>(
      'select table_name as name from information_schema.tables where table_schema = ? and table_name <> ? order by table_name',
      [databaseOf(contender, 'warm0'), 'validonx_owner'],
    )
    return rows.map(({ name }) => name).join(', ')
  }
  const expected = await tablesOf('ours')
  for (const contender of CONTENDERS) {
    const made = await tablesOf(contender)
    if (made !== expected) throw new Error(`${contender} made ${made}, ours made ${expected}`)
  }
}

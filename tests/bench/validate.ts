import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Context } from '../../src/core/context.js'
import { quoteName } from '../../src/core/db/sql.js'
import { provisionTenant } from '../../src/core/provisioning/provision-tenant.js'
import { enterTenant } from '../../src/core/tenants/scope.js'
import { issueFor } from '../support/license.js'
import {
  type Environment,
  freshEnvironment,
  initialize,
  open,
  openProvisioner,
} from '../support/platform.js'
import { startThrowAwayServer, type ThrowAwayServer } from '../support/throw-away-server.js'
import { hasWrk, type KeyPair, type Load, load, writePairs } from './load.js'
import { type Bench, type BenchOptions, type Figure, figure } from './report.js'
import { interleave, ratiosOf, runAtOnce, spreadOf } from './rounds.js'
import { type Served, serve } from './served.js'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const FLOOR_DATABASE = 'floor'

type Sizes = {
  readonly few: number
  readonly many: number
  readonly all: number
  readonly rounds: number
  readonly seconds: number
}

const sizesOf = ({ quick }: BenchOptions): Sizes =>
  quick
    ? { few: 10, many: 80, all: 100, rounds: 2, seconds: 1 }
    : { few: 100, many: 1000, all: 2000, rounds: 9, seconds: 4 }

/** How many licenses a process validates in a second, against a bare server with one database. */
export const benchValidate: Bench = async (options) => {
  if (!(await hasWrk()))
    return { bench: 'validate', engine: '', figures: [], skipped: 'wrk is not on PATH' }
  if (!existsSync(join(ROOT, 'dist/src/cli/main.js')))
    throw new Error('there is no build: run "npm run build" first')
  const sizes = sizesOf(options)
  options.note('starting a server that is not durable')
  await using server = await startThrowAwayServer({ durable: false })
  const environment = freshEnvironment(server.databaseUrl)
  const runtimeUrl = await initialize(environment)
  const pairs = await furnish(server, environment, sizes.all, options)
  const house: House = { server, environment, runtimeUrl, options, sizes }
  return {
    bench: 'validate',
    engine: server.version,
    figures: [
      ...(await compare(house, pairs.slice(0, sizes.few), 128, 0.8)),
      ...(await compare(house, pairs.slice(0, sizes.many), 32, 0.5)),
      ...(await weigh(house, pairs)),
    ],
  }
}

type House = {
  readonly server: ThrowAwayServer
  readonly environment: Environment
  readonly runtimeUrl: string
  readonly options: BenchOptions
  readonly sizes: Sizes
}

/** Both servers get the same requests, in turn; the floor has all licenses in its one database. */
async function compare(
  house: House,
  pairs: readonly KeyPair[],
  connections: number,
  goal: number,
): Promise<Figure[]> {
  const { server, options, sizes } = house
  const { signal, note } = options
  const scenario = `${pairs.length} tenants, ${connections} connections`
  const pairsPath = join(server.folder, `pairs-${pairs.length}`)
  await writePairs(pairsPath, pairs)
  await using ours = await serveOurs(house, connections)
  await using floor = await serve(
    ['--import', 'tsx', 'tests/bench/floor-server.ts'],
    {
      FLOOR_SOCKET: server.socketPath,
      FLOOR_DATABASE,
      FLOOR_CONNECTIONS: String(connections),
    },
    ROOT,
  )
  const served = { ours, floor }
  note(`${scenario}: warming up`)
  for (const each of [ours, floor]) {
    await validateOnce(each, pairs[0] as KeyPair)
    await pass(each, pairsPath, sizes.seconds, signal)
  }

  note(`${scenario}: ${sizes.rounds} rounds of ${sizes.seconds} s each`)
  const passes: Record<keyof typeof served, Pass[]> = { ours: [], floor: [] }
  const perSecond = await interleave(['ours', 'floor'], sizes.rounds, signal, async (contender) => {
    const passed = await pass(served[contender], pairsPath, sizes.seconds, signal)
    passes[contender].push(passed)
    return passed.perSecond
  })
  const cpu = {
    ours: passes.ours.map(({ cpuUs }) => cpuUs),
    floor: passes.floor.map(({ cpuUs }) => cpuUs),
  }
  return [
    figure(scenario, 'ours / floor (requests/s)', '', ratiosOf(perSecond.ours, perSecond.floor), {
      atLeast: goal,
    }),
    ...(['ours', 'floor'] as const).flatMap((contender) => [
      figure(scenario, `${contender}: throughput`, 'requests/s', spreadOf(perSecond[contender])),
      figure(scenario, `${contender}: p50`, 'ms', spreadOf(passes[contender].map((p) => p.p50Ms))),
      figure(scenario, `${contender}: p99`, 'ms', spreadOf(passes[contender].map((p) => p.p99Ms))),
      figure(scenario, `${contender}: processor time`, 'µs/request', spreadOf(cpu[contender])),
    ]),
  ]
}

/** Memory of a process that has served every tenant there is. */
async function weigh(house: House, pairs: readonly KeyPair[]): Promise<Figure[]> {
  const { server, options, sizes } = house
  const scenario = `${pairs.length} tenants, 64 connections`
  options.note(`${scenario}: serving every tenant`)
  const pairsPath = join(server.folder, 'pairs-all')
  await writePairs(pairsPath, pairs)
  await using ours = await serveOurs(house, 64)
  const before = await ours.memory()
  await runAtOnce(pairs.length, 16, options.signal, async (index) => {
    await validateOnce(ours, pairs[index] as KeyPair)
  })
  await pass(ours, pairsPath, 5 * sizes.seconds, options.signal)
  const after = await ours.memory()
  return [
    figure(scenario, 'memory before the first request', 'MB', before.now),
    figure(scenario, 'memory after all were served', 'MB', after.now, { atMost: 200 }),
    figure(scenario, 'memory at its peak', 'MB', after.peak),
  ]
}

async function validateOnce({ url }: Served, { licenseKey, apiKey }: KeyPair): Promise<void> {
  const answer = await fetch(`${url}/v1/integration/licenses/${licenseKey}/validate`, {
    method: 'POST',
    headers: { 'X-API-Key': apiKey },
  })
  const body = await answer.text()
  if (answer.status !== 200) throw new Error(`answered ${answer.status}: ${body}`)
}

type Pass = Load & { readonly cpuUs: number }

async function pass(
  served: Served,
  pairsPath: string,
  seconds: number,
  signal: AbortSignal,
): Promise<Pass> {
  const before = await served.cpuMs()
  const result = await load(served.url, pairsPath, seconds, signal)
  if (result.failures > 0)
    throw new Error(`${result.failures} of ${result.requests} requests failed`)
  return { ...result, cpuUs: ((await served.cpuMs()) - before) * (1000 / result.requests) }
}

const serveOurs = (
  { environment, runtimeUrl, server }: House,
  connections: number,
): Promise<Served> =>
  serve(
    [join(ROOT, 'bin/validonx.js'), 'serve', '--port', '0'],
    {
      ...environment,
      // what `serve` needs and no more
      VALIDONX_DATABASE_URL: '',
      VALIDONX_RUNTIME_URL: runtimeUrl,
      VALIDONX_CONNECTIONS: String(connections),
      // limits are counted, and never reached
      VALIDONX_API_RATE_LIMIT_REQUESTS: '1000000000',
      VALIDONX_LOG_LEVEL: 'info',
    },
    server.folder,
  )

/** Tenants with a license each, and the floor's database with all of these licenses. */
async function furnish(
  server: ThrowAwayServer,
  environment: Environment,
  tenants: number,
  { signal, note }: BenchOptions,
): Promise<KeyPair[]> {
  note(`provisioning ${tenants} tenants, 4 at once`)
  await using ctx = await open(environment)
  const pairs: KeyPair[] = []
  await runAtOnce(tenants, 4, signal, async (index) => {
    pairs[index] = await furnishTenant(ctx, `t${index}`)
    if (index > 0 && index % 500 === 0) note(`${index} tenants`)
  })
  await copyLicenses(server, environment.VALIDONX_TENANT_PREFIX ?? '', tenants)
  return pairs
}

async function furnishTenant(ctx: Context, slug: string): Promise<KeyPair> {
  const { apiKey } = await provisionTenant(
    ctx,
    { slug, plan: 'enterprise' },
    { deliver: async () => {} },
  )
  if (!apiKey) throw new Error(`${slug} was there already`)
  const { license } = await issueFor(await enterTenant(ctx, slug), {
    product: 'app',
    type: 'perpetual',
    entitlements: { 'features.export': true, 'activations.max': 5, edition: 'gold' },
  })
  return { licenseKey: license.key, apiKey: apiKey.secret }
}

async function copyLicenses(
  { databaseUrl }: ThrowAwayServer,
  prefix: string,
  tenants: number,
): Promise<void> {
  await using provisioner = openProvisioner(databaseUrl)
  const target = `${quoteName(FLOOR_DATABASE)}.licenses`
  const from = (index: number) => `${quoteName(`${prefix}t${index}`)}.licenses`
  await provisioner.run(`create database ${quoteName(FLOOR_DATABASE)}`)
  await provisioner.run(`create table ${target} like ${from(0)}`)
  for (let index = 0; index < tenants; index += 1) {
    await provisioner.run(`insert into ${target} select * from ${from(index)}`)
  }
}

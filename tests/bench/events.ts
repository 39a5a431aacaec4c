import { spawn } from 'node:child_process'
import { createHmac } from 'node:crypto'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { createConnection, type RowDataPacket } from 'mysql2/promise'
import { settleTrail } from '../../src/core/audit/trail-keeper.js'
import { recordEvents } from '../../src/core/events/outbox-store.js'
import { newId } from '../../src/core/ids.js'
import { provisionTenant } from '../../src/core/provisioning/provision-tenant.js'
import { enterTenant, type TenantScope } from '../../src/core/tenants/scope.js'
import { ROOT } from '../support/source-files.js'
import { startThrowAwayServer, type ThrowAwayServer } from '../support/throw-away-server.js'
import { hasWrk } from './load.js'
import { postLoad } from './post-load.js'
import { type Bench, type Figure, figure } from './report.js'
import { interleave, ratiosOf, spreadOf } from './rounds.js'
import { openShop, type Shop, serveShop } from './shop.js'

const WITHOUT = fileURLToPath(new URL('serve-without.mjs', import.meta.url))
const AT_ONCE = 16
const LICENSES = 100
const TENANTS = 5
const EVENTS = 2_000
/** Writes a second while a tail is watched: more than a busy platform makes. */
const PACE = 100

/**
 * What events cost a write, how many a second come from outboxes into the sealed trail, and how long after its answer
 * a change is on the screen of whoever follows the trail.
 */
export const benchEvents: Bench = async ({ quick, signal, note }) => {
  await using server = await startThrowAwayServer({})
  const shop = await openShop(server, LICENSES)
  await using _ = shop.ctx
  const writes = (await hasWrk()) ? await benchWrites(server, shop, quick, signal, note) : []
  return {
    bench: 'events',
    engine: server.version,
    figures: [
      ...writes,
      ...(await benchTrail(server, shop, quick, signal, note)),
      ...(await benchTail(server, shop, quick, signal, note)),
    ],
    ...(writes.length === 0 ? { skipped: 'the cost of a write: wrk is not on PATH' } : {}),
  }
}

async function benchWrites(
  server: ThrowAwayServer,
  shop: Shop,
  quick: boolean,
  signal: AbortSignal,
  note: (text: string) => void,
): Promise<Figure[]> {
  const connections = {
    VALIDONX_CONNECTIONS: String(AT_ONCE),
    VALIDONX_CONNECTIONS_PER_TENANT: String(AT_ONCE),
  }
  const load = {
    path: '/v1/integration/activations',
    apiKey: shop.apiKey,
    kind: 'activation',
    licenseKeys: shop.licenses.map(({ key }) => key),
    connections: AT_ONCE,
    seconds: quick ? 1 : 5,
  } as const
  note('activations with events, with events that stay where they are written, and without')
  const contenders = ['events', 'relay', 'nothing'] as const
  // one after another, not side by side: an idle server of the one would relay and seal beside the other
  const perSecond = await interleave(contenders, quick ? 2 : 9, signal, async (without) => {
    await using served = await serveShop(
      shop,
      server,
      { ...connections, BENCH_WITHOUT: without },
      without === 'nothing' ? undefined : WITHOUT,
    )
    await postLoad(served.url, { ...load, seconds: 1 }, signal)
    return await postLoad(served.url, load, signal)
  })
  await settleTrail(shop.ctx, [shop.scope.tenant])
  const scenario = `activations over HTTP, one tenant, ${AT_ONCE} at once, durable`
  return [
    figure(
      scenario,
      'with events / without, in requests',
      '',
      ratiosOf(perSecond.nothing, perSecond.events),
      { atLeast: 0.85 },
    ),
    figure(
      scenario,
      'with events, relayed and sealed elsewhere / without',
      '',
      ratiosOf(perSecond.relay, perSecond.events),
    ),
    figure(scenario, 'with', 'requests/s', spreadOf(perSecond.nothing)),
    figure(scenario, 'without', 'requests/s', spreadOf(perSecond.events)),
  ]
}

async function benchTrail(
  server: ThrowAwayServer,
  { ctx }: Shop,
  quick: boolean,
  signal: AbortSignal,
  note: (text: string) => void,
): Promise<Figure[]> {
  note(`${TENANTS * EVENTS} events from ${TENANTS} outboxes to the sealed trail`)
  const scopes: TenantScope[] = []
  for (let index = 0; index < TENANTS; index += 1) {
    await provisionTenant(
      ctx,
      { slug: `t${index}`, plan: 'enterprise' },
      { deliver: async () => {} },
    )
    scopes.push(await enterTenant(ctx, `t${index}`))
  }
  const tenants = scopes.map(({ tenant }) => tenant)
  await settleTrail(ctx, tenants)
  await using copy = await openCopy(server)
  const work = {
    ours: () => settleTrail(ctx, tenants),
    floor: () => copy.inBatches(scopes),
    peer: () => copy.oneByOne(scopes),
  }
  const perSecond = await interleave(
    ['ours', 'floor', 'peer'] as const,
    quick ? 2 : 5,
    signal,
    async (name) => {
      for (const scope of scopes) await fillOutbox(scope)
      const begun = performance.now()
      await work[name]()
      const taken = performance.now() - begun
      await settleTrail(ctx, tenants)
      return (TENANTS * EVENTS * 1000) / taken
    },
  )
  const scenario = `${TENANTS * EVENTS} events of ${TENANTS} tenants, relayed and sealed, durable`
  return [
    figure(scenario, 'ours', 'events/s', spreadOf(perSecond.ours), { atLeast: 3_000 }),
    figure(
      scenario,
      'ours / read, hashed and inserted by the bare driver',
      '',
      ratiosOf(perSecond.ours, perSecond.floor),
    ),
    figure(scenario, 'ours / one by one', '', ratiosOf(perSecond.ours, perSecond.peer)),
  ]
}

async function fillOutbox(scope: TenantScope): Promise<void> {
  for (let made = 0; made < EVENTS; made += 500) {
    await scope.transaction((transaction) =>
      recordEvents(
        transaction,
        scope,
        Array.from({ length: 500 }, () => ({
          at: scope.now(),
          action: 'license.created' as const,
          objectType: 'license' as const,
          objectId: newId(),
          changes: { after: { product: 'app', type: 'subscription', expires_at: null } },
        })),
      ),
    )
  }
}

const CHAINED =
  'create table if not exists chained (sequence bigint primary key, event_id char(36) not null unique, event json not null, hash binary(32) not null)'

/** The least that takes events to a chain: read, hashed, inserted. No leases, no fences, no deliveries, no marks. */
async function openCopy(server: ThrowAwayServer) {
  const connection = await createConnection({ socketPath: server.socketPath, user: 'root' })
  await connection.query('create database floor')
  await connection.query('use floor')
  await connection.query(CHAINED)
  let sequence = 0
  let hash = Buffer.alloc(32)
  const chained = (row: RowDataPacket): [number, string, string, Buffer] => {
    const event = JSON.stringify(row)
    sequence += 1
    hash = createHmac('sha256', 'key').update(hash).update(event).digest()
    return [sequence, row.event_id, event, hash]
  }
  const each = async (scopes: readonly TenantScope[], limit: number): Promise<void> => {
    for (const { tenant } of scopes) {
      let last = 0
      for (;;) {
        const [rows] = await connection.query<RowDataPacket[]>(
          `select * from ${tenant.database}.outbox where relayed_at is null and id > ? order by id limit ${limit}`,
          [last],
        )
        if (rows.length === 0) break
        last = rows.at(-1)?.id
        await connection.query('insert into chained (sequence, event_id, event, hash) values ?', [
          rows.map(chained),
        ])
      }
    }
  }
  return {
    inBatches: (scopes: readonly TenantScope[]) => each(scopes, 500),
    oneByOne: (scopes: readonly TenantScope[]) => each(scopes, 1),
    [Symbol.asyncDispose]: () => connection.end(),
  }
}

/** From the answer to a change to its line on the standard output of `audit tail -f`. */
async function benchTail(
  server: ThrowAwayServer,
  shop: Shop,
  quick: boolean,
  signal: AbortSignal,
  note: (text: string) => void,
): Promise<Figure[]> {
  const writes = quick ? PACE * 2 : PACE * 20
  note(`${writes} activations, and when \`audit tail -f\` shows them`)
  await using served = await serveShop(shop, server)
  const seen = new Map<string, number>()
  const tail = spawn(
    process.execPath,
    [join(ROOT, 'bin/validonx.js'), 'audit', 'tail', '-f', '-n', '0', '--json'],
    {
      cwd: server.folder,
      env: { PATH: process.env.PATH, ...shop.environment },
      stdio: ['ignore', 'pipe', 'ignore'],
    },
  )
  const ended = new Promise((done) => tail.once('exit', done))
  const isThere = (): boolean => tail.exitCode === null && tail.signalCode === null
  createInterface({ input: tail.stdout }).on('line', (line) => {
    const { request_id } = JSON.parse(line) as { request_id: string | null }
    if (request_id !== null) seen.set(request_id, performance.now())
  })
  try {
    const answered = new Map<string, number>()
    const write = async (): Promise<void> => {
      const response = await fetch(`${served.url}/v1/integration/activations`, {
        method: 'POST',
        headers: { 'X-API-Key': shop.apiKey, 'Content-Type': 'application/json' },
        body: JSON.stringify({
          license_key: shop.licenses[answered.size % LICENSES]?.key,
          instance_id: newId(),
          device_fingerprint: newId(),
        }),
      })
      if (!response.ok) throw new Error(await response.text())
      answered.set(response.headers.get('x-request-id') ?? '', performance.now())
      await response.arrayBuffer()
    }
    // until the tail is there
    while (seen.size === 0) {
      signal.throwIfAborted()
      if (!isThere()) throw new Error('the tail has ended')
      await write()
      await sleep(200)
    }
    answered.clear()
    const pending: Promise<void>[] = []
    for (let index = 0; index < writes; index += 1) {
      signal.throwIfAborted()
      pending.push(write())
      await sleep(1000 / PACE)
    }
    await Promise.all(pending)
    for (
      let waited = 0;
      waited < 100 && [...answered.keys()].some((id) => !seen.has(id));
      waited += 1
    )
      await sleep(100)
    const lags = [...answered].map(([id, at]) => (seen.get(id) ?? Number.POSITIVE_INFINITY) - at)
    lags.sort((one, other) => one - other)
    const scenario = `${writes} activations, ${PACE} a second`
    return [
      figure(
        scenario,
        'from the answer to the line of the tail, p99',
        'ms',
        lags[Math.floor(lags.length * 0.99)] ?? Number.NaN,
        {
          atMost: 1_000,
        },
      ),
      figure(scenario, 'the same, median', 'ms', lags[Math.floor(lags.length / 2)] ?? Number.NaN),
    ]
  } finally {
    tail.kill('SIGKILL')
    await ended
  }
}

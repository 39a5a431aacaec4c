import {
  createPool,
  type PoolConnection,
  type ResultSetHeader,
  type RowDataPacket,
} from 'mysql2/promise'
import { monthOf } from '../../src/core/billing/plan.js'
import { newId } from '../../src/core/ids.js'
import { startThrowAwayServer } from '../support/throw-away-server.js'
import { hasWrk } from './load.js'
import { postLoad } from './post-load.js'
import { type Bench, figure } from './report.js'
import { interleave, ratiosOf, spreadOf } from './rounds.js'
import { openShop, type Shop, serveShop } from './shop.js'

const AT_ONCE = 200
/** Connections of the naive writer: more only wait for the same row. */
const NAIVE_CONNECTIONS = 32

/** Usage records of one hot tenant, over HTTP, against bare writers without HTTP: one transaction each, and grouped. */
export const benchUsage: Bench = async ({ quick, signal, note }) => {
  if (!(await hasWrk()))
    return { bench: 'usage', engine: '', figures: [], skipped: 'wrk is not on PATH' }
  await using server = await startThrowAwayServer({})
  const shop = await openShop(server, 1)
  await using _ = shop.ctx
  await using ours = await serveShop(shop, server)
  const seconds = quick ? 1 : 4
  const load = {
    path: '/v1/integration/usage/record',
    apiKey: shop.apiKey,
    kind: 'usage',
    licenseKeys: shop.licenses.map(({ key }) => key),
    connections: AT_ONCE,
    seconds,
  } as const
  const contenders = {
    ours: () => postLoad(ours.url, load, signal),
    naive: () => naive(shop, seconds, signal),
    grouped: () => grouped(shop, seconds, signal),
  }
  note('warming up')
  for (const run of Object.values(contenders)) await run()
  const perSecond = await interleave(['ours', 'naive', 'grouped'], quick ? 2 : 7, signal, (name) =>
    contenders[name](),
  )
  const scenario = `one tenant, ${AT_ONCE} at once, durable`
  return {
    bench: 'usage',
    engine: server.version,
    figures: [
      figure(
        scenario,
        'ours over HTTP / one transaction each',
        '',
        ratiosOf(perSecond.ours, perSecond.naive),
        { atLeast: 4 },
      ),
      figure(
        scenario,
        'ours over HTTP / grouped without HTTP',
        '',
        ratiosOf(perSecond.ours, perSecond.grouped),
      ),
      figure(scenario, 'ours', 'records/s', spreadOf(perSecond.ours)),
      figure(scenario, 'one transaction each', 'records/s', spreadOf(perSecond.naive)),
      figure(scenario, 'grouped', 'records/s', spreadOf(perSecond.grouped)),
    ],
  }
}

const EVENT =
  'insert into usage_events (id, license_id, code, quantity, metadata, recorded_at) values ?'
const COUNT =
  'update usage_counters set value = value + ? where code = ? and subject = ? and period_start = ?'
const METADATA = JSON.stringify({ source: 'integration_api' })

const eventOf = (licenseId: string) => [newId(), licenseId, 'exports', 1, METADATA, new Date()]

async function naive(
  { bare, licenses: [license] }: Shop,
  seconds: number,
  signal: AbortSignal,
): Promise<number> {
  const pool = createPool({ ...bare, connectionLimit: NAIVE_CONNECTIONS, timezone: 'Z' })
  const id = license?.id ?? ''
  const end = performance.now() + seconds * 1000
  let done = 0
  const worker = async () => {
    while (performance.now() < end) {
      signal.throwIfAborted()
      const connection = await pool.getConnection()
      await connection.query('begin')
      await connection.query<RowDataPacket[]>(
        'select id, status, entitlements from licenses where id = ?',
        [id],
      )
      await connection.query(EVENT, [[eventOf(id)]])
      await count(connection, id, 1)
      await connection.query('commit')
      connection.release()
      done += 1
    }
  }
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, worker))
  } finally {
    await pool.end()
  }
  return done / seconds
}

/** The same work, all that wait written together: what could be had without HTTP, parsing and rules. */
async function grouped(
  { bare, licenses: [license] }: Shop,
  seconds: number,
  signal: AbortSignal,
): Promise<number> {
  const pool = createPool({ ...bare, connectionLimit: 1, timezone: 'Z' })
  const connection = await pool.getConnection()
  const id = license?.id ?? ''
  const end = performance.now() + seconds * 1000
  let done = 0
  try {
    while (performance.now() < end) {
      signal.throwIfAborted()
      await connection.query('begin')
      await connection.query<RowDataPacket[]>(
        'select id, status, entitlements from licenses where id = ?',
        [id],
      )
      await connection.query(EVENT, [Array.from({ length: AT_ONCE }, () => eventOf(id))])
      await count(connection, id, AT_ONCE)
      await connection.query('commit')
      done += AT_ONCE
    }
  } finally {
    connection.release()
    await pool.end()
  }
  return done / seconds
}

const count = (connection: PoolConnection, licenseId: string, quantity: number) =>
  connection.query<ResultSetHeader>(COUNT, [
    quantity,
    'exports',
    licenseId,
    monthOf(new Date()).start,
  ])

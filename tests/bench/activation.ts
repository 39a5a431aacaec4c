import { createPool, type PoolConnection, type RowDataPacket } from 'mysql2/promise'
import { newId } from '../../src/core/ids.js'
import { LICENSE_COLUMNS } from '../../src/core/licensing/license-store.js'
import { startThrowAwayServer } from '../support/throw-away-server.js'
import { hasWrk } from './load.js'
import { postLoad } from './post-load.js'
import { type Bench, figure } from './report.js'
import { interleave, ratiosOf, spreadOf } from './rounds.js'
import { openShop, type Shop, serveShop } from './shop.js'

const AT_ONCE = 16
const LICENSES = 100

/** How many activations a second, over HTTP, against the same statements by bare mysql2 and no HTTP. */
export const benchActivation: Bench = async ({ quick, signal, note }) => {
  if (!(await hasWrk()))
    return { bench: 'activation', engine: '', figures: [], skipped: 'wrk is not on PATH' }
  await using server = await startThrowAwayServer({})
  const shop = await openShop(server, LICENSES)
  await using _ = shop.ctx
  await using ours = await serveShop(shop, server, {
    VALIDONX_CONNECTIONS: String(AT_ONCE),
    VALIDONX_CONNECTIONS_PER_TENANT: String(AT_ONCE),
  })
  const load = {
    path: '/v1/integration/activations',
    apiKey: shop.apiKey,
    kind: 'activation',
    licenseKeys: shop.licenses.map(({ key }) => key),
    connections: AT_ONCE,
    seconds: quick ? 1 : 4,
  } as const
  const contenders = {
    ours: () => postLoad(ours.url, load, signal),
    floor: () => bareActivations(shop, load.seconds, signal),
  }
  note('warming up')
  await contenders.ours()
  await contenders.floor()
  const perSecond = await interleave(['ours', 'floor'], quick ? 2 : 7, signal, (name) =>
    contenders[name](),
  )
  const scenario = `one tenant, ${LICENSES} licenses, ${AT_ONCE} at once, durable`
  return {
    bench: 'activation',
    engine: server.version,
    figures: [
      figure(
        scenario,
        'ours over HTTP / floor without',
        '',
        ratiosOf(perSecond.ours, perSecond.floor),
        { atLeast: 0.7 },
      ),
      figure(scenario, 'ours', 'activations/s', spreadOf(perSecond.ours)),
      figure(scenario, 'floor', 'activations/s', spreadOf(perSecond.floor)),
    ],
  }
}

async function bareActivations(
  { bare, licenses }: Shop,
  seconds: number,
  signal: AbortSignal,
): Promise<number> {
  const pool = createPool({ ...bare, connectionLimit: AT_ONCE, timezone: 'Z' })
  const end = performance.now() + seconds * 1000
  let done = 0
  const worker = async () => {
    const connection = await pool.getConnection()
    while (performance.now() < end) {
      signal.throwIfAborted()
      const license = licenses[Math.floor(Math.random() * licenses.length)]
      if (license) await activate(connection, license.key)
      done += 1
    }
    connection.release()
  }
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, worker))
  } finally {
    await pool.end()
  }
  return done / seconds
}

/** The statements of `activateLicense`, written out. */
async function activate(connection: PoolConnection, licenseKey: string): Promise<void> {
  const [id, instance, at] = [newId(), newId(), new Date()]
  await connection.query('begin')
  const [[license]] = await connection.query<RowDataPacket[]>(
    `select ${LICENSE_COLUMNS.join(', ')}, activations_count from licenses where license_key = ? for update`,
    [licenseKey],
  )
  await connection.query(
    'select id from activations where license_id = ? and active_instance = ?',
    [license?.id, instance],
  )
  await connection.query('insert into activations set ?', {
    id,
    license_id: license?.id,
    instance_id: instance,
    active_instance: instance,
    device_fingerprint: instance,
    status: 'active',
    metadata: '{}',
    activated_at: at,
    revision: 1,
    created_at: at,
    updated_at: at,
  })
  await connection.query(
    'update licenses set activations_count = activations_count + 1 where id = ?',
    [license?.id],
  )
  await connection.query('insert into outbox set ?', {
    event_id: newId(),
    occurred_at: at,
    action: 'activation.created',
    object_type: 'activation',
    object_id: id,
    actor_type: 'api_key',
    actor_id: id,
    actor_name: id,
    changes: JSON.stringify({ after: { license_id: license?.id, instance_id: instance } }),
    schema_version: 1,
  })
  await connection.query(
    `update usage_counters join entitlements on entitlements.code = usage_counters.code
      set usage_counters.value = usage_counters.value + 1, usage_counters.updated_at = ?
      where usage_counters.code = 'activations.total' and usage_counters.subject = 'tenant' and usage_counters.period_start = ?
        and (entitlements.value is null or usage_counters.value + 1 <= cast(json_unquote(entitlements.value) as unsigned))`,
    [at, new Date(0)],
  )
  await connection.query('commit')
}

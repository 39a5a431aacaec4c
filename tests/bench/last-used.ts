import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startThrowAwayServer } from '../support/throw-away-server.js'
import { hasWrk, load, writePairs } from './load.js'
import { type Bench, figure } from './report.js'
import { interleave, ratiosOf, spreadOf } from './rounds.js'
import { openShop, serveShop } from './shop.js'

const WITHOUT = fileURLToPath(new URL('serve-without-last-used.mjs', import.meta.url))

/** What it costs a hot key that its last use is written down. */
export const benchLastUsed: Bench = async ({ quick, signal, note }) => {
  if (!(await hasWrk()))
    return { bench: 'last-used', engine: '', figures: [], skipped: 'wrk is not on PATH' }
  await using server = await startThrowAwayServer({})
  const shop = await openShop(server, 1)
  await using _ = shop.ctx
  await using served = await serveShop(shop, server)
  await using without = await serveShop(shop, server, {}, WITHOUT)
  const pairsPath = join(server.folder, 'pair')
  await writePairs(pairsPath, [{ licenseKey: shop.licenses[0]?.key ?? '', apiKey: shop.apiKey }])
  const seconds = quick ? 1 : 6
  const run = async (url: string) => (await load(url, pairsPath, seconds, signal)).perSecond
  note('warming up')
  await run(served.url)
  await run(without.url)
  const perSecond = await interleave(['ours', 'without'], quick ? 2 : 7, signal, (name) =>
    run(name === 'ours' ? served.url : without.url),
  )
  const scenario = 'one hot key, durable'
  return {
    bench: 'last-used',
    engine: server.version,
    figures: [
      figure(
        scenario,
        'ours / without last_used_at',
        '',
        ratiosOf(perSecond.ours, perSecond.without),
        { atLeast: 0.9 },
      ),
      figure(scenario, 'ours', 'requests/s', spreadOf(perSecond.ours)),
      figure(scenario, 'without', 'requests/s', spreadOf(perSecond.without)),
    ],
  }
}

import { benchActivation } from './activation.js'
import { benchEvents } from './events.js'
import { benchFleet } from './fleet.js'
import { benchLastUsed } from './last-used.js'
import { benchLicenses } from './licenses.js'
import { benchProvision } from './provision.js'
import type { Bench } from './report.js'
import { toJson, toText } from './report.js'
import { benchUsage } from './usage.js'
import { benchValidate } from './validate.js'

const benches: Readonly<Record<string, Bench>> = {
  provision: benchProvision,
  validate: benchValidate,
  'last-used': benchLastUsed,
  activation: benchActivation,
  usage: benchUsage,
  licenses: benchLicenses,
  events: benchEvents,
  fleet: benchFleet,
}

const USAGE = `usage: npm run bench -- [${Object.keys(benches).join('|')}] [--json] [--quick]`

/** Runs the benches that are named, or all, one after another. */
async function main(argv: readonly string[]): Promise<void> {
  const flags = argv.filter((word) => word.startsWith('--'))
  const named = argv.filter((word) => !word.startsWith('--'))
  const strangers = [
    ...flags.filter((flag) => flag !== '--json' && flag !== '--quick'),
    ...named.filter((name) => !(name in benches)),
  ]
  if (strangers.length > 0) {
    console.error(`"${strangers.join('", "')}" is not known.\n${USAGE}`)
    process.exitCode = 64
    return
  }
  const stopping = new AbortController()
  const stop = () => stopping.abort(new Error('interrupted'))
  process.once('SIGINT', stop).once('SIGTERM', stop)
  try {
    for (const [name, bench] of Object.entries(benches)) {
      if (named.length > 0 && !named.includes(name)) continue
      const report = await bench({
        quick: flags.includes('--quick'),
        signal: stopping.signal,
        note: (text) => console.error(`${name}: ${text}`),
      })
      console.log(flags.includes('--json') ? JSON.stringify(toJson(report)) : toText(report))
    }
  } catch (error) {
    if (!stopping.signal.aborted) throw error
    console.error('Interrupted. Everything that was started is stopped.')
    process.exitCode = 130
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop)
  }
}

await main(process.argv.slice(2))

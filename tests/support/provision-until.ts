import { AsyncLocalStorage } from 'node:async_hooks'
import { subscribe } from 'node:diagnostics_channel'
import { loadMysql } from '../../src/core/db/drivers.js'
import { atMost } from './at-most.js'
import type { Environment } from './platform.js'
import { runCli } from './run-cli.js'

/** A `tenant provision` and the moment, `<stage>/<point>`, from which on its process does nothing. */
export type Until = { readonly slug: string; readonly moment: string }

/**
 * A process that runs `tenant provision` for each entry of UNTIL (JSON) and stops each at its
 * moment: the database gets no further command from it. Prints one line for each, with what the
 * command had printed by then, and waits to be killed: one kill interrupts all of them.
 */
type Run = Until & { out: string; isStopped: boolean; readonly stop: () => void }
const runs = new AsyncLocalStorage<Run>()

subscribe('validonx:provisioning', (message) => {
  const { stage, point } = message as { stage: string; point: string }
  const run = runs.getStore()
  if (run?.moment !== `${stage}/${point}`) return
  run.isStopped = true
  run.stop()
})

// what every statement goes through, in the context of the command that sends it
const connection = loadMysql().Connection.prototype as unknown as {
  addCommand(command: unknown): unknown
}
const { addCommand } = connection
connection.addCommand = function (command) {
  return runs.getStore()?.isStopped ? command : addCommand.call(this, command)
}

const { UNTIL = '[]', ...environment } = process.env as Environment
const inTurn = atMost(4)

/** Returns what the command had printed when it was stopped. */
const runUntil = (until: Until): Promise<string> =>
  new Promise((done, fail) => {
    const run: Run = { ...until, out: '', isStopped: false, stop: () => done(run.out) }
    const watch = (out: string): void => {
      run.out += out
    }
    const argv = ['tenant', 'provision', until.slug, '--json']
    void runs
      .run(run, () => runCli(environment, argv, '', { watch }))
      .then((ended) => fail(new Error(`${until.slug} was not stopped: ${JSON.stringify(ended)}`)))
  })

await Promise.all(
  (JSON.parse(UNTIL) as Until[]).map((until) =>
    inTurn(async () => {
      const out = await runUntil(until)
      process.stdout.write(`stopped ${JSON.stringify({ ...until, out })}\n`)
    }),
  ),
)
process.stdout.write('all stopped\n')
// until it is killed
setInterval(() => {}, 60_000)

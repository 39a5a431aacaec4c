import { CommanderError } from 'commander'
import { createProgram } from './program.js'
import type { Runtime } from './runtime.js'

/** Runs one command line. The exit status is set, never forced: what is under way ends by itself. */
export async function main(argv: readonly string[], runtime: Runtime): Promise<void> {
  try {
    await createProgram(runtime).parseAsync([...argv], { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    const asked = error.code === 'commander.helpDisplayed' || error.code === 'commander.version'
    runtime.setExit(asked ? 0 : 64)
  }
}

/** The real process. */
export const processRuntime = (): Runtime => ({
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  environment: process.env,
  folder: process.cwd(),
  setExit(status) {
    process.exitCode = status
  },
  onStop(callback) {
    // the listener leaves after the first signal, so a second one ends the process as usual
    process.once('SIGINT', callback)
    process.once('SIGTERM', callback)
    return () => {
      process.off('SIGINT', callback)
      process.off('SIGTERM', callback)
    }
  },
})

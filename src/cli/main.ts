import { CommanderError } from 'commander'
import { AppError } from '../core/errors.js'
import { ownStream } from './output.js'
import { createProgram } from './program.js'
import { type Runtime, tell } from './runtime.js'
import { Terminal, write } from './terminal.js'

/** Runs one command line. The exit status is set, never forced: what is under way ends by itself. */
export async function main(argv: readonly string[], runtime: Runtime): Promise<void> {
  // help and the version, as commander prints them
  let printed: Promise<void> = Promise.resolve()
  const print = (text: string) => {
    printed = printed.then(() => write(runtime.stdout, text))
  }
  try {
    await createProgram(runtime, print).parseAsync([...argv], { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    const asked = error.code === 'commander.helpDisplayed' || error.code === 'commander.version'
    runtime.setExit(asked ? 0 : 64)
  }
  try {
    await printed
  } catch (error) {
    tell(runtime, new Terminal(runtime, { json: false, environment: runtime.environment }), error)
  }
}

/** The real process. */
export const processRuntime = (): Runtime => ({
  stdin: process.stdin,
  stdout: ownStream(1),
  stderr: ownStream(2),
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
  onCrash({ report, close, withinSeconds }) {
    let isClosing = false
    const handle = (error: unknown) => {
      report(error)
      if (isClosing) return
      isClosing = true
      // forced: what threw may have left something behind that would keep the process alive
      const exit = () => process.exit(new AppError('SERVER.INTERNAL').exit)
      setTimeout(exit, withinSeconds * 1000)
      close().catch(report).finally(exit)
    }
    process.on('uncaughtException', handle).on('unhandledRejection', handle)
    return () => process.off('uncaughtException', handle).off('unhandledRejection', handle)
  },
})

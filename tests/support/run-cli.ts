import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import { main } from '../../src/cli/main.js'
import type { Environment } from './platform.js'

export type Run = { readonly out: string; readonly said: string; readonly exit: number }

export type Seat = {
  /** The current folder. */
  readonly folder?: string
  /** The width of the terminal that it writes to; without one it writes to pipes. */
  readonly columns?: number
  /** Ctrl-C comes when this is over. */
  readonly stop?: Promise<unknown>
  /** Sees what it prints while it prints. */
  readonly watch?: (out: string) => void
}

/** Runs a command line in this process, on captured streams. */
export async function runCli(
  environment: Environment,
  argv: readonly string[],
  input = '',
  { columns, stop, watch = () => {}, folder = '/nonexistent' }: Seat = {},
): Promise<Run> {
  const terminal = columns === undefined ? {} : { isTTY: true, columns }
  const stdin = new PassThrough()
  const stdout = Object.assign(new PassThrough(), terminal)
  const stderr = Object.assign(new PassThrough(), terminal)
  stdout.on('data', (chunk: Buffer) => watch(chunk.toString()))
  stdin.end(input)
  let exit = 0
  // read while it writes: a command waits for whoever reads
  const [out, said] = [text(stdout), text(stderr)]
  await main(argv, {
    stdin,
    stdout,
    stderr,
    environment,
    folder,
    setExit: (status) => {
      exit = status
    },
    onStop: (callback) => {
      void stop?.then(() => callback('SIGINT'))
      return () => {}
    },
    onCrash: () => () => {},
  })
  stdout.end()
  stderr.end()
  return { out: await out, said: await said, exit }
}

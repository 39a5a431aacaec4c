import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { type Environment, initialize } from './platform.js'
import { ROOT } from './source-files.js'

export type Started = {
  readonly child: ChildProcess
  /** All that it has written so far. */
  readonly output: { out: string; said: string }
  /** Its exit status, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>
}

/** Starts the real `validonx`, as it was built, with nothing of our environment but the path. */
export function startBin(
  environment: Environment,
  argv: readonly string[],
  nodeOptions: readonly string[] = [],
): Started {
  const child = spawn(process.execPath, [...nodeOptions, join(ROOT, 'bin/validonx.js'), ...argv], {
    env: { PATH: process.env.PATH ?? '', ...environment },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const output = { out: '', said: '' }
  child.stdout.on('data', (chunk: Buffer) => {
    output.out += chunk.toString()
  })
  child.stderr.on('data', (chunk: Buffer) => {
    output.said += chunk.toString()
  })
  child.stdin.end()
  const ended = new Promise<number | NodeJS.Signals>((done) => {
    child.once('close', (code, signal) => done(signal ?? code ?? -1))
  })
  return { child, output, ended }
}

export type Serving = Started & { readonly url: string }

/** Starts `validonx serve` on a free port and waits until it listens. */
export async function startServe(
  environment: Environment,
  nodeOptions: readonly string[] = [],
): Promise<Serving> {
  const started = startBin({ ...environment, VALIDONX_PORT: '0' }, ['serve'], nodeOptions)
  const url = await new Promise<string>((done, fail) => {
    started.child.stderr?.on('data', () => {
      const found = /"url":"([^"]+)"/.exec(started.output.said)?.[1]
      if (found) done(found)
    })
    void started.ended.then((how) =>
      fail(new Error(`serve ended with ${how}: ${started.output.said}`)),
    )
  })
  return { ...started, url }
}

/** So many `serve` processes side by side, with the runtime's rights alone. `onCleanup` is told how they are ended. */
export async function startServers(
  environment: Environment,
  count: number,
  onCleanup: (end: () => void) => void,
  settings: Environment = {},
): Promise<Serving[]> {
  const { VALIDONX_DATABASE_URL: _, ...rest } = environment
  const runtime = { ...rest, VALIDONX_RUNTIME_URL: await initialize(environment), ...settings }
  const servers = await Promise.all(Array.from({ length: count }, () => startServe(runtime)))
  onCleanup(() => {
    for (const { child } of servers) child.kill('SIGKILL')
  })
  return servers
}

import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'

const START_WITHIN_MS = 30_000
const STOP_WITHIN_MS = 10_000
/** What the kernel counts processor time in: USER_HZ, which is 100 on every Linux that there is. */
const MS_PER_TICK = 10

/** A server in a process of its own. Disposing of it stops it and waits for its end. */
export type Served = AsyncDisposable & {
  readonly url: string
  /** Resident memory of the process, now and at its peak, in MB. */
  memory(): Promise<{ readonly now: number; readonly peak: number }>
  /** Processor time that the process has used so far, in ms. */
  cpuMs(): Promise<number>
}

/** Starts `node` with `args`, and waits for the log line `listening` with its URL. */
export async function serve(
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
  folder: string,
): Promise<Served> {
  const child = spawn(process.execPath, args, {
    cwd: folder,
    env: { PATH: process.env.PATH, ...environment },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const ended = new Promise<void>((done) => {
    child.once('exit', () => done())
    child.once('error', () => done())
  })
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM')
    const late = new AbortController()
    sleep(STOP_WITHIN_MS, undefined, { signal: late.signal }).then(
      () => child.kill('SIGKILL'),
      () => {},
    )
    await ended
    late.abort()
  }
  const said: string[] = []
  const url = await new Promise<string | undefined>((done) => {
    createInterface({ input: child.stderr }).on('line', (line) => {
      if (said.length < 20) said.push(line)
      const found = /"message":"listening".*"url":"([^"]+)"/.exec(line)?.[1]
      if (found) done(found)
    })
    ended.then(() => done(undefined))
    setTimeout(() => done(undefined), START_WITHIN_MS).unref()
  })
  const { pid } = child
  if (url === undefined || pid === undefined) {
    await stop()
    throw new Error(`a server did not start: ${said.join('\n')}`)
  }
  return {
    url,
    async memory() {
      const status = await readFile(`/proc/${pid}/status`, 'utf8')
      const megabytes = (field: string) =>
        Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)?.[1]) / 1024
      return { now: megabytes('VmRSS'), peak: megabytes('VmHWM') }
    },
    async cpuMs() {
      const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
      // the second field is a name in brackets and may hold anything: utime and stime are 12 and 13 after it
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      return (Number(fields[11]) + Number(fields[12])) * MS_PER_TICK
    },
    [Symbol.asyncDispose]: stop,
  }
}

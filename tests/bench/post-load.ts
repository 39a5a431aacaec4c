import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
const SCRIPT = fileURLToPath(new URL('post-at-once.lua', import.meta.url))

export type PostLoad = {
  readonly path: string
  readonly apiKey: string
  readonly kind: 'activation' | 'usage'
  readonly licenseKeys: readonly string[]
  readonly connections: number
  readonly seconds: number
}

/** Posts as fast as the server answers; answers how many were done in a second. */
export async function postLoad(url: string, load: PostLoad, signal: AbortSignal): Promise<number> {
  const { path, apiKey, kind, licenseKeys, connections, seconds } = load
  const { stdout } = await run(
    'wrk',
    [
      '-t1',
      `-c${connections}`,
      `-d${seconds}s`,
      '--timeout',
      '10s',
      '-s',
      SCRIPT,
      url,
      '--',
      path,
      apiKey,
      kind,
      ...licenseKeys,
    ],
    { signal, timeout: (seconds + 30) * 1000 },
  )
  const [requests = 0, microseconds = 0, , , failures = 0] = (
    /^RESULT (.*)$/m.exec(stdout)?.[1] ?? ''
  )
    .split(' ')
    .map(Number)
  if (requests === 0) throw new Error(`wrk gave no result: ${stdout}`)
  if (failures > 0) throw new Error(`${failures} of ${requests} requests failed`)
  return requests / (microseconds / 1e6)
}

import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** Requests under way at once. */
const IN_FLIGHT = 64
const SCRIPT = fileURLToPath(new URL('validate-at-random.lua', import.meta.url))

/** One license and the API key of its tenant. */
export type KeyPair = { readonly licenseKey: string; readonly apiKey: string }

export type Load = {
  readonly requests: number
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** Answers that were not 200, and requests without any. */
  readonly failures: number
}

export async function hasWrk(): Promise<boolean> {
  // `wrk --version` says it and exits with 1
  const answer = await run('wrk', ['--version']).catch((error: { code?: unknown }) => error)
  return !('code' in answer && answer.code === 'ENOENT')
}

export async function writePairs(path: string, pairs: readonly KeyPair[]): Promise<void> {
  await writeFile(
    path,
    pairs.map(({ licenseKey, apiKey }) => `${licenseKey} ${apiKey}\n`).join(''),
    { mode: 0o600 },
  )
}

/** Validates licenses drawn at random from a file of pairs, as fast as the server answers. */
export async function load(
  url: string,
  pairsPath: string,
  seconds: number,
  signal: AbortSignal,
): Promise<Load> {
  const { stdout } = await run(
    'wrk',
    [
      '-t1',
      `-c${IN_FLIGHT}`,
      `-d${seconds}s`,
      '--timeout',
      '10s',
      '-s',
      SCRIPT,
      url,
      '--',
      pairsPath,
    ],
    { signal, timeout: (seconds + 30) * 1000 },
  )
  const line = /^RESULT (.*)$/m.exec(stdout)?.[1]
  if (line === undefined) throw new Error(`wrk gave no result: ${stdout}`)
  const [requests = 0, microseconds = 0, p50 = 0, p99 = 0, failures = 0] = line
    .split(' ')
    .map(Number)
  return {
    requests,
    perSecond: requests / (microseconds / 1e6),
    p50Ms: p50 / 1000,
    p99Ms: p99 / 1000,
    failures,
  }
}

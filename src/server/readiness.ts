import type { PlatformDb } from '../core/db/connect.js'
import { WRITE_PROBE } from '../core/db/write-probe.js'
import { isFailure } from '../core/driver-failure.js'
import type { Readiness } from './routes/health.js'

const ANSWER_WITHIN_MS = 1_000
const REMEMBERED_MS = 1_000

type Seen = { readonly reason: string | undefined; readonly at: number }

/**
 * Ready while the platform database takes writes and answers within a second; asked at most once a
 * second, however many probes there are. One tenant's broken database does not take the process out of
 * service.
 */
export function createReadiness(platform: PlatformDb): { readonly ask: Readiness; stop(): void } {
  let stopping = false
  let last: Seen | undefined
  let asking: Promise<Seen> | undefined

  const ask = async (): Promise<Seen> => {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<string>((done) => {
      timer = setTimeout(() => done(NO_ANSWER), ANSWER_WITHIN_MS)
    })
    const answered = platform.raw(WRITE_PROBE).then(() => undefined, reasonOf)
    const reason = await Promise.race([answered, late])
    clearTimeout(timer)
    last = { reason, at: performance.now() }
    return last
  }

  const askOnce = (): Promise<Seen> => {
    asking ??= ask().finally(() => {
      asking = undefined
    })
    return asking
  }

  return {
    async ask() {
      if (stopping) return { ready: false, reason: 'shutting down' }
      const { reason } =
        last && performance.now() - last.at < REMEMBERED_MS ? last : await askOnce()
      return reason === undefined ? { ready: true } : { ready: false, reason }
    },
    stop() {
      stopping = true
    },
  }
}

const NO_ANSWER = 'the platform database does not answer'

function reasonOf(error: unknown): string {
  if (isFailure(error, 'read only', 'not ready')) return 'the platform database cannot be written'
  return isFailure(error, 'unreachable', 'connection lost', 'too many connections')
    ? NO_ANSWER
    : 'the platform database cannot be used'
}

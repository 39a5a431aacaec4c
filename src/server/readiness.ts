import type { PlatformDb } from '../core/db/connect.js'
import type { Readiness } from './routes/health.js'

const ANSWER_WITHIN_MS = 1_000
const REMEMBERED_MS = 1_000

/**
 * Ready while the platform database answers within a second; asked at most once a second, however
 * many probes there are. One tenant's broken database does not take the process out of service.
 */
export function createReadiness(platform: PlatformDb): { readonly ask: Readiness; stop(): void } {
  let stopping = false
  let last: { readonly ready: boolean; readonly at: number } | undefined
  let asking: Promise<boolean> | undefined

  const ask = async (): Promise<boolean> => {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<boolean>((done) => {
      timer = setTimeout(() => done(false), ANSWER_WITHIN_MS)
    })
    const answered = platform.raw('select 1').then(
      () => true,
      () => false,
    )
    const ready = await Promise.race([answered, late])
    clearTimeout(timer)
    last = { ready, at: performance.now() }
    return ready
  }

  const askOnce = (): Promise<boolean> => {
    asking ??= ask().finally(() => {
      asking = undefined
    })
    return asking
  }

  return {
    async ask() {
      if (stopping) return { ready: false, reason: 'shutting down' }
      const ready =
        last && performance.now() - last.at < REMEMBERED_MS ? last.ready : await askOnce()
      return ready ? { ready } : { ready, reason: 'the platform database does not answer' }
    },
    stop() {
      stopping = true
    },
  }
}

import { setTimeout as sleep } from 'node:timers/promises'
import type { PlatformDb } from '../db/connect.js'
import { isFailure } from '../driver-failure.js'
import { retrying } from '../retrying.js'
import { type RolloutResult, recordResults } from './rollout-store.js'

const RETRY_FOR_MS = 30_000
/** Each statement costs a write to disk that migrations wait for too; a result that is lost is found again. */
const EVERY_MS = 100

/**
 * Writes the results of a rollout down, together those that come while a statement is under way. A
 * platform that is away for a moment is waited for; what it has missed by then is thrown by `flush`.
 */
export class RolloutJournal {
  readonly #db: PlatformDb
  readonly #rolloutId: string
  #waiting: RolloutResult[] = []
  #writing: Promise<void> | undefined
  #failure: unknown
  #hurry = new AbortController()

  constructor(db: PlatformDb, rolloutId: string) {
    this.#db = db
    this.#rolloutId = rolloutId
  }

  add(result: RolloutResult): void {
    this.#waiting.push(result)
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined
    })
  }

  /** Resolves when all that was added is written. @throws what the driver throws where it cannot be */
  async flush(): Promise<void> {
    this.#hurry.abort()
    while (this.#writing) await this.#writing
    this.#hurry = new AbortController()
    if (this.#failure !== undefined) throw this.#failure
  }

  async #write(): Promise<void> {
    while (this.#waiting.length > 0 && this.#failure === undefined) {
      await sleep(EVERY_MS, undefined, { signal: this.#hurry.signal }).catch(() => {})
      const results = this.#waiting
      this.#waiting = []
      try {
        await this.#persist(results)
      } catch (error) {
        this.#failure = error
      }
    }
  }

  #persist(results: readonly RolloutResult[]): Promise<void> {
    return retrying(() => recordResults(this.#db, this.#rolloutId, results), {
      isRetryable: (thrown) =>
        isFailure(
          thrown,
          'connection lost',
          'unreachable',
          'too many connections',
          'not ready',
          'transaction rolled back',
          'statement rolled back',
        ),
      forMs: RETRY_FOR_MS,
      firstPauseMs: 200,
      longestPauseMs: 1_000,
    })
  }
}

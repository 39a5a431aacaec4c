import { setTimeout as sleep } from 'node:timers/promises'

export type RetryTerms = {
  /** Whether what was thrown is worth another attempt. */
  readonly isRetryable: (thrown: unknown) => boolean
  /** How long new attempts are started. The last one may end later. */
  readonly forMs: number
  /** The longest first pause; it doubles with each attempt, up to `longestPauseMs`. */
  readonly firstPauseMs: number
  readonly longestPauseMs: number
}

/**
 * Repeats `work` until it succeeds or the time is used up. Pauses are random between zero and their
 * bound ("full jitter"), so that callers who failed together don't meet again.
 *
 * @throws what `work` threw last
 */
export async function retrying<T>(
  work: () => Promise<T>,
  { isRetryable, forMs, firstPauseMs, longestPauseMs }: RetryTerms,
): Promise<T> {
  const giveUpAt = performance.now() + forMs
  for (let bound = firstPauseMs; ; bound = Math.min(longestPauseMs, bound * 2)) {
    try {
      return await work()
    } catch (error) {
      const pause = Math.random() * bound
      if (!isRetryable(error) || performance.now() + pause >= giveUpAt) throw error
      await sleep(pause)
    }
  }
}

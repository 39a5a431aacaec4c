import { describe, expect, test } from 'vitest'
import { retrying } from '../../src/core/retrying.js'

const terms = { isRetryable: () => true, firstPauseMs: 1, longestPauseMs: 4 }

describe('retrying', () => {
  test('repeats work as often as the time allows, and returns its result', async () => {
    let attempts = 0
    const result = await retrying(
      async () => {
        attempts += 1
        if (attempts < 50) throw new Error('not yet')
        return 'done'
      },
      { ...terms, forMs: 60_000 },
    )

    expect([result, attempts]).toEqual(['done', 50])
  })

  test('throws the last error when the time is used up', async () => {
    let attempts = 0
    const failing = retrying(
      async () => {
        attempts += 1
        throw new Error(`attempt ${attempts}`)
      },
      { ...terms, forMs: 100 },
    )

    await expect(failing).rejects.toThrow(/^attempt \d+$/)
    expect(attempts).toBeGreaterThan(1)
  })

  test('throws at once what is not worth another attempt', async () => {
    let attempts = 0
    const failing = retrying(
      async () => {
        attempts += 1
        throw new Error('final')
      },
      { ...terms, isRetryable: () => false, forMs: 60_000 },
    )

    await expect(failing).rejects.toThrow('final')
    expect(attempts).toBe(1)
  })
})

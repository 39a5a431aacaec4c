import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import { AppError } from '../../src/core/errors.js'

/** Longer than anything takes on a loaded machine: only what hangs waits for so long. */
const LONGEST_MS = 150_000
const PAUSE_MS = 10

/** Waits until `ask` returns a value that `holds`, and returns it. Fails with the last value seen. */
export async function eventually<T>(
  ask: () => T | Promise<T>,
  holds: (value: T) => boolean = Boolean,
): Promise<T> {
  for (const end = performance.now() + LONGEST_MS; ; await sleep(PAUSE_MS)) {
    const value = await ask()
    if (holds(value)) return value
    if (performance.now() > end) throw new Error(`still ${inspect(value)} after ${LONGEST_MS} ms`)
  }
}

/** Repeats `work` for as long as it is refused with `code`. */
export async function whileRefused<T>(code: string, work: () => Promise<T>): Promise<T> {
  for (const end = performance.now() + LONGEST_MS; ; await sleep(PAUSE_MS * 5)) {
    try {
      return await work()
    } catch (error) {
      const isRefused = error instanceof AppError && error.code === code
      if (!isRefused || performance.now() > end) throw error
    }
  }
}

/** A promise, and the function that resolves it. */
export function signal(): readonly [Promise<void>, () => void] {
  let send: () => void = () => {}
  const sent = new Promise<void>((done) => {
    send = done
  })
  return [sent, send]
}

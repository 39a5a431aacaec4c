/**
 * Runs every contender once in each round, each round beginning with the next one, so that whatever
 * else the machine does falls on all alike. Answers the values of each contender, by round.
 */
export async function interleave<Name extends string>(
  contenders: readonly Name[],
  rounds: number,
  signal: AbortSignal,
  run: (contender: Name, round: number) => Promise<number>,
): Promise<Record<Name, number[]>> {
  const values = Object.fromEntries(
    contenders.map((name): [string, number[]] => [name, []]),
  ) as Record<Name, number[]>
  for (let round = 0; round < rounds; round += 1) {
    for (let turn = 0; turn < contenders.length; turn += 1) {
      signal.throwIfAborted()
      const contender = contenders[(round + turn) % contenders.length] as Name
      values[contender].push(await run(contender, round))
    }
  }
  return values
}

/** Runs `work` for 0 to `count` - 1, `concurrency` at once, and answers how long each took, in ms. */
export async function runAtOnce(
  count: number,
  concurrency: number,
  signal: AbortSignal,
  work: (index: number, worker: number) => Promise<void>,
): Promise<number[]> {
  const durations: number[] = []
  let next = 0
  const worker = async (number: number): Promise<void> => {
    for (let index = next++; index < count; index = next++) {
      signal.throwIfAborted()
      const start = performance.now()
      await work(index, number)
      durations.push(performance.now() - start)
    }
  }
  const ends = await Promise.allSettled(Array.from({ length: concurrency }, (_, n) => worker(n)))
  for (const end of ends) if (end.status === 'rejected') throw end.reason
  return durations
}

/** The middle of the values, with the lowest and the highest. */
export type Spread = { readonly median: number; readonly low: number; readonly high: number }

export function spreadOf(values: readonly number[]): Spread {
  const sorted = [...values].sort((one, other) => one - other)
  const upper = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
  const lower = sorted[Math.ceil(sorted.length / 2) - 1] ?? Number.NaN
  return {
    median: (upper + lower) / 2,
    low: sorted[0] ?? Number.NaN,
    high: sorted.at(-1) ?? Number.NaN,
  }
}

/** Round by round, one divided by the other: noise that lasts longer than a round cancels out. */
export const ratiosOf = (one: readonly number[], other: readonly number[]): Spread =>
  spreadOf(one.map((value, round) => value / (other[round] ?? Number.NaN)))

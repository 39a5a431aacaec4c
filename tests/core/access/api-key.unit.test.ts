import { expect, test } from 'vitest'
import {
  type ApiKey,
  isCalled,
  isWellFormedApiKey,
  mintApiKey,
} from '../../../src/core/access/api-key.js'
import { BASE62, randomText } from '../../../src/core/crypto/random-text.js'

test('a minted key has the form, and carries at least 192 random bits', () => {
  const key = mintApiKey()
  expect(key).toMatch(/^vx_[0-9A-Za-z]{39}$/)
  expect(isWellFormedApiKey(key)).toBe(true)
  expect(33 * Math.log2(62)).toBeGreaterThanOrEqual(192)
})

test('no single mistyped character passes', () => {
  for (let round = 0; round < 20; round += 1) {
    const key = mintApiKey()
    for (let place = 3; place < key.length; place += 1) {
      for (const other of '0Az9') {
        if (other === key[place]) continue
        expect(isWellFormedApiKey(key.slice(0, place) + other + key.slice(place + 1))).toBe(false)
      }
    }
  }
})

/** Pearson's chi-square of how often each character comes, against all coming equally often. */
function chiSquare(text: string): number {
  const counts = new Map<string, number>()
  for (const character of text) counts.set(character, (counts.get(character) ?? 0) + 1)
  const expected = text.length / BASE62.length
  return [...BASE62].reduce(
    (sum, character) => sum + ((counts.get(character) ?? 0) - expected) ** 2 / expected,
    0,
  )
}

test('characters are drawn evenly, and the usual mistake would be seen', () => {
  // 61 degrees of freedom: above 120 with a probability below 0.00001
  expect(chiSquare(randomText(BASE62, 200_000))).toBeLessThan(120)
  const biased = Array.from(
    crypto.getRandomValues(new Uint8Array(65_000)),
    (byte) => BASE62[byte % 62],
  ).join('')
  expect(chiSquare(biased)).toBeGreaterThan(120)
})

test('an operator may write the ID of a key in either case, and the prefix in its own only', () => {
  const id = '01a20a16-e903-7073-8d90-840262d70cf5'
  const key = { id, prefix: 'vx_H4RQGC', lastFour: 'aB3d' } as ApiKey

  const names = [id, id.toUpperCase(), 'vx_H4RQGC', 'aB3d', 'vx_h4rqgc', 'AB3D']
  expect(names.map((name) => isCalled(key, name))).toEqual([true, true, true, true, false, false])
})

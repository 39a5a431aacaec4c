import { expect, test } from 'vitest'
import { idFrom, newId } from '../../src/core/ids.js'

test('ids are UUIDv7 and come in the order in which they were made', () => {
  const ids = Array.from({ length: 20_000 }, newId)
  for (const id of ids)
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  expect(new Set(ids).size).toBe(ids.length)
  expect([...ids].sort()).toEqual(ids)
  expect(
    Math.abs(Number.parseInt((ids[0] ?? '').replace('-', '').slice(0, 12), 16) - Date.now()),
  ).toBeLessThan(60_000)
})

test('an id made from parts depends on them and on their borders', () => {
  expect(idFrom('a', 'b')).toBe(idFrom('a', 'b'))
  expect(idFrom('a', 'b')).not.toBe(idFrom('ab', ''))
  expect(idFrom('a', 'b')).toMatch(
    /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
  )
})

import { expect, test } from 'vitest'
import { createLog } from '../../src/core/log.js'
import { printable, printableLayout } from '../../src/core/printable.js'

const ESC = String.fromCharCode(0x1b)
const STEERING = [0x00, 0x07, 0x1b, 0x7f, 0x85, 0x9b, 0xad, 0x061c, 0x200b, 0x200e, 0x2028, 0x2029]
  .concat([0x202a, 0x202e, 0x2060, 0x2066, 0xfeff, 0xfff9, 0x110bd, 0xe0001, 0xe0041])
  .map((code) => String.fromCodePoint(code))
  .concat('\ud800')

const KEPT = 'Łovelace 日本 🚀 e\u0301 עברית'

test('characters that steer a terminal or hide are spelled out, other text is kept', () => {
  for (const character of STEERING) {
    expect(printable(`a${character}b`)).toMatch(/^a(\\u[0-9a-f]{4}){1,2}b$/)
    expect(printableLayout(`a${character}b`)).toBe(printable(`a${character}b`))
  }
  expect(printable('a\nb\tc\rd')).toBe('a\\u000ab\\u0009c\\u000dd')
  expect(printable(KEPT)).toBe(KEPT)
})

test('the layout and colors of our own text are kept', () => {
  const text = `${ESC}[1mname${ESC}[22m\n\tx`

  expect(printableLayout(text)).toBe(text)
  expect(printableLayout(`${ESC}[2J${ESC}]0;x`)).toBe('\\u001b[2J\\u001b]0;x')
})

test('JSON keeps its value', () => {
  const value = { [`k${STEERING.join('')}`]: STEERING.join(KEPT), list: [`${ESC}[31m`] }
  const line = printableLayout(JSON.stringify(value))

  expect(JSON.parse(line)).toEqual(value)
  expect(line).toMatch(/^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]*$/u)
})

test('the log has no such character raw', () => {
  const lines: string[] = []
  createLog('info', (line) => lines.push(line)).info(`x${STEERING.join('')}`, {
    name: STEERING.join(''),
  })

  expect(lines).toHaveLength(1)
  expect(lines[0]?.slice(0, -1)).toMatch(/^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]*$/u)
  expect(JSON.parse(lines[0] ?? '').name).toBe(STEERING.join(''))
})

import { expect, test } from 'vitest'
import { inspectConfig } from '../../src/core/config.js'
import { isPublicAddress } from '../../src/core/webhooks/public-address.js'

const GOOD = ['10.0.0.0/8', '10.0.0.5/32', '0.0.0.0/0', 'fd00::/8', '::1/128']
const BAD = [
  '10.0.0.0/99',
  '999.1.1.1/8',
  '10.0.0.0/33',
  'fd00::/129',
  '10.0.0.0',
  '10.0.0.0/',
  '10.1/16',
  '012.0.0.0/8',
  '10.0.0.0/08',
  '10.0.0.0/-1',
  '::ffff:10.0.0.0/104',
  'localhost/8',
  ':::/8',
]

const faultsOf = (value: string): readonly string[] =>
  inspectConfig({ environment: { VALIDONX_WEBHOOK_ALLOW: value } }).faults

test('a bad address range is refused at the start, by name', () => {
  expect(GOOD.flatMap(faultsOf)).toEqual([])
  for (const range of BAD)
    expect(faultsOf(`10.0.0.0/8, ${range}`)).toEqual([expect.stringContaining(`"${range}"`)])
})

test('no range that the configuration takes makes a delivery throw', () => {
  for (const range of GOOD)
    for (const address of ['10.0.0.5', '::1', '::ffff:10.0.0.5', 'fd00::1', 'x'])
      expect(() => isPublicAddress(address, [range])).not.toThrow()
})

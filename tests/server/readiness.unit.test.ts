import { expect, test } from 'vitest'
import type { PlatformDb } from '../../src/core/db/connect.js'
import { createReadiness } from '../../src/server/readiness.js'

test.for([
  ['a refused connection', { fatal: true, code: 'ECONNREFUSED' }, 'does not answer'],
  ['a lost connection', { fatal: true, code: 'PROTOCOL_CONNECTION_LOST' }, 'does not answer'],
  ['an exhausted pool', { name: 'KnexTimeoutError' }, 'does not answer'],
  ['a locked account', { errno: 3118, sqlState: 'HY000' }, 'cannot be used'],
  ['an expired password', { errno: 1862, sqlState: 'HY000' }, 'cannot be used'],
  ['a missing privilege', { errno: 1142, sqlState: '42000' }, 'cannot be used'],
  ['a full disk', { errno: 1021, sqlState: 'HY000' }, 'cannot be used'],
  [
    'a read-only server',
    { errno: 1290, sqlState: 'HY000', sqlMessage: '--read-only' },
    'cannot be written',
  ],
] as const)('readiness gives the reason of %s', async ([, fields, reason]) => {
  const refused = () => Promise.reject(Object.assign(new Error('x'), fields))
  const readiness = createReadiness({ raw: refused } as unknown as PlatformDb)

  expect(await readiness.ask()).toEqual({ ready: false, reason: `the platform database ${reason}` })
})

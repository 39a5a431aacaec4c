import { expect, test } from 'vitest'
import { ATTEMPTS, RateLimits } from '../../../src/core/access/rate-limits.js'
import { silentLog } from '../../../src/core/log.js'

const open = () =>
  new RateLimits({
    defaults: { requests: 10, periodSeconds: 60 },
    redisUrl: undefined,
    prefix: 'p',
    log: silentLog,
    maxStrangers: 20,
  })

test('addresses and logins of strangers take up bounded memory', async () => {
  using limits = open()
  for (let index = 0; index < 200; index += 1) {
    const address = `10.0.0.${index}`
    await limits.countLogin(`${index}@example.com`, address)
    for (let guess = 0; guess <= ATTEMPTS.requests; guess += 1) await limits.countAttempt(address)
  }

  expect(limits.strangers).toBe(20)
  // the last ones must still wait, the first ones are forgotten
  expect(limits.mustWait('10.0.0.199', new Date())).toMatchObject({ exceeded: true })
  expect(limits.mustWait('10.0.0.1', new Date())).toBeUndefined()
})

test('an address must wait for a minute, and not longer', async () => {
  using limits = open()
  for (let guess = 0; guess <= ATTEMPTS.requests; guess += 1) await limits.countAttempt('10.0.0.1')
  const later = new Date(Date.now() + ATTEMPTS.periodSeconds * 1000 + 2_000)

  expect(limits.mustWait('10.0.0.1', new Date())).toMatchObject({ remaining: 0 })
  expect(limits.mustWait('10.0.0.1', later)).toBeUndefined()
})

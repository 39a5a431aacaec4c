import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { AppError, asAppError } from '../../src/core/errors.js'
import { type Log, silentLog } from '../../src/core/log.js'
import { createOutageLog } from '../../src/core/outage-log.js'

const refusedLogin = Object.assign(new Error('Access denied'), {
  errno: 1045,
  sqlState: '28000',
  sqlMessage: "Access denied for user 'vx_acme'@'%'",
})

function startLog(options = {}) {
  const lines: string[] = []
  const write = (message: string) => void lines.push(message)
  const log: Log = { ...silentLog, warn: write, error: write, info: write }
  return { lines, ...createOutageLog(log, options) }
}

test('a failure of one tenant is logged as itself, and begins no outage', () => {
  const { log, lines } = startLog()
  log.error('request failed', {
    error: new AppError('TENANT.DATABASE_MISSING', 'acme').because(refusedLogin),
  })
  log.error('request failed', { error: new AppError('TENANT.DATABASE_NOT_OWNED', 'acme') })

  expect(lines).toEqual(['request failed', 'request failed'])
})

test('a refused login of the platform is an outage', () => {
  const outages = startLog()
  outages.log.error('request failed', { error: asAppError(refusedLogin) })
  outages[Symbol.dispose]()

  expect(outages.lines).toEqual(['the database is away: requests and work that need it fail'])
})

test('one probe runs at a time, however long it takes', async () => {
  const outages = startLog({ probeEveryMs: 1 })
  let [running, most, probes] = [0, 0, 0]
  outages.probeWith(async () => {
    running += 1
    probes += 1
    most = Math.max(most, running)
    await sleep(20)
    running -= 1
    throw new Error('still away')
  })
  outages.log.error('request failed', { error: refusedLogin })
  await expect.poll(() => probes).toBeGreaterThan(2)
  outages[Symbol.dispose]()

  expect(most).toBe(1)
})

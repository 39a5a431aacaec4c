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

test('failures of another server are logged as themselves while the platform answers', async () => {
  const outages = startLog({ probeEveryMs: 1 })
  outages.probeWith(async () => {})
  const error = Object.assign(new Error('connect'), { fatal: true, code: 'ECONNREFUSED' })
  for (let each = 0; each < 3; each += 1) outages.log.error(`request ${each} failed`, { error })
  await expect.poll(() => outages.lines.length).toBe(3)
  await sleep(5)
  outages.log.error('request 3 failed', { error })
  outages[Symbol.dispose]()

  expect(outages.lines).toEqual([0, 1, 2, 3].map((each) => `request ${each} failed`))
})

test('an outage ends when the platform answers, and later failures are logged', async () => {
  const outages = startLog({ probeEveryMs: 1 })
  let isAway = true
  outages.probeWith(async () => {
    if (isAway) throw new Error('away')
  })
  const fail = () => outages.log.error('request failed', { error: refusedLogin })
  fail()
  await expect.poll(() => outages.lines.length).toBe(1)
  fail()
  isAway = false
  const crowd = setInterval(fail, 0)
  await expect.poll(() => outages.lines).toContain('request failed')
  clearInterval(crowd)
  outages[Symbol.dispose]()

  expect(outages.lines.slice(0, 3)).toEqual([
    'the database is away: requests and work that need it fail',
    'the database is back',
    'request failed',
  ])
})

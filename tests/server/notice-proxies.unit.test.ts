import { Hono } from 'hono'
import { expect, test, vi } from 'vitest'
import type { Context } from '../../src/core/context.js'
import { silentLog } from '../../src/core/log.js'
import type { ServerEnv } from '../../src/server/env.js'
import { noticeProxies } from '../../src/server/middleware/notice-proxies.js'

test('a notice that could not be written is written again after a minute', async () => {
  const warnings: string[] = []
  const ctx = {
    config: { trustedHops: 0 },
    log: { ...silentLog, warn: (message: string) => void warnings.push(message) },
    // every statement fails
    platform: {},
    now: () => new Date(),
  } as unknown as Context
  const app = new Hono<ServerEnv>().use(noticeProxies(ctx)).get('/', (c) => c.text('ok'))
  const failed = () => warnings.filter((each) => each.includes('could not be written')).length
  const clock = vi.spyOn(performance, 'now')
  const start = performance.now()
  const askAt = async (seconds: number) => {
    clock.mockReturnValue(start + seconds * 1000)
    await app.request('/', { headers: { 'X-Forwarded-For': '203.0.113.7' } })
    await new Promise(setImmediate)
    return failed()
  }
  const counts = [await askAt(0), await askAt(59), await askAt(61), await askAt(62)]
  clock.mockRestore()

  expect(counts).toEqual([1, 1, 2, 2])
})

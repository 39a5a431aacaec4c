import { connect } from 'node:net'
import { describe, expect } from 'vitest'
import type { Context } from '../../src/core/context.js'
import type { LogFields } from '../../src/core/log.js'
import { silentLog } from '../../src/core/log.js'
import {
  findServerNotice,
  UNREAD_CLIENT_ADDRESS,
} from '../../src/core/servers/server-notice-store.js'
import { type App, createApp } from '../../src/server/app.js'
import { listen } from '../../src/server/listen.js'
import { eventually } from '../support/eventually.js'
import { test as house } from '../support/house.js'
import { fromElsewhere } from '../support/shop.js'

const test = house.extend('url', { scope: 'file' }, async ({ ctx }, { onCleanup }) => {
  const config = { ...ctx.config, port: 0, keepAliveTimeout: 7 }
  const server = await listen({ ...ctx, config })
  onCleanup(() => server.stop().then(() => {}))
  return server.url
})

/** Sends bytes, and resolves with all that comes until the server closes. */
const exchange = (url: string, sent: string): Promise<string> =>
  new Promise((done, fail) => {
    let answer = ''
    const { hostname, port } = new URL(url)
    const socket = connect(Number(port), hostname, () => socket.write(sent))
    socket.on('data', (chunk) => {
      answer += chunk.toString()
    })
    socket.on('close', () => done(answer)).on('error', fail)
  })

const statusOf = (answer: string): string => answer.split('\r\n')[0]?.slice(9, 12) ?? ''

describe('a health check', () => {
  test('in HTTP/1.0 needs no Host', async ({ url }) => {
    const statuses = []
    for (const line of [
      'GET /healthz HTTP/1.0',
      'HEAD /healthz HTTP/1.0',
      'GET /readyz HTTP/1.0',
      'GET /healthz HTTP/1.0\r\nHost: balancer',
      'GET /healthz HTTP/1.0\r\nHost:',
    ])
      statuses.push(statusOf(await exchange(url, `${line}\r\n\r\n`)))

    expect(statuses).toEqual(['200', '200', '200', '200', '200'])
  })

  test('in HTTP/1.1 needs one', async ({ url }) => {
    const answer = await exchange(url, 'GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n')

    expect(statusOf(answer)).toBe('400')
    expect(answer).toContain('REQUEST.MALFORMED')
  })
})

test('an idle connection is kept as long as the setting says', async ({ url }) => {
  const response = await fetch(`${url}/healthz`)

  expect(response.headers.get('keep-alive')).toBe('timeout=7')
})

test('a preflight is refused like any request without a key, and is no guess', async ({ ctx }) => {
  await using app = createApp(ctx, async () => ({ ready: true }))
  const from = fromElsewhere()
  const preflight = { Origin: 'https://shop.example', 'Access-Control-Request-Method': 'POST' }
  const ask = async (method: string, headers: Readonly<Record<string, string>>) =>
    (await app.request('/v1/integration/activations', { method, headers }, from)).status
  const statuses = []
  for (let request = 0; request < 100; request += 1) statuses.push(await ask('OPTIONS', preflight))
  const guesses = []
  for (let request = 0; request < 61; request += 1)
    guesses.push(await ask('OPTIONS', { ...preflight, 'X-API-Key': 'vx_guess' }))

  expect(new Set(statuses)).toEqual(new Set([401]))
  expect([guesses[59], guesses[60]]).toEqual([401, 429])
})

describe('a proxy that is not accounted for', () => {
  const open = async (ctx: Context, trustedHops: number) => {
    const warnings: { message: string; fields: LogFields | undefined }[] = []
    const log = {
      ...silentLog,
      warn: (message: string, fields?: LogFields) => void warnings.push({ message, fields }),
    }
    const app = createApp({ ...ctx, log, config: { ...ctx.config, trustedHops } }, async () => ({
      ready: true,
    }))
    return { app, warnings }
  }
  const ask = async (app: App, headers: Readonly<Record<string, string>>) =>
    app.request('/healthz', { headers }, fromElsewhere())

  test.for(['X-Forwarded-For', 'Forwarded', 'X-Real-IP'])(
    'is logged once, and reported by doctor: %s',
    async (name, { ctx, cli }) => {
      const { app, warnings } = await open(ctx, 0)
      await using _ = app
      await ask(app, {})
      expect(warnings).toEqual([])
      for (let request = 0; request < 3; request += 1) await ask(app, { [name]: '203.0.113.7' })
      const notice = await eventually(async () => {
        const found = await findServerNotice(ctx.platform, UNREAD_CLIENT_ADDRESS)
        return found?.detail.startsWith(`${name.toLowerCase()} from 10.`) ? found : undefined
      })
      const { out, exit } = await cli('doctor', '--json')
      const findings = out.split('\n').filter((line) => line.includes('proxies'))

      expect(warnings).toEqual([
        {
          message: expect.stringContaining('VALIDONX_TRUSTED_HOPS is 0'),
          fields: { header: name.toLowerCase(), peer: expect.any(String), trusted_hops: 0 },
        },
      ])
      expect(findings).toHaveLength(1)
      expect(JSON.parse(findings[0] ?? '')).toMatchObject({ area: 'proxies', state: 'warning' })
      expect(findings[0]).toContain(notice?.detail)
      expect(exit).toBe(0)
    },
  )

  test('is forgotten when a process starts that reads the header', async ({ ctx, cli }) => {
    const before = await open(ctx, 0)
    await using _ = before.app
    await ask(before.app, { 'X-Forwarded-For': '203.0.113.7' })
    await eventually(() => findServerNotice(ctx.platform, UNREAD_CLIENT_ADDRESS))
    const after = await open(ctx, 1)
    await using __ = after.app
    await eventually(
      () => findServerNotice(ctx.platform, UNREAD_CLIENT_ADDRESS),
      (found) => found === undefined,
    )
    await ask(after.app, { 'X-Forwarded-For': '203.0.113.7', Forwarded: 'for=203.0.113.7' })
    const { out } = await cli('doctor', '--json')

    expect(after.warnings).toEqual([])
    expect(out).not.toContain('proxies')
  })

  test('is logged too if it sends a header that is not read', async ({ ctx }) => {
    const { app, warnings } = await open(ctx, 1)
    await using _ = app
    await ask(app, { Forwarded: 'for=203.0.113.7' })

    expect(warnings).toMatchObject([{ fields: { header: 'forwarded', trusted_hops: 1 } }])
  })
})

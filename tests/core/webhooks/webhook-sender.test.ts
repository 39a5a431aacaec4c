import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, LookupFunction } from 'node:net'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { Webhook } from 'standardwebhooks'
import { describe, expect } from 'vitest'
import { settleTrail } from '../../../src/core/audit/trail-keeper.js'
import type { Context } from '../../../src/core/context.js'
import { lowestIdAt } from '../../../src/core/ids.js'
import { revokeLicense } from '../../../src/core/licensing/change-license.js'
import { issueLicenses } from '../../../src/core/licensing/issue-licenses.js'
import { ensureProduct } from '../../../src/core/products/create-product.js'
import { enterTenant } from '../../../src/core/tenants/scope.js'
import {
  createWebhook,
  getWebhook,
  rotateWebhookSecret,
} from '../../../src/core/webhooks/change-webhooks.js'
import { pauseAfter, readRetryAfter } from '../../../src/core/webhooks/delivery.js'
import { listDeliveries } from '../../../src/core/webhooks/delivery-store.js'
import { testWebhook } from '../../../src/core/webhooks/handle-deliveries.js'
import { sendDelivery } from '../../../src/core/webhooks/send-delivery.js'
import { secretsIn } from '../../../src/core/webhooks/signing-secrets.js'
import type { WebhookEndpoint } from '../../../src/core/webhooks/webhook-endpoint.js'
import { WebhookSender } from '../../../src/core/webhooks/webhook-sender.js'
import { seed } from '../../support/campaign.js'
import { freshSlug, test as house, provision } from '../../support/house.js'
import { open } from '../../support/platform.js'
import { createRandom } from '../../support/random.js'

const HOUR_MS = 3_600_000
/** Endpoints that take what comes and never answer, and how many come to each. */
const HANGING = 24
const EACH = 40

type Got = {
  readonly path: string
  readonly body: string
  readonly headers: IncomingMessage['headers']
}

/** A server that answers as it is told, and keeps what it got. */
async function receive(answer: (got: Got, response: ServerResponse) => void) {
  const got: Got[] = []
  const server = createServer(async (request, response) => {
    const one = { path: request.url ?? '', body: await text(request), headers: request.headers }
    got.push(one)
    answer(one, response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    got,
    url: `http://127.0.0.1:${port}`,
    /** Away for a moment, in which connections are refused. */
    async restart(awayMs: number) {
      server.closeAllConnections()
      await new Promise((done) => server.close(done))
      await sleep(awayMs)
      server.listen(port, '127.0.0.1')
      await once(server, 'listening')
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((done) => server.close(done))
    },
  }
}

/** A platform whose webhooks reach loopback. */
const test = house
  .extend('open', { scope: 'file' }, async ({ environment }, { onCleanup }) => {
    const ctx = await open({ ...environment, VALIDONX_WEBHOOK_ALLOW: '127.0.0.0/8' })
    onCleanup(() => ctx[Symbol.asyncDispose]())
    return ctx
  })
  .extend('shop', async ({ open: ctx }) => {
    const slug = freshSlug()
    await provision(ctx, slug, 'enterprise')
    const scope = await enterTenant(ctx, slug)
    await ensureProduct(scope, { code: 'p', name: 'P' })
    return {
      scope,
      /** So many `license.created`, on their way. */
      async issue(quantity: number) {
        const { result } = await issueLicenses(scope, { licenses: [{ product: 'p', quantity }] })
        await settleTrail(ctx, [scope.tenant])
        return result.map(({ license }) => license)
      },
    }
  })

const statesOf = async (ctx: Context, tenantId: string): Promise<Record<string, number>> => {
  const counts: Record<string, number> = {}
  for (const { status } of await listDeliveries(ctx.platform, { tenantId, limit: 10_000 }))
    counts[status] = (counts[status] ?? 0) + 1
  return counts
}

describe('webhooks', () => {
  test('arrive at least once, signed, at a receiver that fails, hangs, restarts and redirects', {
    timeout: 300_000,
  }, async ({ open: ctx, shop }) => {
    const random = createRandom(seed)
    const verified = new Set<string>()
    const spoiled = new Map<string, number>()
    let secret = ''
    const faults: unknown[] = []
    await using receiver = await receive(({ body, headers, path }, response) => {
      const { id } = JSON.parse(body) as { id: string }
      const spoils = spoiled.get(id) ?? 0
      // fewer times than there are attempts
      const fate = spoils < 3 ? random.below(12) : 11
      if (fate < 5) spoiled.set(id, spoils + 1)
      if (fate === 0) response.destroy()
      // and says nothing until the sender has had enough
      else if (fate === 4) return
      else if (fate === 1) response.writeHead(503, { 'Retry-After': '30' }).end()
      else if (fate === 2) response.writeHead(302, { Location: '/elsewhere' }).end()
      else if (fate === 3) response.writeHead(500).end('x'.repeat(100_000))
      else {
        try {
          if (path !== '/hook') throw new Error('a redirect was followed')
          // the library's own verifier; it throws where the signature is none
          new Webhook(secret).verify(body, headers as Record<string, string>)
          const hex = createHmac('sha256', secret).update(body).digest('hex')
          if (headers['x-validonx-signature'] !== hex) throw new Error('the published signature')
        } catch (error) {
          faults.push(error)
        }
        verified.add(id)
        response.writeHead(204).end()
      }
    })
    const hook = { url: `${receiver.url}/hook`, events: ['license.created'] }
    secret = (await createWebhook(ctx, shop.scope, hook)).result.secret
    await shop.issue(1_000)
    const mine = () => ctx.platform('webhook_deliveries').where({ tenant_id: shop.scope.tenant.id })
    const errors = new Set<string>()
    /** Notes why some failed. They would come back later: that time is now. */
    const hurry = async () => {
      for (const error of await mine().whereNotNull('last_error').distinct().pluck('last_error'))
        errors.add(error)
      await mine()
        .where({ status: 'pending', claimed_by: null })
        .update({ next_attempt_at: new Date() })
    }
    {
      await using one = new WebhookSender(ctx, { timeoutMs: 400 })
      await using other = new WebhookSender(ctx, { timeoutMs: 400 })
      for (const some of [200, 500]) {
        await expect
          .poll(() => hurry().then(() => verified.size), { interval: 400 })
          .toBeGreaterThan(some)
        await receiver.restart(700)
      }
      await expect
        .poll(
          async () => {
            await hurry()
            return (await statesOf(ctx, shop.scope.tenant.id)).delivered ?? 0
          },
          { interval: 400 },
        )
        .toBe(1_000)
      expect(one && other).toBeTruthy()
    }

    expect([...errors].sort(), `VALIDONX_TEST_SEED=${seed}`).toEqual(
      expect.arrayContaining([
        'ECONNREFUSED',
        'ECONNRESET',
        'answered 302',
        'answered 500',
        'answered 503',
        'no answer in time',
      ]),
    )
    expect(faults).toEqual([])
    expect(verified.size, `VALIDONX_TEST_SEED=${seed}`).toBe(1_000)
    expect(receiver.got.length).toBeGreaterThan(1_000)
    const [first] = receiver.got
    expect(JSON.parse(first?.body ?? '')).toMatchObject({
      id: expect.stringMatching(/^evt_/),
      type: 'license.created',
      version: '1',
      tenant_id: shop.scope.tenant.id,
      data: { license: { id: expect.any(String), product: 'p' }, sequence: expect.any(Number) },
    })
  })

  test('of one endpoint that is slow do not hold up another’s; 410 ends one, with an event', async ({
    open: ctx,
    shop,
  }) => {
    const events = ['license.created', 'license.revoked']
    await using slow = await receive(() => {})
    await using quick = await receive((_, response) => response.writeHead(200).end())
    await using gone = await receive((_, response) => response.writeHead(410).end())
    const made: WebhookEndpoint[] = []
    for (const { url } of [slow, quick, gone]) {
      made.push((await createWebhook(ctx, shop.scope, { url, events })).result.endpoint)
    }
    const [license] = await shop.issue(60)
    await revokeLicense(shop.scope, license?.id ?? '')
    await settleTrail(ctx, [shop.scope.tenant])
    // an attempt at the slow one never ends, so nothing waits for it
    const sender = new WebhookSender(ctx, { timeoutMs: 600_000 })
    await expect.poll(() => quick.got.length).toBe(61)
    await expect
      .poll(async () => (await getWebhook(ctx, shop.scope.tenant.id, made[2]?.id ?? '')).status)
      .toBe('disabled')
    await slow[Symbol.asyncDispose]()
    await sender[Symbol.asyncDispose]()

    expect(slow.got.length).toBeGreaterThan(0)
    expect(slow.got.length).toBeLessThanOrEqual(61)
    const trail = await ctx
      .platform('audit_logs')
      .where({ object_id: made[2]?.id, action: 'webhook_endpoint.disabled' })
    expect(trail).toHaveLength(1)
    expect(quick.got.filter(({ body }) => body.includes('license.revoked'))).toHaveLength(1)
  })

  test('of many endpoints that hang leave room for the one that does not', async ({
    open: ctx,
    shop,
  }) => {
    const events = ['license.created']
    await using hung = await receive(() => {})
    await using quick = await receive((_, response) => response.writeHead(200).end())
    for (let index = 0; index < HANGING; index += 1)
      await createWebhook(ctx, shop.scope, { url: `${hung.url}/${index}`, events })
    const created = await createWebhook(ctx, shop.scope, { url: quick.url, events })
    await shop.issue(EACH)
    // the quick one's come last, behind all that go nowhere
    await ctx
      .platform('webhook_deliveries')
      .where({ endpoint_id: created.result.endpoint.id })
      .update({ next_attempt_at: ctx.now() })
    await using sender = new WebhookSender(ctx, { timeoutMs: 500 })
    await expect.poll(() => quick.got.length).toBe(EACH)

    expect(sender).toBeDefined()
    expect(hung.got.length).toBeGreaterThan(0)
    expect(hung.got.length).toBeLessThan((HANGING * EACH) / 2)
  })

  test('are kept for thirty days, and longer where they are not over', async ({
    open: ctx,
    shop,
  }) => {
    const hook = { url: 'https://example.com/hook', events: ['license.created'] }
    await createWebhook(ctx, shop.scope, hook)
    for (const quantity of [1_000, 1_000, 300]) await shop.issue(quantity)
    const mine = () => ctx.platform('webhook_deliveries').where({ tenant_id: shop.scope.tenant.id })
    const DAY_MS = 86_400_000
    const at = (days: number) => lowestIdAt(new Date(Date.now() - days * DAY_MS)).slice(0, 13)
    const ids: string[] = await mine().orderBy('id').pluck('id')
    const over = { status: 'delivered', next_attempt_at: null }
    await mine().update(over)
    await mine()
      .whereIn('id', ids.slice(0, 2_200))
      .update({ id: ctx.platform.raw('concat(?, substr(id, 14))', [at(31)]) })
    await mine()
      .whereIn('id', ids.slice(2_200, 2_250))
      .update({ id: ctx.platform.raw('concat(?, substr(id, 14))', [at(29)]) })
    const waiting: string[] = await mine().orderBy('id').limit(3).pluck('id')
    await mine()
      .whereIn('id', waiting)
      .update({ status: 'pending', next_attempt_at: new Date(Date.now() + DAY_MS) })
    await using sender = new WebhookSender(ctx)
    await expect.poll(async () => (await mine().pluck('id')).length).toBe(103)

    expect(sender).toBeDefined()
    expect(await mine().where({ status: 'pending' }).orderBy('id').pluck('id')).toEqual(waiting)
  })

  test('are signed under both secrets while a rotation lasts', async ({ open: ctx, shop }) => {
    await using receiver = await receive((_, response) => response.writeHead(200).end())
    const hook = { url: receiver.url, events: ['license.created'] }
    const { endpoint, secret } = (await createWebhook(ctx, shop.scope, hook)).result
    const rotated = await rotateWebhookSecret(ctx, shop.scope.tenant.id, endpoint.id)
    await shop.issue(1)
    await using sender = new WebhookSender(ctx)
    await expect.poll(() => receiver.got.length).toBe(1)

    expect(sender).toBeDefined()
    const [{ body = '', headers = {} } = {}] = receiver.got
    for (const each of [secret, rotated.result.secret])
      new Webhook(each).verify(body, headers as Record<string, string>)
  })

  test('are signed under every secret until the end it was promised, however often it is rotated', async ({
    open: ctx,
    shop,
  }) => {
    await using receiver = await receive((_, response) => response.writeHead(200).end())
    const hook = { url: receiver.url, events: ['license.created'] }
    const { endpoint, secret: first } = (await createWebhook(ctx, shop.scope, hook)).result
    const rotate = (graceSeconds: number, now = ctx.now) =>
      rotateWebhookSecret({ ...ctx, now }, shop.scope.tenant.id, endpoint.id, {
        grace_seconds: graceSeconds,
      })
    const second = await rotate(7200)
    const third = await rotate(60)
    const verifies = (secret: string) => {
      const { body = '', headers = {} } = receiver.got.at(-1) ?? {}
      try {
        new Webhook(secret).verify(body, headers as Record<string, string>)
        return true
      } catch {
        return false
      }
    }
    await testWebhook(ctx, shop.scope.tenant.id, endpoint.id)
    const secrets = [first, second.result.secret, third.result.secret]
    expect(secrets.map(verifies)).toEqual([true, true, true])
    expect(third.result.endpoint.previousSecretExpiresAt).toEqual(
      second.result.endpoint.previousSecretExpiresAt,
    )

    // in two minutes the second one's grace is over, and the first one's is not
    const later = () => new Date(Date.now() + 120_000)
    const fourth = await rotate(3600, later)
    const row = await ctx.platform('webhook_endpoints').where({ id: endpoint.id }).first()
    const kept = [row.secret_encrypted, row.previous_secret_encrypted].flatMap((each) =>
      secretsIn(ctx.keyring, endpoint.id, each, later()),
    )
    expect(kept.toSorted()).toEqual([first, third.result.secret, fourth.result.secret].toSorted())

    await rotate(0)
    await testWebhook(ctx, shop.scope.tenant.id, endpoint.id)
    expect([...secrets, fourth.result.secret].map(verifies)).toEqual([false, false, false, false])
  })

  test('keep up to ten earlier secrets, and refuse a further one instead of ending one', async ({
    open: ctx,
    shop,
  }) => {
    const hook = { url: 'https://example.com/hook', events: ['license.created'] }
    const { endpoint } = (await createWebhook(ctx, shop.scope, hook)).result
    const rotate = (input = {}) =>
      rotateWebhookSecret(ctx, shop.scope.tenant.id, endpoint.id, input)
    for (let times = 0; times < 10; times += 1) await rotate()

    await expect(rotate()).rejects.toMatchObject({ code: 'WEBHOOK.SECRETS_EXCEEDED' })
    await rotate({ grace_seconds: 0 })
    expect((await rotate()).result.endpoint.previousSecretExpiresAt).toBeDefined()
  })
})

describe('addresses that are not public', () => {
  const HOSTILE = [
    'https://127.0.0.1/',
    'https://127.1/',
    'https://2130706433/',
    'https://0x7f000001/',
    'https://0x7f.1/',
    'https://017700000001/',
    'https://0177.0.0.1/',
    'https://127.0.0.1:8443/',
    'https://0.0.0.0/',
    'https://0/',
    'https://10.0.0.1/',
    'https://10.255.255.255/',
    'https://172.16.0.1/',
    'https://172.31.255.255/',
    'https://192.168.0.1/',
    'https://169.254.169.254/latest/meta-data/',
    'https://169.254.0.1/',
    'https://100.64.0.1/',
    'https://192.0.0.1/',
    'https://192.0.2.1/',
    'https://198.18.0.1/',
    'https://198.51.100.1/',
    'https://203.0.113.1/',
    'https://224.0.0.1/',
    'https://239.255.255.250/',
    'https://240.0.0.1/',
    'https://255.255.255.255/',
    'https://[::1]/',
    'https://[::]/',
    'https://[0:0:0:0:0:0:0:1]/',
    'https://[::ffff:127.0.0.1]/',
    'https://[::ffff:7f00:1]/',
    'https://[::ffff:10.0.0.1]/',
    'https://[::ffff:169.254.169.254]/',
    'https://[::127.0.0.1]/',
    'https://[64:ff9b::7f00:1]/',
    'https://[64:ff9b::a9fe:a9fe]/',
    'https://[2002:7f00:1::]/',
    'https://[2001:0:7f00:1::]/',
    'https://[fe80::1]/',
    'https://[fc00::1]/',
    'https://[fd12:3456:789a::1]/',
    'https://[ff02::1]/',
    'https://[2001:db8::1]/',
    'https://[100::1]/',
    'http://127.0.0.1/',
    'http://[::1]/',
    'https://①②⑦.⓪.⓪.①/',
    'https://127。0。0。1/',
    'https://user@127.0.0.1/',
    'https://127.0.0.1%2f@example.com@127.0.0.1/',
    'https://0000::1/',
  ].filter((url) => URL.canParse(url))

  /** Names whose addresses are not. */
  const NAMES: Readonly<Record<string, readonly string[]>> = {
    'loopback.example': ['127.0.0.1'],
    'loopback6.example': ['::1'],
    'mapped.example': ['::ffff:127.0.0.1'],
    'private.example': ['10.1.2.3'],
    'metadata.example': ['169.254.169.254'],
    'nat64.example': ['64:ff9b::7f00:1'],
    'zero.example': ['0.0.0.0'],
    'unique-local.example': ['fd00::1'],
    'carrier.example': ['100.64.1.1'],
    'multicast.example': ['224.0.0.251'],
    'several.example': ['127.0.0.1', '10.0.0.1'],
    'localhost.example': ['127.0.0.2'],
  }

  test('are refused in every notation and by every name, and nothing reaches a loopback listener', async () => {
    await using listener = await receive((_, response) => response.writeHead(200).end())
    const { port } = new URL(listener.url)
    const resolve = ((name: string, _options: object, callback: (...answer: unknown[]) => void) =>
      callback(
        null,
        (NAMES[name] ?? []).map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
      )) as unknown as LookupFunction
    const urls = [
      ...HOSTILE.map((url) => {
        const target = new URL(url)
        target.port = port
        return target.href
      }),
      ...Object.keys(NAMES).map((name) => `http://${name}:${port}/`),
    ]
    const answers = await Promise.all(
      urls.map(async (url) => [url, await sendDelivery(url, '{}', {}, { allowed: [], resolve })]),
    )

    expect(urls.length).toBeGreaterThanOrEqual(60)
    for (const [url, sent] of answers)
      expect([url, sent]).toEqual([url, { error: 'the address is not public' }])
    expect(listener.got).toEqual([])
    // the same listener is reached where the operator allows it
    const open = await sendDelivery(
      `http://localhost.example:${port}/`,
      '{}',
      {},
      {
        allowed: ['127.0.0.0/8'],
        resolve: ((_name: string, _options: object, callback: (...answer: unknown[]) => void) =>
          callback(null, [{ address: '127.0.0.1', family: 4 }])) as unknown as LookupFunction,
      },
    )
    expect(open).toMatchObject({ status: 200 })
  })

  test('of a name that changes its answer are connected to as they were looked at', async () => {
    await using listener = await receive((_, response) => response.writeHead(200).end())
    const { port } = new URL(listener.url)
    let asked = 0
    const resolve = ((
      _name: string,
      _options: object,
      callback: (...answer: unknown[]) => void,
    ) => {
      asked += 1
      const address = asked === 1 ? '192.88.99.1' : '127.0.0.1'
      callback(null, [{ address, family: 4 }])
    }) as unknown as LookupFunction
    const sent = await sendDelivery(
      `http://rebinding.example:${port}/`,
      '{}',
      {},
      {
        allowed: ['192.88.99.0/24'],
        resolve,
        timeoutMs: 300,
      },
    )

    expect(asked).toBe(1)
    expect(sent).toHaveProperty('error')
    expect(listener.got).toEqual([])
  })
})

describe('the pauses between attempts', () => {
  test('come to about three days, are spread, and heed the receiver', () => {
    const pauses = Array.from(
      { length: 9 },
      (_, index) => pauseAfter(index + 1, undefined, 0.5) ?? 0,
    )

    expect(pauses.reduce((sum, pause) => sum + pause, 0) / HOUR_MS).toBeCloseTo(75.6, 1)
    expect(pauseAfter(10, undefined, 0.5)).toBeUndefined()
    expect(pauseAfter(1, undefined, 0)).toBeLessThan(pauseAfter(1, undefined, 0.99) ?? 0)
    expect(pauseAfter(1, 60_000, 0.5)).toBe(60_000)
    expect(pauseAfter(1, 90 * 24 * HOUR_MS, 0.5)).toBe(24 * HOUR_MS)
    expect(readRetryAfter('120', new Date())).toBe(120_000)
    expect(readRetryAfter('Wed, 21 Oct 2026 07:28:00 GMT', new Date('2026-10-21T07:27:00Z'))).toBe(
      60_000,
    )
    expect(readRetryAfter('soon', new Date())).toBeUndefined()
  })
})

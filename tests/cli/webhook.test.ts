import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { Webhook } from 'standardwebhooks'
import { describe, expect } from 'vitest'
import { settleTrail } from '../../src/core/audit/trail-keeper.js'
import { newId } from '../../src/core/ids.js'
import { activateLicense } from '../../src/core/licensing/activate-license.js'
import { enterTenant } from '../../src/core/tenants/scope.js'
import { createWebhook } from '../../src/core/webhooks/change-webhooks.js'
import { freshSlug, test as house, provision, runCli } from '../support/house.js'
import { issueFor } from '../support/license.js'

type Line = Readonly<Record<string, unknown>>
const linesIn = (out: string): Line[] =>
  out
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Line)

const test = house
  /** A receiver on loopback that answers as it is told. */
  .extend('receiver', { scope: 'file' }, async ({ environment: _ }, { onCleanup }) => {
    const got: { readonly body: string; readonly headers: Record<string, string> }[] = []
    const receiver = { url: '', status: 204, got }
    const server = createServer(async (request, response) => {
      const body = await text(request)
      got.push({ body, headers: request.headers as Record<string, string> })
      response.writeHead(receiver.status).end()
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    receiver.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`
    onCleanup(() => void server.close())
    return receiver
  })
  /** A tenant on the plan without limits, with an endpoint that was told of three licenses. */
  .extend('shop', async ({ ctx, receiver }) => {
    const slug = freshSlug()
    await provision(ctx, slug, 'enterprise')
    const scope = await enterTenant(ctx, slug)
    const hook = { url: 'https://example.com/hook', events: ['license.created'] }
    const { endpoint, secret } = (await createWebhook(ctx, scope, hook)).result
    await ctx.platform('webhook_endpoints').where({ id: endpoint.id }).update({ url: receiver.url })
    for (let count = 0; count < 3; count += 1) await issueFor(scope)
    await settleTrail(ctx, [scope.tenant])
    return { slug, id: endpoint.id, secret, at: ['--tenant', slug] }
  })
  .extend('webhook', async ({ environment }) => {
    const allowing = { ...environment, VALIDONX_WEBHOOK_ALLOW: '127.0.0.0/8' }
    return (...argv: string[]) => runCli(allowing, ['webhook', ...argv])
  })

test('IDs are taken in upper case by every command that names something by ID', async ({
  ctx,
  cli,
  webhook,
  shop,
}) => {
  const scope = await enterTenant(ctx, shop.slug)
  const { license } = await issueFor(scope, { product: 'app' })
  const input = { license_key: license.key, instance_id: 'web-1' }
  const { activation } = (await activateLicense(scope, input)).result
  const [key] = await ctx.platform('api_keys').where({ tenant_id: scope.tenant.id })
  const hook = shop.id.toUpperCase()

  const runs = [
    await webhook('test', hook, ...shop.at),
    await webhook('deliveries', hook, ...shop.at),
    await webhook('redeliver', hook, ...shop.at),
    await cli('activation', 'revoke', activation.id.toUpperCase(), ...shop.at, '--yes'),
    await cli('apikey', 'revoke', key.id.toUpperCase(), ...shop.at, '--yes'),
  ]

  expect(runs.map(({ exit, said }) => [exit, exit === 0 ? '' : said])).toEqual(
    runs.map(() => [0, '']),
  )
})

describe('webhook list', () => {
  test('shows the endpoints, and never a secret', async ({ webhook, shop, receiver }) => {
    const table = await webhook('list', ...shop.at)
    const json = await webhook('list', ...shop.at, '--json')
    const none = await webhook('list', '--tenant', 'nobody-at-all')

    expect(table.out).toContain(shop.id)
    expect(table.out).toContain(receiver.url)
    expect(linesIn(json.out)).toEqual([
      expect.objectContaining({ id: shop.id, url: receiver.url, events: ['license.created'] }),
    ])
    expect(`${table.out}${json.out}`).not.toContain(shop.secret)
    expect([none.exit, none.said]).toEqual([66, expect.stringContaining('TENANT.NOT_FOUND')])
  })
})

describe('webhook test', () => {
  test('sends a signed event now, and exits by what was answered', async ({
    webhook,
    shop,
    receiver,
  }) => {
    receiver.status = 204
    receiver.got.length = 0
    const taken = await webhook('test', shop.id, ...shop.at)
    receiver.status = 302
    const refused = await webhook('test', shop.id, ...shop.at, '--json')
    const [{ body = '', headers = {} } = {}] = receiver.got

    expect([taken.exit, taken.out]).toEqual([
      0,
      expect.stringMatching(/^answered 204 after \d+ ms\n$/),
    ])
    expect(new Webhook(shop.secret).verify(body, headers)).toMatchObject({ type: 'webhook.test' })
    expect(refused.exit).toBe(1)
    expect(linesIn(refused.out)).toEqual([expect.objectContaining({ taken: false, status: 302 })])
    expect(receiver.got).toHaveLength(2)
  })

  test('does not reach loopback where nobody allowed it', async ({
    environment,
    shop,
    receiver,
  }) => {
    receiver.got.length = 0
    const { exit, out } = await runCli(environment, ['webhook', 'test', shop.id, ...shop.at])

    expect([exit, out]).toEqual([1, expect.stringMatching(/^not delivered: /)])
    expect(receiver.got).toEqual([])
  })
})

describe('webhook deliveries', () => {
  test('are listed by status, time and page', async ({ ctx, webhook, shop }) => {
    const shown = async (...argv: string[]) =>
      linesIn((await webhook('deliveries', shop.id, ...shop.at, '--json', ...argv)).out)
    const all = await shown()
    await ctx
      .platform('webhook_deliveries')
      .where({ id: all[0]?.id })
      .update({ status: 'failed', attempts: 10, last_error: 'ECONNREFUSED', next_attempt_at: null })
    const first = await webhook('deliveries', shop.id, ...shop.at, '--limit', '2')
    const [, cursor = ''] = /--cursor (\S+)/.exec(first.said) ?? []

    expect(all.map(({ status }) => status)).toEqual(['pending', 'pending', 'pending'])
    expect(await shown('--status', 'failed')).toEqual([
      expect.objectContaining({ id: all[0]?.id, last_error: 'ECONNREFUSED' }),
    ])
    expect(first.out).toContain('ECONNREFUSED')
    expect((await shown('--limit', '2', '--cursor', cursor)).map(({ id }) => id)).toEqual([
      all[2]?.id,
    ])
    expect(await shown('--since', '1h')).toHaveLength(3)
    expect(await shown('--since', new Date(Date.now() + 60_000).toISOString())).toEqual([])
  })

  test.for([
    [['--status', 'lost'], 65, /VALIDATION\.FAILED/],
    [['--limit', '0'], 64, /--limit "0"/],
    [['--limit', '101'], 64, /--limit "101"/],
    [['--cursor', 'nonsense'], 65, /cursor/],
    [['--since', 'yesterday'], 65, /VALIDATION\.FAILED/],
  ] as const)('are refused by name for %s', async ([argv, exit, says], { webhook, shop }) => {
    const refused = await webhook('deliveries', shop.id, ...shop.at, ...argv)

    expect([refused.exit, refused.out]).toEqual([exit, ''])
    expect(refused.said).toMatch(says)
  })
})

describe('webhook redeliver', () => {
  test('sends again what failed, or what is named', async ({ ctx, webhook, shop }) => {
    const mine = () => ctx.platform('webhook_deliveries').where({ endpoint_id: shop.id })
    const over = { attempts: 10, next_attempt_at: null }
    const [one, other] = await mine().orderBy('id').pluck('id')
    await mine()
      .where({ id: one })
      .update({ ...over, status: 'failed' })
    await mine()
      .where({ id: other })
      .update({ ...over, status: 'delivered' })
    const failed = await webhook('redeliver', shop.id, ...shop.at, '--json')
    const again = await webhook('redeliver', shop.id, ...shop.at)
    const named = ['--status', 'delivered', '--since', '1h']
    const delivered = await webhook('redeliver', shop.id, ...shop.at, ...named)

    expect(linesIn(failed.out)).toEqual([{ deliveries: 1 }])
    expect(again.out).toBe('deliveries on their way: 0\n')
    expect(delivered.out).toBe('deliveries on their way: 1\n')
    expect(await mine().distinct('status', 'attempts')).toEqual([
      { status: 'pending', attempts: 0 },
    ])
  })

  test('and all the others know no endpoint of another tenant', async ({ ctx, webhook, shop }) => {
    const stranger = freshSlug()
    await provision(ctx, stranger)
    const exits: [string, number, string][] = []
    for (const verb of ['test', 'deliveries', 'redeliver']) {
      for (const [id, slug] of [
        [shop.id, stranger],
        [newId(), shop.slug],
        ['nonsense', shop.slug],
      ] as const) {
        const { exit, out, said } = await webhook(verb, id, '--tenant', slug)
        exits.push([verb, exit, `${out}${said.match(/WEBHOOK\.NOT_FOUND/)?.[0]}`])
      }
    }

    expect(exits).toEqual(exits.map(([verb]) => [verb, 66, 'WEBHOOK.NOT_FOUND']))
  })
})

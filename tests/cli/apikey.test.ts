import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, inject } from 'vitest'
import { type ApiKey, isLive } from '../../src/core/access/api-key.js'
import { listApiKeys } from '../../src/core/access/api-key-store.js'
import { addApiKey, createApiKey } from '../../src/core/access/create-api-key.js'
import { revokeApiKey } from '../../src/core/access/revoke-api-key.js'
import {
  type Rotated,
  rotateApiKey,
  rotateApiKeyOnce,
} from '../../src/core/access/rotate-api-key.js'
import type { Context } from '../../src/core/context.js'
import { Keyring, newAppKey } from '../../src/core/crypto/keyring.js'
import { quoteName } from '../../src/core/db/sql.js'
import { inTransaction } from '../../src/core/db/transaction.js'
import { newId } from '../../src/core/ids.js'
import { enterTenant } from '../../src/core/tenants/scope.js'
import { getTenant } from '../../src/core/tenants/tenant-store.js'
import { createWebhook, rotateWebhookSecret } from '../../src/core/webhooks/change-webhooks.js'
import { findSecrets } from '../../src/core/webhooks/webhook-endpoint-store.js'
import { type App, createApp } from '../../src/server/app.js'
import { createReadiness } from '../../src/server/readiness.js'
import { seed } from '../support/campaign.js'
import { eventually } from '../support/eventually.js'
import { freshSlug, provision, runCli, test } from '../support/house.js'
import { issueFor } from '../support/license.js'
import {
  dropPlatform,
  type Environment,
  freshEnvironment,
  initialize,
  open,
} from '../support/platform.js'
import { startServe } from '../support/process.js'
import { createRandom } from '../support/random.js'

const random = createRandom(seed)
const seeded = `(VALIDONX_TEST_SEED=${random.seed})`
const HOUR_MS = 3_600_000

const keysOf = async (ctx: Context, slug: string): Promise<ApiKey[]> =>
  listApiKeys(ctx.platform, (await getTenant(ctx.platform, slug)).id)

const liveKeysOf = async (ctx: Context, slug: string): Promise<ApiKey[]> =>
  (await keysOf(ctx, slug)).filter((key) => isLive(key, ctx.now()))

const anyLicense = '/v1/integration/licenses/AAAA-BBBB-CCCC-DDDD/validate'

/** Whether a key opens the door: what stands behind it is not there, and that is a 404. */
async function opens(app: Pick<App, 'request'>, apiKey: string): Promise<boolean> {
  const { status } = await app.request(anyLicense, {
    method: 'POST',
    headers: { 'X-API-Key': apiKey },
  })
  expect([401, 404]).toContain(status)
  return status === 404
}

/** The same as a process that has remembered nothing. */
async function opensAfresh(ctx: Context, apiKey: string): Promise<boolean> {
  await using app = createApp(ctx, createReadiness(ctx.platform).ask)
  return opens(app, apiKey)
}

const linesOf = (out: string): Record<string, unknown>[] =>
  out
    .trim()
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line))

describe('validonx apikey create', () => {
  test('shows a key once, and it is good for its scopes until its end', async ({
    cli,
    ctx,
    app,
    tenant,
  }) => {
    const made = await cli(
      ...['apikey', 'create', '--tenant', tenant.slug, '--name', 'shop', '--json'],
      ...['--scope', 'licenses', '--scope', 'usage', '--expires', '2999-12-31'],
      ...['--limit', '3', '--period', '15m'],
    )
    const { secret, ...shown } = JSON.parse(made.out)
    const ask = (path: string) =>
      app.request(path, { method: 'POST', headers: { 'X-API-Key': secret } })

    expect(made.exit).toBe(0)
    expect(secret).toMatch(/^vx_[0-9A-Za-z]{39}$/)
    expect(shown).toMatchObject({
      name: 'shop',
      status: 'ends',
      scopes: ['licenses', 'usage'],
      prefix: secret.slice(0, 9),
      last_four: secret.slice(-4),
      expires_at: '2999-12-31T00:00:00.000Z',
      last_used_at: null,
    })
    expect((await ask(anyLicense)).status).toBe(404)
    const forbidden = await ask('/v1/integration/activations')
    expect([
      forbidden.status,
      ((await forbidden.json()) as { error: { code: string } }).error.code,
    ]).toEqual([403, 'AUTH.TOKEN.INVALID_SCOPE'])
    expect(forbidden.headers.get('RateLimit-Policy')).toContain('"api_key";q=3;w=900')
    expect((await ask(anyLicense)).status).toBe(404)
    expect((await ask(anyLicense)).status).toBe(429)
    await ctx
      .platform('api_keys')
      .where({ id: shown.id })
      .update({ expires_at: new Date(0) })
    expect(await opensAfresh(ctx, secret)).toBe(false)
  })

  test('without options it opens everything, for ever', async ({ cli, tenant, ctx }) => {
    const made = await cli('apikey', 'create', '--tenant', tenant.slug, '--name', 'ci')

    const secret = /vx_[0-9A-Za-z]{39}/.exec(made.out)?.[0] ?? ''
    expect([made.exit, made.out]).toEqual([0, expect.stringMatching(/scopes +all\nexpires +never/)])
    expect(made.said).toContain('shown this once')
    expect(await opensAfresh(ctx, secret)).toBe(true)
  })

  test.for([
    [['--scope', 'everything'], 65, '--scope:'],
    [['--expires', '2020-01-01'], 65, '--expires:'],
    [['--expires', 'tomorrow'], 65, '--expires:'],
    [['--limit', '0'], 64, '--limit'],
    [['--limit', '5', '--period', '0'], 65, '--period:'],
    [['--limit', '5', '--period', 'soon'], 64, '--period'],
    [['--limit', '5', '--period', '32d'], 65, '--period:'],
    [['--name', ' '], 65, '--name:'],
  ] as const)(
    '%s is refused by name, and nothing is made',
    async ([options, status, name], { cli, ctx, tenant }) => {
      const { exit, said, out } = await cli(
        ...['apikey', 'create', '--tenant', tenant.slug, '--name', 'x'],
        ...options,
      )

      expect([exit, out]).toEqual([status, ''])
      expect(said).toContain(name)
      expect(await keysOf(ctx, tenant.slug)).toHaveLength(1)
    },
  )

  test('an unknown tenant is refused', async ({ cli }) => {
    const { exit, said } = await cli('apikey', 'create', '--tenant', 'nobody', '--name', 'x')

    expect([exit, said]).toEqual([66, expect.stringContaining('TENANT.NOT_FOUND')])
  })
})

describe('validonx apikey list', () => {
  test('shows what a person recognizes a key by, and never a secret or a hash', async ({
    cli,
    ctx,
    tenant,
  }) => {
    const { slug } = tenant
    const secrets = [tenant.apiKey]
    for (const name of ['one', 'two', 'three'])
      secrets.push((await createApiKey(ctx, { slug, name })).secret)
    await cli('apikey', 'rotate', '--tenant', slug, '--key', secrets[1]?.slice(0, 9) ?? '')
    await cli('apikey', 'revoke', secrets[2]?.slice(-4) ?? '', '--tenant', slug, '--yes')
    const stored: { hash: Buffer }[] = await ctx.platform('api_keys').select('hash')

    const [live, all, table] = [
      await cli('apikey', 'list', '--tenant', slug, '--json'),
      await cli('apikey', 'list', '--tenant', slug, '--all', '--json'),
      await cli('apikey', 'list', '--tenant', slug, '--all'),
    ]

    expect([live.exit, all.exit, table.exit]).toEqual([0, 0, 0])
    expect(
      linesOf(live.out)
        .map(({ name, status }) => `${name} ${status}`)
        .sort(),
    ).toEqual(['bootstrap live', 'one ends', 'one live', 'three live'].sort())
    expect(linesOf(all.out)).toHaveLength(5)
    expect(linesOf(all.out).filter(({ status }) => status === 'revoked')).toHaveLength(1)
    for (const { out, said } of [live, all, table]) {
      expect(said).toBe('')
      expect(out).not.toMatch(/vx_[0-9A-Za-z]{39}|secret|hash/)
      for (const secret of secrets) expect(out).not.toContain(secret.slice(9, -4))
      for (const { hash } of stored) {
        expect(out).not.toContain(hash.toString('hex'))
        expect(out).not.toContain(hash.toString('base64'))
      }
    }
    for (const secret of secrets)
      expect(table.out).toContain(`${secret.slice(0, 9)}…${secret.slice(-4)}`)
  })
})

describe('validonx apikey rotate', () => {
  const rotate = (ctx: Context, slug: string, more: object = {}): Promise<Rotated> =>
    rotateApiKey(ctx, { slug, ...more }, async () => {})

  test('the old key works on for the grace time, and the new one at once', async ({
    cli,
    ctx,
    tenant,
  }) => {
    const began = Date.now()
    const rotated = await cli('apikey', 'rotate', '--tenant', tenant.slug, '--json')
    const ended = Date.now()

    const { secret, old_key_ends, replaces } = JSON.parse(rotated.out)
    expect(rotated.exit).toBe(0)
    expect(replaces).toBe(`${tenant.apiKey.slice(0, 9)}…${tenant.apiKey.slice(-4)}`)
    expect(Date.parse(old_key_ends)).toBeGreaterThanOrEqual(began + 24 * HOUR_MS)
    expect(Date.parse(old_key_ends)).toBeLessThanOrEqual(ended + 24 * HOUR_MS)
    expect(await opensAfresh(ctx, tenant.apiKey)).toBe(true)
    expect(await opensAfresh(ctx, secret)).toBe(true)
    const [old] = await keysOf(ctx, tenant.slug)
    await ctx.platform('api_keys').where({ id: old?.id }).update({ expires_at: new Date() })
    expect(await opensAfresh(ctx, tenant.apiKey)).toBe(false)
    expect(await opensAfresh(ctx, secret)).toBe(true)
  })

  test('the successor has the name, the scopes and the limit of the key that it replaces', async ({
    ctx,
    tenant: { slug },
  }) => {
    const { key } = await createApiKey(ctx, {
      slug,
      name: 'shop',
      scopes: ['usage'],
      rateLimit: { requests: 7, periodSeconds: 70 },
    })
    const { key: successor } = await rotate(ctx, slug, { key: key.id })

    expect(successor).toMatchObject({ name: 'shop', scopes: ['usage'], replacesId: key.id })
    const row = await ctx
      .platform('api_keys')
      .where({ id: successor.id })
      .first('rate_limit_requests', 'rate_limit_period_seconds')
    expect(row).toEqual({ rate_limit_requests: 7, rate_limit_period_seconds: 70 })
  })

  test(`an old key ends with its grace or when it would have ended, whichever is sooner, never later ${seeded}`, async ({
    ctx,
    tenant: { slug },
  }) => {
    for (let trial = 0; trial < 60; trial += 1) {
      const hasExpiry = random.below(4) > 0
      const livesMs = 60_000 + random.below(60 * 24 * HOUR_MS)
      const graceSeconds = random.pick([0, 1, 60, 3600, 86_400, random.below(31_536_000)])
      const { key } = await createApiKey(ctx, {
        slug,
        name: `trial ${trial}`,
        ...(hasExpiry ? { expiresAt: new Date(Date.now() + livesMs).toISOString() } : {}),
      })

      const began = Date.now()
      const { oldEndsAt } = await rotate(ctx, slug, { key: key.id, graceSeconds })
      const ended = Date.now()

      const [old] = (await keysOf(ctx, slug)).filter(({ id }) => id === key.id)
      const endsAt = Math.min(
        old?.expiresAt?.getTime() ?? Number.POSITIVE_INFINITY,
        old?.revokedAt?.getTime() ?? Number.POSITIVE_INFINITY,
      )
      const what = { trial, seed: random.seed, graceSeconds, expiresAt: key.expiresAt, endsAt }
      expect(endsAt, JSON.stringify(what)).toBe(oldEndsAt.getTime())
      const before = key.expiresAt?.getTime() ?? Number.POSITIVE_INFINITY
      expect(endsAt, JSON.stringify(what)).toBeLessThanOrEqual(before)
      expect(endsAt, JSON.stringify(what)).toBeLessThanOrEqual(ended + graceSeconds * 1000)
      expect(endsAt, JSON.stringify(what)).toBeGreaterThanOrEqual(
        Math.min(before, began + graceSeconds * 1000),
      )
      // a second rotation, with whatever grace, gives it no more time
      await rotate(ctx, slug, { key: key.prefix, graceSeconds: 31_536_000 }).catch(() => {})
      const [again] = (await keysOf(ctx, slug)).filter(({ id }) => id === key.id)
      expect(again?.expiresAt?.getTime() ?? 0, JSON.stringify(what)).toBeLessThanOrEqual(
        Math.max(endsAt, again?.revokedAt ? Number.POSITIVE_INFINITY : 0),
      )
      for (const { id, name } of await liveKeysOf(ctx, slug))
        if (name === key.name) await revokeApiKey(ctx, { slug, key: id })
    }
  })

  test('--grace 0 --yes ends the old key at once', async ({ cli, ctx, tenant }) => {
    const { exit, out } = await cli(
      ...['apikey', 'rotate', '--tenant', tenant.slug, '--grace', '0', '--yes', '--json'],
    )

    expect(exit).toBe(0)
    expect(await opensAfresh(ctx, tenant.apiKey)).toBe(false)
    expect(await opensAfresh(ctx, JSON.parse(out).secret)).toBe(true)
    expect(await liveKeysOf(ctx, tenant.slug)).toHaveLength(1)
  })

  const endOf = async (ctx: Context, slug: string, id: string): Promise<Date | undefined> => {
    const key = (await keysOf(ctx, slug)).find((each) => each.id === id)
    return key?.revokedAt ?? key?.expiresAt
  }

  test('rotating again and again keeps every key until the end it was promised', async ({
    cli,
    ctx,
    tenant,
  }) => {
    const { slug } = tenant
    const secrets = [tenant.apiKey]
    const promised = new Map<string, string>()
    for (const grace of ['24h', '1h', '7d', '24h']) {
      const { out } = await cli(
        ...['apikey', 'rotate', '--tenant', slug, '--json', '--grace', grace],
      )
      const { secret, old_key_ends, still_working } = JSON.parse(out)
      secrets.push(secret)
      const newest = still_working[0]
      expect(newest.ends_at).toBe(old_key_ends)
      for (const { id, ends_at } of still_working) {
        expect(promised.get(id) ?? ends_at).toBe(ends_at)
        promised.set(id, ends_at)
      }
      expect(still_working).toHaveLength(secrets.length - 1)
      expect(await Promise.all(secrets.map((each) => opensAfresh(ctx, each)))).toEqual(
        secrets.map(() => true),
      )
    }

    const ends = await Promise.all(
      [...promised].map(async ([id, end]) => [(await endOf(ctx, slug, id))?.toISOString(), end]),
    )
    expect(ends).toHaveLength(4)
    for (const [end, said] of ends) expect(end).toBe(said)
  })

  test('says until when each of the earlier keys still works', async ({ cli, tenant }) => {
    const at = ['apikey', 'rotate', '--tenant', tenant.slug]
    const first = await cli(...at)
    const second = await cli(...at)

    const shortOf = (secret: string) => `${secret.slice(0, 9)}…${secret.slice(-4)}`
    const successor = /vx_[0-9A-Za-z]{39}/.exec(first.out)?.[0] ?? ''
    const firstEnd = /old key ends +(\S+)/.exec(first.out)?.[1]
    expect(second.out).toMatch(
      new RegExp(`replaces +${shortOf(successor)}\nold key ends +\\S+Z\nstill works`),
    )
    expect(second.out.match(/still works.*/g)).toEqual([
      `still works   ${shortOf(tenant.apiKey)} until ${firstEnd}`,
    ])
  })

  test.for([
    ['1h', 'keeps'],
    ['24h', 'keeps'],
    ['365d', 'keeps'],
    ['0', 'ends'],
  ] as const)(
    'naming a key that is in its grace with --grace %s %s the end it was promised',
    async ([grace, what], { cli, ctx, tenant }) => {
      const { slug } = tenant
      const first = await rotate(ctx, slug, { graceSeconds: 7200 })
      const id = first.replaced.id

      const { exit, out } = await cli(
        ...['apikey', 'rotate', '--tenant', slug, '--key', id, '--grace', grace],
        ...['--yes', '--json'],
      )

      const end = await endOf(ctx, slug, id)
      expect(exit).toBe(0)
      expect(await opensAfresh(ctx, tenant.apiKey)).toBe(what === 'keeps')
      if (what === 'keeps') {
        expect(end).toEqual(first.oldEndsAt)
        expect(JSON.parse(out).old_key_ends).toBe(end?.toISOString())
      }
      expect(await opensAfresh(ctx, first.secret)).toBe(true)
    },
  )

  test('--grace 0 without a name ends the newest key and not one that was promised more', async ({
    cli,
    ctx,
    tenant,
  }) => {
    const { slug } = tenant
    const first = await rotate(ctx, slug)

    const { exit } = await cli('apikey', 'rotate', '--tenant', slug, '--grace', '0', '--yes')

    expect(exit).toBe(0)
    expect(await opensAfresh(ctx, first.secret)).toBe(false)
    expect(await opensAfresh(ctx, tenant.apiKey)).toBe(true)
    expect(await endOf(ctx, slug, first.replaced.id)).toEqual(first.oldEndsAt)
  })

  test('of many rotations at once, each that succeeded has shown a key that works', async ({
    ctx,
    tenant: { slug, apiKey },
  }) => {
    const outcomes = await Promise.allSettled(
      Array.from({ length: 8 }, () => rotateApiKey(ctx, { slug }, async () => {})),
    )

    const shown = outcomes.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))
    const refused = outcomes.flatMap((each) => (each.status === 'rejected' ? [each.reason] : []))
    expect(shown.length).toBeGreaterThan(0)
    expect(refused.map(({ code }) => code).filter((code) => code !== 'LEASE.HELD')).toEqual([])
    const works = await Promise.all(
      [apiKey, ...shown.map(({ secret }) => secret)].map((secret) => opensAfresh(ctx, secret)),
    )
    expect(works).toEqual(works.map(() => true))
    for (const { replaced, oldEndsAt } of shown)
      expect(await endOf(ctx, slug, replaced.id)).toEqual(oldEndsAt)
  })

  test('a rotation by the API keeps a key that is being shown at a terminal, and its own promise', async ({
    ctx,
    tenant: { slug, apiKey },
  }) => {
    const [old] = await liveKeysOf(ctx, slug)
    let atApi: Rotated | undefined
    const atTerminal = await rotateApiKey(ctx, { slug, graceSeconds: 60 }, async () => {
      const input = { slug, key: old?.id, graceSeconds: 7200 }
      atApi = (await rotateApiKeyOnce(ctx, input)).result
    })

    const secrets = [apiKey, atTerminal.secret, atApi?.secret ?? '']
    expect(await Promise.all(secrets.map((each) => opensAfresh(ctx, each)))).toEqual([
      true,
      true,
      true,
    ])
    expect(atTerminal.oldEndsAt).toEqual(atApi?.oldEndsAt)
    expect(await endOf(ctx, slug, old?.id ?? '')).toEqual(atApi?.oldEndsAt)
  })

  test('a key that was revoked while it was shown is reported, and the old one is left', async ({
    ctx,
    tenant: { slug, apiKey },
  }) => {
    const rotated = rotateApiKey(ctx, { slug, graceSeconds: 0 }, async ({ key }) => {
      await revokeApiKey(ctx, { slug, key: key.id })
    })

    await expect(rotated).rejects.toMatchObject({ code: 'API_KEY.REVOKED_WHILE_SHOWN' })
    expect(await opensAfresh(ctx, apiKey)).toBe(true)
  })

  test('without a live key there is nothing to rotate', async ({ cli, ctx, tenant: { slug } }) => {
    for (const { id } of await liveKeysOf(ctx, slug)) await revokeApiKey(ctx, { slug, key: id })

    const { exit, said } = await cli('apikey', 'rotate', '--tenant', slug)

    expect([exit, said]).toEqual([66, expect.stringContaining('API_KEY.NONE_SHOWN')])
    expect(said).toContain(`Tenant "${slug}" has no live API key to rotate`)
  })

  /** The terminal goes away before the key was seen. */
  const cutOff = (ctx: Context, slug: string, more: object = {}) =>
    expect(
      rotateApiKey(ctx, { slug, ...more }, async () => {
        throw new Error('the terminal is gone')
      }),
    ).rejects.toThrow('the terminal is gone')

  const usable = async (ctx: Context, secrets: readonly string[]): Promise<number> =>
    (await Promise.all(secrets.map((secret) => opensAfresh(ctx, secret)))).filter(Boolean).length

  /** As a process leaves it that was killed before the key was shown. */
  const killed = async (ctx: Context, slug: string, key?: ApiKey): Promise<ApiKey> => {
    const [first] = await liveKeysOf(ctx, slug)
    const old = key ?? (first as ApiKey)
    const made = await inTransaction(ctx.platform, (transaction) =>
      addApiKey(ctx, transaction, {
        ...old,
        isBootstrap: false,
        replacesId: old.id,
        deliveredAt: undefined,
      }),
    )
    return made.key
  }

  test.for([86_400, 0])(
    'a key that could not be shown is revoked, and the old one is left as it was (grace %i s)',
    async (graceSeconds, { ctx, tenant: { slug, apiKey } }) => {
      for (let times = 0; times < 2; times += 1) {
        await cutOff(ctx, slug, { graceSeconds })

        const [old, ...more] = await liveKeysOf(ctx, slug)
        expect([old?.expiresAt, more]).toEqual([undefined, []])
        expect(await opensAfresh(ctx, apiKey)).toBe(true)
      }
    },
  )

  test.for(['24h', '0'])(
    'a rotation that was killed before the key was shown leaves one successor after the next run (grace %s)',
    async (grace, { ctx, cli, tenant }) => {
      const { slug } = tenant
      const unseen = await killed(ctx, slug)
      const { out, exit } = await cli(
        ...['apikey', 'rotate', '--tenant', slug, '--json', '--grace', grace, '--yes'],
      )

      expect(exit).toBe(0)
      const { secret, prefix } = JSON.parse(out)
      const prefixes = (await liveKeysOf(ctx, slug)).map((key) => key.prefix)
      expect(prefixes).toEqual(grace === '0' ? [prefix] : [tenant.apiKey.slice(0, 9), prefix])
      expect(prefixes).not.toContain(unseen.prefix)
      expect(await usable(ctx, [tenant.apiKey, secret])).toBe(grace === '0' ? 1 : 2)
    },
  )

  test.for(['the key that it replaced', 'the key that nobody saw'])(
    'beside other keys it is taken up again by the name of %s',
    async (named, { ctx, cli, tenant: { slug } }) => {
      const { key } = await createApiKey(ctx, { slug, name: 'shop' })
      const unseen = await killed(ctx, slug, key)
      const at = ['--tenant', slug, '--grace', '0', '--yes', '--json']
      const name = named === 'the key that it replaced' ? key.prefix : unseen.prefix

      const { out, exit, said } = await cli('apikey', 'rotate', '--key', name, ...at)

      expect([exit, said]).toEqual([0, ''])
      const live = (await liveKeysOf(ctx, slug)).filter((each) => each.name === 'shop')
      const own = JSON.parse(out).prefix
      expect(live.map(({ prefix }) => prefix)).toEqual(
        named === 'the key that it replaced' ? [own] : [key.prefix, own],
      )
    },
  )

  test('says which keys there are where it is not plain which is meant', async ({
    cli,
    ctx,
    tenant,
  }) => {
    const { slug } = tenant
    const { key } = await createApiKey(ctx, { slug, name: 'second' })
    const before = await keysOf(ctx, slug)
    const ambiguous = await cli('apikey', 'rotate', '--tenant', slug)
    const unknown = await cli('apikey', 'rotate', '--tenant', slug, '--key', 'vx_nobody')
    const short = await cli('apikey', 'rotate', '--tenant', slug, '--key', 'vx')
    const nobody = await cli('apikey', 'rotate', '--tenant', 'nobody')
    const unchanged = await keysOf(ctx, slug)
    const named = await cli('apikey', 'rotate', '--tenant', slug, '--key', key.lastFour)

    expect([ambiguous.exit, ambiguous.out]).toEqual([64, ''])
    for (const text of ['API_KEY.AMBIGUOUS', tenant.apiKey.slice(0, 9), key.prefix, '--key'])
      expect(ambiguous.said).toContain(text)
    expect([unknown.exit, unknown.said]).toEqual([66, expect.stringContaining('API_KEY.NOT_FOUND')])
    expect([short.exit, short.said]).toEqual([65, expect.stringContaining('key:')])
    expect([nobody.exit, nobody.said]).toEqual([66, expect.stringContaining('TENANT.NOT_FOUND')])
    expect(unchanged).toEqual(before)
    expect(named.exit).toBe(0)
  })

  test("another tenant's key is not found", async ({ cli, ctx, tenant }) => {
    const stranger = await provision(ctx, freshSlug())
    for (const argv of [
      ['apikey', 'rotate', '--key', stranger.slice(0, 9)],
      ['apikey', 'revoke', '--yes', stranger.slice(0, 9)],
    ]) {
      const { exit, said } = await cli(...argv, '--tenant', tenant.slug)
      expect([exit, said]).toEqual([66, expect.stringContaining('API_KEY.NOT_FOUND')])
    }
    expect(await opensAfresh(ctx, stranger)).toBe(true)
  })

  test.for(['soon', '5', '-1h', '1.5h'])(
    '--grace %s is refused',
    async (grace, { cli, ctx, tenant }) => {
      const { exit, said } = await cli(
        ...['apikey', 'rotate', '--tenant', tenant.slug, `--grace=${grace}`],
      )

      expect([exit, said]).toEqual([64, expect.stringContaining('--grace')])
      expect(await keysOf(ctx, tenant.slug)).toHaveLength(1)
    },
  )
})

describe('validonx apikey revoke', () => {
  test.for(['id', 'prefix', 'lastFour'] as const)(
    'ends the key of that %s',
    async (name, { cli, ctx, tenant: { slug } }) => {
      const { key, secret } = await createApiKey(ctx, { slug, name: 'gone' })
      const at = ['--tenant', slug, '--yes', '--json']
      const revoked = await cli('apikey', 'revoke', key[name], ...at)
      const again = await cli('apikey', 'revoke', key[name], ...at)

      expect(revoked.exit).toBe(0)
      expect(JSON.parse(revoked.out)).toMatchObject({ id: key.id, status: 'revoked' })
      expect(await opensAfresh(ctx, secret)).toBe(false)
      expect([again.exit, again.out]).toEqual([65, ''])
      const trail = await ctx.platform('audit_logs').where({ object_id: key.id }).pluck('action')
      expect(trail.sort()).toEqual(['api_key.created', 'api_key.revoked'])
    },
  )
})

test.for([
  ['apikey', 'rotate', '--grace', '0'],
  ['apikey', 'revoke', 'vx_whatever'],
])(
  '%s %s asks, and where there is no terminal it exits 64 and does nothing',
  async (argv, { cli, ctx, tenant }) => {
    const { exit, said, out } = await cli(...argv, '--tenant', tenant.slug)

    expect([exit, out]).toEqual([64, ''])
    expect(said).toContain('USAGE.CONFIRMATION_NEEDED')
    expect(said).toContain('--yes')
    expect(await opensAfresh(ctx, tenant.apiKey)).toBe(true)
    expect(await keysOf(ctx, tenant.slug)).toHaveLength(1)
  },
)

describe('the key ring', () => {
  /** A platform of its own under application key A, and the environments of its rotation to B. */
  const ring = test
    .extend('keys', async () => ({ a: newAppKey(), b: newAppKey() }))
    .extend('under', async ({ keys }, { onCleanup }) => {
      const a: Environment = {
        ...freshEnvironment(inject('databaseUrl')),
        VALIDONX_APP_KEY: keys.a,
        VALIDONX_API_RATE_LIMIT_REQUESTS: '1000000',
      }
      await initialize(a)
      onCleanup(async () => {
        if (inject('keepsData')) await dropPlatform(a)
      })
      return {
        a,
        both: { ...a, VALIDONX_APP_KEY: keys.b, VALIDONX_APP_PREVIOUS_KEYS: keys.a },
        b: { ...a, VALIDONX_APP_KEY: keys.b },
      }
    })
    .extend('ids', async ({ keys }) => ({
      a: new Keyring(keys.a).currentId,
      b: new Keyring(keys.b).currentId,
    }))
    /** Four tenants with five keys each, twenty in all, and a license each. */
    .extend('made', async ({ under }) => {
      await using ctx = await open(under.a)
      const tenants = []
      for (let index = 0; index < 4; index += 1) {
        const slug = freshSlug()
        const secrets = [await provision(ctx, slug, 'enterprise')]
        for (const name of ['one', 'two', 'three', 'four'])
          secrets.push((await createApiKey(ctx, { slug, name })).secret)
        const { license } = await issueFor(await enterTenant(ctx, slug), {
          product: 'app',
        })
        tenants.push({ slug, secrets, path: `/v1/integration/licenses/${license.key}/validate` })
      }
      return tenants
    })

  type Made = readonly {
    readonly slug: string
    readonly secrets: readonly string[]
    readonly path: string
  }[]

  /** Uses keys through an app of its own, and closes it, so that what it holds back is written. */
  async function useAll(
    environment: Environment,
    made: Made,
    pick: (index: number) => boolean = () => true,
  ): Promise<number[]> {
    await using ctx = await open(environment)
    await using app = createApp(ctx, createReadiness(ctx.platform).ask)
    const statuses = []
    for (const { secrets, path } of made)
      for (const [index, secret] of secrets.entries())
        if (pick(index))
          statuses.push(
            (await app.request(path, { method: 'POST', headers: { 'X-API-Key': secret } })).status,
          )
    return statuses
  }

  const all200 = (count: number) => Array.from({ length: count }, () => 200)

  const statusOf = async (environment: Environment) => {
    const { out, exit } = await runCli(environment, ['keyring', 'status', '--json'])
    expect(exit).toBe(0)
    return Object.fromEntries(linesOf(out).map(({ key_id, ...rest }) => [key_id, rest]))
  }

  ring(
    'an application key is replaced without a key, a login or a secret that fails',
    {
      timeout: 300_000,
    },
    async ({ under, ids, made }) => {
      const retire = (environment: Environment) => runCli(environment, ['keyring', 'retire', ids.a])
      expect(await useAll(under.a, made)).toEqual(all200(20))
      expect(await statusOf(under.a)).toMatchObject({
        [ids.a]: {
          role: 'current',
          api_keys: 20,
          tenant_logins: 4,
          webhook_secrets: 4,
          audit_keys: 1,
        },
      })

      expect((await runCli(under.both, ['init'])).exit).toBe(0)
      expect((await statusOf(under.both))[ids.a]).toMatchObject({ role: 'previous', api_keys: 20 })
      // all twenty open; eight of them are used now
      expect(await useAll(under.both, made, (index) => index < 2)).toEqual(all200(8))
      expect(await statusOf(under.both)).toMatchObject({
        [ids.a]: { role: 'previous', api_keys: 12 },
        [ids.b]: { role: 'current', api_keys: 8 },
      })

      const refused = await retire(under.both)
      expect([refused.exit, refused.out]).toEqual([65, ''])
      expect(refused.said).toContain('KEYRING.IN_USE')
      expect(refused.said).toContain('12 API keys')

      expect(await useAll(under.both, made)).toEqual(all200(20))
      const retired = await retire(under.both)
      const again = await retire(under.both)
      expect([retired.exit, again.exit, retired.said]).toEqual([0, 0, ''])
      expect(await statusOf(under.b)).toMatchObject({
        [ids.b]: {
          role: 'current',
          api_keys: 20,
          tenant_logins: 4,
          webhook_secrets: 4,
          audit_keys: 1,
        },
      })
      // under B alone: the keys, the tenants' logins and the runtime login
      expect(await useAll(under.b, made)).toEqual(all200(20))
      const server = await startServe(await runtimeOf(under.b))
      try {
        for (const { path, secrets } of made) {
          const response = await fetch(server.url + path, {
            method: 'POST',
            headers: { 'X-API-Key': secrets[0] ?? '' },
          })
          expect(response.status).toBe(200)
        }
      } finally {
        server.child.kill('SIGKILL')
      }
    },
  )

  ring(
    'all twenty keys open after the change, each before any was used',
    async ({ under, made }) => {
      await runCli(under.both, ['init'])

      expect(await useAll(under.both, made)).toEqual(all200(20))
    },
  )

  ring(
    'keys that are never used again do not keep a key for ever: revoked ones do not count',
    async ({ under, ids, made }) => {
      await runCli(under.both, ['init'])
      await useAll(under.both, made, (index) => index > 0)
      expect((await runCli(under.both, ['keyring', 'retire', ids.a])).said).toContain('4 API keys')
      for (const { slug, secrets } of made)
        await runCli(under.both, [
          ...['apikey', 'revoke', secrets[0]?.slice(0, 9) ?? '', '--tenant', slug, '--yes'],
        ])

      expect((await runCli(under.both, ['keyring', 'retire', ids.a])).exit).toBe(0)
      expect(await useAll(under.b, made, (index) => index > 0)).toEqual(all200(16))
    },
  )

  ring(
    'a login of a database server that was sealed under the earlier key is moved',
    async ({ under, ids, made, provisioner, keys }) => {
      const id = newId()
      const sealed = new Keyring(keys.a).encrypt('{"user":"x","password":"y"}', id)
      const servers = `${quoteName(under.a.VALIDONX_PLATFORM_DATABASE ?? '')}.database_servers`
      await provisioner.run(
        `insert into ${servers} (id, name, host, port, provisioner_login_encrypted, capacity, accepts_tenants, version, created_at, updated_at)
        values ('${id}', 'second', '127.0.0.1', 1, '${sealed}', 1, 0, '10.11', now(6), now(6))`,
      )
      await runCli(under.both, ['init'])
      await useAll(under.both, made)

      const { exit } = await runCli(under.both, ['keyring', 'retire', ids.a])

      const [row] = await provisioner.rows<{ sealed: string }>(
        `select provisioner_login_encrypted as sealed from ${servers} where id = ?`,
        [id],
      )
      const isMoved = row?.sealed.startsWith(`v1.${ids.b}.`) === true
      await using ctx = await open(under.b)
      const told = await ctx
        .platform('audit_logs')
        .where({ action: 'database_server.login_resealed' })
        .pluck('object_id')
      expect({ exit, isMoved, told }).toEqual({ exit: 0, isMoved: true, told: [id] })
    },
  )

  ring(
    'a secret that still signs beside its successor is moved too, and all of it is told of',
    async ({ under, ids, made: [shop] }) => {
      const slug = shop?.slug ?? ''
      const hook = { url: 'https://example.com/hook', events: ['license.created'] }
      const { id, secrets } = await (async () => {
        await using ctx = await open(under.a)
        const scope = await enterTenant(ctx, slug)
        const { endpoint, secret } = (await createWebhook(ctx, scope, hook)).result
        const successor = await rotateWebhookSecret(ctx, scope.tenant.id, endpoint.id)
        return { id: endpoint.id, secrets: [successor.result.secret, secret] }
      })()
      await runCli(under.both, ['init'])
      for (const { prefix } of linesOf(
        (await runCli(under.both, ['apikey', 'list', '--tenant', slug, '--json'])).out,
      ))
        await runCli(under.both, ['apikey', 'revoke', String(prefix), '--tenant', slug, '--yes'])
      const { said } = await runCli(under.both, ['keyring', 'retire', ids.a])
      await using ctx = await open(under.b)
      const sealed = await findSecrets(ctx.platform, id, ctx.now())
      const told = await ctx
        .platform('audit_logs')
        .whereIn('action', [
          'platform.audit_key_resealed',
          'tenant.login_renewed',
          'webhook_endpoint.secret_resealed',
        ])
        .orderBy('id')
        .pluck('action')

      expect(said).toContain('API keys')
      expect(sealed.map((each) => ctx.keyring.decrypt(each, id))).toEqual(secrets)
      expect(told).toEqual([
        'platform.audit_key_resealed',
        ...Array.from({ length: 4 }, () => 'tenant.login_renewed'),
        // one that is used, and three places for one
        ...Array.from({ length: 4 }, () => 'webhook_endpoint.secret_resealed'),
      ])
    },
  )

  ring('the current key and unknown ones are not retired', async ({ under, ids }) => {
    for (const id of [ids.a, ids.b, 'nonsense']) {
      const { exit, said } = await runCli(under.a, ['keyring', 'retire', id])
      expect([exit, said]).toEqual([66, expect.stringContaining('KEYRING.UNKNOWN')])
    }
  })

  ring(
    'a key in constant use on two processes is never refused while it is re-hashed',
    {
      timeout: 300_000,
    },
    async ({ under, ids, made }) => {
      await runCli(under.both, ['init'])
      await using ctx = await open(under.both)
      const apps = [1, 2].map(() => createApp(ctx, createReadiness(ctx.platform).ask))
      const refused: string[] = []
      let uses = 0
      let using = true
      const users = apps.flatMap((app) =>
        made.flatMap(({ secrets, path }) =>
          secrets.map(async (secret) => {
            while (using) {
              const { status } = await app.request(path, {
                method: 'POST',
                headers: { 'X-API-Key': secret },
              })
              uses += 1
              if (status !== 200) refused.push(`${status}`)
              await sleep(20 + Math.floor(random.next() * 40))
            }
          }),
        ),
      )
      // beyond a flush, and the readings after it
      await eventually(
        async () => (await statusOf(under.both))[ids.a],
        (left) => left === undefined || (left as { api_keys: number }).api_keys === 0,
      )
      const rehashed = uses
      await eventually(() => uses > rehashed + 40 * 20)
      using = false
      await Promise.all(users)
      for (const app of apps) await app[Symbol.asyncDispose]()

      expect(refused).toEqual([])
      expect((await statusOf(under.both))[ids.a]).toMatchObject({ api_keys: 0 })
    },
  )
})

const runtimeOf = async (environment: Environment): Promise<Environment> => {
  const { VALIDONX_DATABASE_URL: _, ...rest } = environment
  return { ...rest, VALIDONX_RUNTIME_URL: await initialize(environment) }
}

describe('when a key and a license were last used', () => {
  const lastUsed = async (ctx: Context, slug: string, licenseId: string) => {
    const [key] = await keysOf(ctx, slug)
    const { db } = await enterTenant(ctx, slug)
    const license = await db('licenses').where({ id: licenseId }).first('last_used_at')
    return [key?.lastUsedAt?.getTime() ?? 0, (license?.last_used_at as Date | null)?.getTime() ?? 0]
  }

  test('is written down within the time of a flush', async ({ ctx, app, scope, tenant }) => {
    const { license } = await issueFor(scope, { product: 'app' })
    const before = Date.now()
    await app.request(`/v1/integration/licenses/${license.key}/validate`, {
      method: 'POST',
      headers: { 'X-API-Key': tenant.apiKey },
    })
    const after = Date.now()
    expect(await lastUsed(ctx, tenant.slug, license.id)).toEqual([0, 0])

    const written = await eventually(
      () => lastUsed(ctx, tenant.slug, license.id),
      (times) => !times.includes(0),
    )

    for (const time of written) {
      expect(time).toBeGreaterThanOrEqual(before)
      expect(time).toBeLessThanOrEqual(after)
    }
  })

  test('is not lost on a clean stop, and never goes back', async ({ environment, ctx }) => {
    const runtime = await runtimeOf(environment)
    const tenants = []
    for (let index = 0; index < 3; index += 1) {
      const slug = freshSlug()
      const apiKey = await provision(ctx, slug)
      const licenses = []
      for (let count = 0; count < 4; count += 1)
        licenses.push(
          (
            await issueFor(await enterTenant(ctx, slug), {
              product: 'app',
            })
          ).license,
        )
      tenants.push({ slug, apiKey, licenses })
    }
    const server = await startServe(runtime)
    const before = Date.now()
    await Promise.all(
      tenants.flatMap(({ apiKey, licenses }) =>
        licenses.map(({ key }) =>
          fetch(`${server.url}/v1/integration/licenses/${key}/validate`, {
            method: 'POST',
            headers: { 'X-API-Key': apiKey },
          }),
        ),
      ),
    )
    const after = Date.now()
    const later = new Date(Date.now() + 3_600_000)
    const [ahead] = tenants
    await ctx
      .platform('api_keys')
      .where({ prefix: ahead?.apiKey.slice(0, 9) })
      .update({ last_used_at: later })
    server.child.kill('SIGTERM')
    expect(await server.ended).toBe(0)

    for (const { slug, licenses } of tenants) {
      for (const { id } of licenses) {
        const [key = 0, license = 0] = await lastUsed(ctx, slug, id)
        if (slug === ahead?.slug) expect(key).toBe(later.getTime())
        else expect([key >= before, key <= after]).toEqual([true, true])
        expect([license >= before, license <= after]).toEqual([true, true])
      }
    }
  })
})

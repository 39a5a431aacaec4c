import { setTimeout as sleep } from 'node:timers/promises'
import { beforeAll, describe, expect } from 'vitest'
import { createApiKey } from '../../src/core/access/create-api-key.js'
import { monthOf } from '../../src/core/billing/plan.js'
import type { Context } from '../../src/core/context.js'
import { quoteName } from '../../src/core/db/sql.js'
import { newId } from '../../src/core/ids.js'
import { enterTenant } from '../../src/core/tenants/scope.js'
import { createApp } from '../../src/server/app.js'
import { createReadiness } from '../../src/server/readiness.js'
import { type Answer, Caller } from '../support/caller.js'
import { seed, volume } from '../support/campaign.js'
import { eventually } from '../support/eventually.js'
import { freshSlug, test as house, provision, runCli } from '../support/house.js'
import { issueFor } from '../support/license.js'
import { awayFromMonthEnd, MONTH_END_TIMEOUT_MS } from '../support/month.js'
import { type Environment, initialize, open } from '../support/platform.js'
import { type Serving, startServe } from '../support/process.js'
import { createRandom } from '../support/random.js'
import { RedisServer } from '../support/redis-server.js'

const LIMIT = 100
const PERIOD = 3600
/** Seconds: a request that waited counts from when it came, and both ends are rounded. */
const SLACK = 60
/** Failures that an address has in a minute. */
const ATTEMPTS = 60
/** What plan "pro" allows in a month on this platform. */
const MONTHLY = 50

const random = createRandom(seed)
const seeded = `(VALIDONX_TEST_SEED=${random.seed})`

const test = house
  .extend('redis', { scope: 'file' }, async ({ environment: _ }, { onCleanup }) => {
    const redis = await RedisServer.start()
    onCleanup(() => redis[Symbol.asyncDispose]())
    return redis
  })
  .extend('limited', { scope: 'file' }, async ({ environment }): Promise<Environment> => {
    const { VALIDONX_DATABASE_URL: _, ...rest } = environment
    return {
      ...rest,
      VALIDONX_RUNTIME_URL: await initialize(environment),
      VALIDONX_API_RATE_LIMIT_REQUESTS: String(LIMIT),
      VALIDONX_API_RATE_LIMIT_PERIOD: String(PERIOD),
    }
  })
  /** Three processes that count together. */
  .extend('together', { scope: 'file' }, async ({ limited, redis }, { onCleanup }) => {
    const environment = { ...limited, VALIDONX_REDIS_URL: redis.url, VALIDONX_TRUSTED_HOPS: '1' }
    return serve(environment, 3, onCleanup)
  })
  /** Three that count each for itself. */
  .extend('apart', { scope: 'file' }, async ({ limited }, { onCleanup }) =>
    serve(limited, 3, onCleanup),
  )
  .extend('client', { scope: 'file' }, ({ environment: _ }, { onCleanup }) => {
    const client = new Caller(100)
    onCleanup(() => client[Symbol.dispose]())
    return client
  })
  .extend('owner', { scope: 'file' }, async ({ ctx }) => {
    const slug = freshSlug()
    const apiKey = await provision(ctx, slug, 'enterprise')
    const path = await licensedPath(ctx, slug)
    return {
      slug,
      apiKey,
      path,
      freshKey: async (rateLimit?: { requests: number; periodSeconds: number }) =>
        (await createApiKey(ctx, { slug, name: newId(), ...(rateLimit ? { rateLimit } : {}) }))
          .secret,
    }
  })

beforeAll(awayFromMonthEnd, MONTH_END_TIMEOUT_MS)

async function serve(
  environment: Environment,
  count: number,
  onCleanup: (work: () => void) => void,
): Promise<string[]> {
  const servers: Serving[] = []
  onCleanup(() => {
    for (const { child } of servers) child.kill('SIGKILL')
  })
  await Promise.all(
    Array.from({ length: count }, async () => servers.push(await startServe(environment))),
  )
  return servers.map(({ url }) => url)
}

async function licensedPath(ctx: Context, slug: string): Promise<string> {
  const { license } = await issueFor(await enterTenant(ctx, slug), {
    product: 'app',
  })
  return `/v1/integration/licenses/${license.key}/validate`
}

/** What must not be said of requests of one key that were sent to several processes at once. */
function faultsOfAdmission(answers: readonly Answer[], limit = LIMIT): string[] {
  const faults: string[] = []
  const admitted = answers.filter(({ status }) => status === 200)
  const refused = answers.filter(({ status }) => status === 429)
  const room = Math.min(limit, answers.length)
  if (admitted.length !== room) faults.push(`${admitted.length} admitted, not ${room}`)
  const strange = answers.length - admitted.length - refused.length
  if (strange > 0) faults.push(`${strange} answers that are neither 200 nor 429`)
  const left = admitted.map(({ headers }) => Number(headers['x-ratelimit-remaining']))
  if (new Set(left).size !== admitted.length) faults.push('two were told the same remainder')
  if (admitted.some(({ headers }) => headers['x-ratelimit-limit'] !== String(limit)))
    faults.push('an answer that names another limit')
  for (const answer of refused) faults.push(...faultsOfRefusal(answer, limit))
  for (const answer of answers) faults.push(...faultsOfFields(answer))
  return [...new Set(faults)]
}

function faultsOfRefusal({ headers, body }: Answer, limit: number): string[] {
  const { limit: named, reset, scope } = body.error?.details ?? {}
  const retryAfter = Number(headers['retry-after'])
  const faults = []
  if (body.error?.code !== 'RATE_LIMIT.EXCEEDED') faults.push(`refused with ${body.error?.code}`)
  if (!Number.isInteger(retryAfter) || retryAfter < 1 || retryAfter > PERIOD + SLACK)
    faults.push(`Retry-After: ${headers['retry-after']}`)
  if (headers['x-ratelimit-remaining'] !== '0') faults.push('a refusal that says some are left')
  if (named !== limit || reset !== retryAfter || scope !== 'api_key')
    faults.push(`details ${JSON.stringify(body.error?.details)}`)
  return faults
}

type Field = { readonly name: string; readonly [parameter: string]: number | string }

/** A list of strings with whole numbers as parameters (RFC 9651), or undefined where it is none. */
function readField(value: string | string[] | undefined): Field[] | undefined {
  if (typeof value !== 'string') return undefined
  const fields: Field[] = []
  for (const item of value.split(', ')) {
    const form = /^"([a-z_]+)"((?:;[a-z]+=\d{1,15})+)$/.exec(item)
    if (!form) return undefined
    const parameters = (form[2] ?? '').slice(1).split(';')
    const read = parameters.map((each) => each.split('=')).map(([k, v]) => [k, Number(v)])
    fields.push({ name: form[1] ?? '', ...Object.fromEntries(read) })
  }
  return fields
}

/** RateLimit and RateLimit-Policy speak of the same limits, and agree with the published headers. */
function faultsOfFields({ headers }: Answer): string[] {
  const policies = readField(headers['ratelimit-policy'])
  const standings = readField(headers.ratelimit)
  if (!policies || !standings)
    return [`unreadable: ${headers['ratelimit-policy']} / ${headers.ratelimit}`]
  const faults: string[] = []
  if (policies.map(({ name }) => name).join() !== standings.map(({ name }) => name).join())
    faults.push('fields of different limits')
  for (const [index, { q, w }] of policies.entries()) {
    const [r, t] = [Number(standings[index]?.r), Number(standings[index]?.t)]
    if (!(Number(q) >= 1 && Number(w) >= 1)) faults.push(`policy q=${q} w=${w}`)
    if (!(r <= Number(q) && t <= Number(w) + SLACK)) faults.push(`standing r=${r} t=${t}`)
  }
  const tightest = Math.min(...standings.map(({ r }) => Number(r)))
  if (headers['x-ratelimit-remaining'] !== String(tightest))
    faults.push('not the tightest is shown')
  return faults
}

const spread = (
  client: Caller,
  urls: readonly string[],
  call: { readonly apiKey: string; readonly path: string },
  count: number,
  headers: Record<string, string> = {},
): Promise<Answer[]> =>
  Promise.all(
    Array.from({ length: count }, () =>
      client.post(random.pick(urls) + call.path, { apiKey: call.apiKey, headers }),
    ),
  )

/** Resolves once all of them count together: a process takes a moment to reach Redis. */
async function countingTogether(
  client: Caller,
  urls: readonly string[],
  owner: { readonly path: string; freshKey(): Promise<string> },
): Promise<void> {
  await eventually(async () => {
    const apiKey = await owner.freshKey()
    const left: number[] = []
    for (const url of urls) {
      const { headers } = await client.post(url + owner.path, { apiKey })
      left.push(Number(headers['x-ratelimit-remaining']))
    }
    return left.every((remaining, index) => remaining === (left[0] ?? 0) - index)
  })
}

describe('the limit of an API key', () => {
  test('three processes that count each for itself are seen to admit too many', async ({
    apart,
    client,
    owner,
  }) => {
    const apiKey = await owner.freshKey()
    const answers = await spread(client, apart, { ...owner, apiKey }, 1000)

    expect(faultsOfAdmission(answers)).toContain('300 admitted, not 100')
  })

  test('one process counts exactly in its own memory', async ({ apart, client, owner }) => {
    const apiKey = await owner.freshKey()
    const answers = await spread(client, apart.slice(0, 1), { ...owner, apiKey }, 300)

    expect(faultsOfAdmission(answers)).toEqual([])
  })

  const rounds = Array.from({ length: volume(4, 20) }, (_, round) => round + 1)
  test.for(rounds)(
    `three processes over Redis admit exactly 100 of 1,000 (round %i ${seeded})`,
    async (_, { together, client, owner }) => {
      await countingTogether(client, together, owner)
      const apiKey = await owner.freshKey()
      const answers = await spread(client, together, { ...owner, apiKey }, 1000)

      expect(faultsOfAdmission(answers)).toEqual([])
      expect(answers.filter(({ status }) => status === 429)).toHaveLength(900)
    },
  )

  test("a key's own limit and window are counted together too", async ({
    together,
    client,
    owner,
  }) => {
    await countingTogether(client, together, owner)
    const apiKey = await owner.freshKey({ requests: 7, periodSeconds: 600 })
    const answers = await spread(client, together, { ...owner, apiKey }, 60)

    expect(faultsOfAdmission(answers, 7)).toEqual([])
    expect(answers[0]?.headers['ratelimit-policy']).toBe('"api_key";q=7;w=600')
  })

  test('a window that has passed begins anew', async ({ together, client, owner }) => {
    await countingTogether(client, together, owner)
    const apiKey = await owner.freshKey({ requests: 5, periodSeconds: 2 })
    const startedAt = performance.now()
    const first = await spread(client, together, { ...owner, apiKey }, 100)
    const windows = 1 + Math.ceil((performance.now() - startedAt) / 2_000)
    const refused = first.find(({ status }) => status === 429)
    const retryAfter = Number(refused?.headers['retry-after'])
    expect(retryAfter).toBeGreaterThan(0)
    // the time that the answer asks for
    await sleep(retryAfter * 1000 + 100)
    const second = await spread(client, together, { ...owner, apiKey }, 5)

    const admitted = first.filter(({ status }) => status === 200).length
    expect(admitted).toBeGreaterThanOrEqual(5)
    expect(admitted).toBeLessThanOrEqual(5 * windows)
    expect(second.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200])
  })

  test.for([
    ['in Redis', true],
    ['in memory', false],
  ] as const)(
    'a window as long as the configuration allows is kept %s',
    async ([, inRedis], { limited, redis, client, owner, onTestFinished }) => {
      const urls = await serve(
        {
          ...limited,
          VALIDONX_API_RATE_LIMIT_REQUESTS: '5',
          VALIDONX_API_RATE_LIMIT_PERIOD: '2678400',
          ...(inRedis ? { VALIDONX_REDIS_URL: redis.url } : {}),
        },
        // two, so that they can be seen to count in Redis
        inRedis ? 2 : 1,
        onTestFinished,
      )
      await countingTogether(client, urls, owner)
      const apiKey = await owner.freshKey()
      const statuses = []
      for (let count = 0; count < 12; count += 1) {
        statuses.push((await client.post(urls[0] + owner.path, { apiKey })).status)
        // a timer that cannot hold so long a time ends after a millisecond, and would begin a new window
        await sleep(10)
      }

      expect(statuses.filter((status) => status === 200)).toHaveLength(5)
    },
  )
})

describe('the limit of a tenant', () => {
  const setMonthly = (ctx: Context, run: (sql: string) => Promise<unknown>) => {
    const platform = quoteName(ctx.config.platformDatabase)
    return run(
      `update ${platform}.plan_entitlements set value = '${MONTHLY}' where code = 'api_calls.monthly'
        and plan_id = (select id from ${platform}.plans where code = 'pro')`,
    )
  }

  test('holds for all its keys together, and is named as the one that was reached', async ({
    ctx,
    provisioner,
    together,
    client,
    owner,
  }) => {
    await setMonthly(ctx, (sql) => provisioner.run(sql))
    await countingTogether(client, together, owner)
    const slug = freshSlug()
    const first = await provision(ctx, slug, 'pro')
    const { secret: second } = await createApiKey(ctx, { slug, name: 'second' })
    const path = await licensedPath(ctx, slug)

    const answers = (
      await Promise.all([
        spread(client, together, { apiKey: first, path }, 70),
        spread(client, together, { apiKey: second, path }, 70),
      ])
    ).flat()

    const refused = answers.filter(({ status }) => status === 429)
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(MONTHLY)
    expect(refused).toHaveLength(140 - MONTHLY)
    const seconds = (monthOf(new Date()).end.getTime() - Date.now()) / 1000
    for (const { headers, body } of refused) {
      expect(body.error).toMatchObject({
        code: 'RATE_LIMIT.EXCEEDED',
        details: { limit: MONTHLY, scope: 'tenant', reset: Number(headers['retry-after']) },
      })
      expect(headers['x-ratelimit-remaining']).toBe('0')
      expect(headers['x-ratelimit-limit']).toBe(String(MONTHLY))
      expect(Math.abs(Number(headers['retry-after']) - seconds)).toBeLessThan(120)
    }
    expect(answers.flatMap(faultsOfFields)).toEqual([])
    for (const { headers } of answers)
      expect(readField(headers['ratelimit-policy'])?.map(({ name }) => name)).toEqual([
        'api_key',
        'tenant',
      ])
  })

  test.for(['01T00:00:01Z', '05T12:00:00Z', '20T12:00:00Z'])(
    'holds in memory from the %s of a month on',
    async (day, { ctx, environment, provisioner, onTestFinished }) => {
      await setMonthly(ctx, (sql) => provisioner.run(sql))
      const slug = freshSlug()
      const apiKey = await provision(ctx, slug, 'pro')
      const path = await licensedPath(ctx, slug)
      const month = new Date().toISOString().slice(0, 8)
      const clocked = await open(environment, { now: () => new Date(month + day) })
      const app = createApp(clocked, createReadiness(clocked.platform).ask)
      onTestFinished(async () => {
        await app[Symbol.asyncDispose]()
        await clocked[Symbol.asyncDispose]()
      })

      const statuses = []
      for (let count = 0; count < MONTHLY + 20; count += 1) {
        const response = await app.request(path, {
          method: 'POST',
          headers: { 'X-API-Key': apiKey },
        })
        statuses.push(response.status)
        // as above
        await sleep(3)
      }

      expect(statuses.filter((status) => status === 200)).toHaveLength(MONTHLY)
      expect(statuses.at(-1)).toBe(429)
    },
  )
})

describe('validonx ratelimit', () => {
  test('show tells what was used, and reset starts the windows anew', async ({
    ctx,
    provisioner,
    environment,
    limited,
    redis,
    together,
    client,
    owner,
  }) => {
    await provisioner.run(
      `update ${quoteName(ctx.config.platformDatabase)}.plan_entitlements set value = '1000' where code = 'api_calls.monthly'
        and plan_id = (select id from ${quoteName(ctx.config.platformDatabase)}.plans where code = 'starter')`,
    )
    await countingTogether(client, together, owner)
    const slug = freshSlug()
    const first = await provision(ctx, slug, 'starter')
    const { secret: second, key } = await createApiKey(ctx, {
      slug,
      name: 'second',
      rateLimit: { requests: 9, periodSeconds: 900 },
    })
    const path = await licensedPath(ctx, slug)
    await spread(client, together, { apiKey: first, path }, 30)
    // five of these are refused by the key's own limit, and cost the tenant nothing
    await spread(client, together, { apiKey: second, path }, 14)
    const settings = {
      ...environment,
      VALIDONX_REDIS_URL: redis.url,
      VALIDONX_API_RATE_LIMIT_REQUESTS: limited.VALIDONX_API_RATE_LIMIT_REQUESTS ?? '',
      VALIDONX_API_RATE_LIMIT_PERIOD: limited.VALIDONX_API_RATE_LIMIT_PERIOD ?? '',
    }
    const run = async (verb: string) => {
      const { out, exit, said } = await runCli(settings, [
        'ratelimit',
        verb,
        '--tenant',
        slug,
        '--json',
      ])
      expect([exit, said]).toEqual([0, ''])
      return out
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line))
    }

    const used = await run('show')
    const reset = await run('reset')
    const unused = await run('show')
    const again = await client.post((together[0] ?? '') + path, { apiKey: first })

    const byName = (rows: { of: string; used: number }[]) =>
      Object.fromEntries(rows.map((row) => [row.of, row.used]))
    expect(byName(used)).toEqual({ [first.slice(0, 9)]: 30, [key.prefix]: 9, [slug]: 39 })
    expect(used).toContainEqual(
      expect.objectContaining({ of: key.prefix, scope: 'api_key', limit: 9, period_seconds: 900 }),
    )
    expect(reset).toEqual([{ reset: 3 }])
    expect(byName(unused)).toEqual({ [first.slice(0, 9)]: 0, [key.prefix]: 0, [slug]: 0 })
    expect(again.headers['x-ratelimit-remaining']).toBe(String(LIMIT - 1))
  })

  test.for(['show', 'reset'])(
    '%s refuses clearly where Redis is not configured',
    async (verb, { environment, owner }) => {
      const { exit, said, out } = await runCli(environment, [
        'ratelimit',
        verb,
        '--tenant',
        owner.slug,
      ])

      expect([exit, out]).toEqual([64, ''])
      expect(said).toContain('VALIDONX_REDIS_URL')
    },
  )

  test.for(['show', 'reset'])(
    '%s says so where Redis cannot be reached',
    async (verb, { environment, owner }) => {
      const { exit, said, out } = await runCli(
        { ...environment, VALIDONX_REDIS_URL: 'redis://127.0.0.1:1' },
        ['ratelimit', verb, '--tenant', owner.slug],
      )

      expect(out).toBe('')
      expect(exit).toBe(69)
      expect(said).toContain('REDIS.UNREACHABLE')
    },
  )
})

describe('attempts without a valid key', () => {
  const bad = { apiKey: `vx_${'A'.repeat(39)}` }
  const from = (address: string) => ({ 'X-Forwarded-For': address })

  test('an address that failed 60 times must wait, also with a valid key, and no other address', async ({
    limited,
    client,
    owner,
    onTestFinished,
  }) => {
    const [url = ''] = await serve({ ...limited, VALIDONX_TRUSTED_HOPS: '1' }, 1, onTestFinished)
    const ask = (apiKey: string, seen: string) =>
      client.post(url + owner.path, { apiKey, headers: from(seen) })

    const statuses = []
    // what the client writes itself stands further left, and another entry each time changes nothing
    for (let count = 0; count < ATTEMPTS; count += 1)
      statuses.push((await ask(bad.apiKey, `198.51.100.${count}, 203.0.113.7`)).status)
    const next = await ask(bad.apiKey, '203.0.113.7')

    expect(statuses).toEqual(Array.from({ length: ATTEMPTS }, () => 401))
    expect(next.status).toBe(429)
    expect(next.body.error).toMatchObject({
      code: 'RATE_LIMIT.EXCEEDED',
      details: { limit: ATTEMPTS, scope: 'address' },
    })
    expect(Number(next.headers['retry-after'])).toBeGreaterThanOrEqual(1)
    expect((await ask(owner.apiKey, '203.0.113.7')).status).toBe(429)
    expect((await ask(owner.apiKey, '203.0.113.9, 203.0.113.7')).status).toBe(429)
    expect((await ask(owner.apiKey, '203.0.113.8')).status).toBe(200)
    expect((await ask(owner.apiKey, '203.0.113.7, 203.0.113.8')).status).toBe(200)
    expect((await ask(bad.apiKey, '203.0.113.8')).status).toBe(401)
  })

  test('what a client writes into X-Forwarded-For is not believed where no proxy is trusted', async ({
    limited,
    client,
    owner,
    onTestFinished,
  }) => {
    const [url = ''] = await serve(limited, 1, onTestFinished)
    const ask = (apiKey: string, seen: string) =>
      client.post(url + owner.path, { apiKey, headers: from(seen) })

    const statuses = []
    for (let count = 0; count < ATTEMPTS; count += 1)
      statuses.push((await ask(bad.apiKey, `203.0.113.${count}`)).status)

    expect(new Set(statuses)).toEqual(new Set([401]))
    expect((await ask(bad.apiKey, '192.0.2.1')).status).toBe(429)
    expect((await ask(owner.apiKey, '192.0.2.2')).status).toBe(429)
  })

  test('addresses of one IPv6 subscriber are one, and a port beside an address is not another', async ({
    limited,
    client,
    owner,
    onTestFinished,
  }) => {
    const [url = ''] = await serve({ ...limited, VALIDONX_TRUSTED_HOPS: '1' }, 1, onTestFinished)
    const wave = async (address: (index: number) => string) => {
      const answers = []
      for (let count = 0; count < ATTEMPTS + 5; count += 1)
        answers.push(await client.post(url + owner.path, { ...bad, headers: from(address(count)) }))
      return answers.filter(({ status }) => status === 401).length
    }

    expect(await wave((index) => `2001:db8:0:1::${index.toString(16)}`)).toBe(ATTEMPTS)
    // as several proxies write it
    expect(await wave((index) => `203.0.113.20:${40_000 + index}`)).toBe(ATTEMPTS)
    expect(await wave((index) => `[2001:db8:0:2::${index.toString(16)}]:443`)).toBe(ATTEMPTS)
  })

  test('processes over Redis count the failures of an address together', async ({
    together,
    client,
    owner,
  }) => {
    await countingTogether(client, together, owner)
    const answers = await spread(client, together, { ...owner, ...bad }, 300, from('203.0.113.60'))

    expect(answers.filter(({ status }) => status === 401)).toHaveLength(ATTEMPTS)
    expect(answers.filter(({ status }) => status === 429)).toHaveLength(300 - ATTEMPTS)
  })
})

// last: they take Redis away
describe('without Redis', () => {
  test('requests go on being answered while it dies, is away and comes back', async ({
    redis,
    together,
    client,
    owner,
  }) => {
    await countingTogether(client, together, owner)
    const constant = await owner.freshKey({ requests: 1_000_000, periodSeconds: 3600 })
    const statuses = new Map<number, number>()
    let using = true
    const users = together.flatMap((url) =>
      [1, 2, 3].map(async () => {
        while (using) {
          const { status } = await client.post(url + owner.path, { apiKey: constant })
          statuses.set(status, (statuses.get(status) ?? 0) + 1)
        }
      }),
    )
    const answered = () => statuses.get(200) ?? 0
    await eventually(() => answered() > 50)
    await redis.kill()
    const before = answered()
    await eventually(() => answered() > before + 50)

    // each within a limit of its own
    const apiKey = await owner.freshKey()
    for (const url of together) {
      const answers = await spread(client, [url], { ...owner, apiKey }, 150)
      expect(faultsOfAdmission(answers)).toEqual([])
    }
    await redis.start()
    await countingTogether(client, together, owner)
    using = false
    await Promise.all(users)
    const back = await owner.freshKey()
    const answers = await spread(client, together, { ...owner, apiKey: back }, 1000)

    expect([...statuses.keys()]).toEqual([200])
    expect(statuses.get(200)).toBeGreaterThan(100)
    expect(faultsOfAdmission(answers)).toEqual([])
  })

  test('a Redis that hangs keeps nobody from an answer', { timeout: 300_000 }, async ({
    redis,
    together,
    client,
    owner,
  }) => {
    await countingTogether(client, together, owner)
    redis.signal('SIGSTOP')
    const answers: Answer[] = []
    try {
      for (let round = 0; round < 3; round += 1) {
        const apiKey = await owner.freshKey()
        answers.push(...(await spread(client, together, { ...owner, apiKey }, 30)))
      }
    } finally {
      redis.signal('SIGCONT')
    }

    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]))
    await countingTogether(client, together, owner)
  })
})

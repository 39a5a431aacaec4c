import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect } from 'vitest'
import { createApiKey } from '../../src/core/access/create-api-key.js'
import { revokeApiKey } from '../../src/core/access/revoke-api-key.js'
import { rotateApiKey } from '../../src/core/access/rotate-api-key.js'
import { newId } from '../../src/core/ids.js'
import { enterTenant } from '../../src/core/tenants/scope.js'
import { type Answer, Caller } from '../support/caller.js'
import { seed, volume } from '../support/campaign.js'
import { eventually } from '../support/eventually.js'
import { freshSlug, test as house, provision } from '../support/house.js'
import { issueFor } from '../support/license.js'
import { startServers } from '../support/process.js'
import { createRandom } from '../support/random.js'

/** How long an ended key may go on opening doors anywhere. */
const BOUND_MS = 1_000
const TRIALS = volume(2, 10)

const random = createRandom(seed)

/** Three serving processes, and a tenant that no limit stops. */
const test = house
  .extend('servers', { scope: 'file' }, async ({ environment }, { onCleanup }) => {
    const servers = await startServers(environment, 3, onCleanup, {
      VALIDONX_API_RATE_LIMIT_REQUESTS: '100000000',
      VALIDONX_TRUSTED_HOPS: '1',
    })
    return servers.map(({ url }) => url)
  })
  .extend('owner', { scope: 'file' }, async ({ ctx }) => {
    const slug = freshSlug()
    await provision(ctx, slug, 'enterprise')
    const scope = await enterTenant(ctx, slug)
    const { license } = await issueFor(scope, { product: 'app' })
    return {
      slug,
      path: `/v1/integration/licenses/${license.key}/validate`,
      freshKey: () => createApiKey(ctx, { slug, name: newId() }),
    }
  })
  .extend('client', { scope: 'file' }, async ({ environment: _ }, { onCleanup }) => {
    const client = new Caller(50)
    onCleanup(() => client[Symbol.dispose]())
    return client
  })

let callers = 0
/** From another address each time: else the refusals themselves would soon be refused. */
const validate = (client: Caller, url: string, apiKey: string): Promise<Answer> => {
  callers += 1
  const address = `10.${callers >> 16}.${(callers >> 8) & 255}.${callers & 255}`
  return client.post(url, { apiKey, headers: { 'X-Forwarded-For': address } })
}

type Use = {
  readonly sentAt: number
  readonly answeredAt: number
  readonly status: number
  readonly code: string | undefined
}

/** Uses a key on every process all the time, until told to stop. */
function useConstantly(client: Caller, urls: readonly string[], apiKey: string) {
  const uses = urls.map((): Use[] => [])
  let using = true
  const users = urls.map(async (url, index) => {
    while (using) {
      const sentAt = performance.now()
      const { status, body } = await validate(client, url, apiKey)
      const answeredAt = performance.now()
      uses[index]?.push({ sentAt, answeredAt, status, code: body.error?.code })
      await sleep(5)
    }
  })
  return {
    uses,
    /** Resolves once every process knows the key well. */
    async warm() {
      await eventually(() => uses.every((own) => own.length >= 20))
    },
    /** Stops once every process has answered a few uses that were sent after that time. */
    async stopAfter(time: number) {
      await eventually(() =>
        uses.every((own) => own.filter(({ sentAt }) => sentAt > time).length >= 3),
      )
      using = false
      await Promise.all(users)
    },
  }
}

describe('a key in constant use on three processes', () => {
  test.for(
    Array.from({ length: TRIALS }, (_, trial) => ({
      trial: trial + 1,
      pauseMs: random.below(500),
    })),
  )(
    `is refused by every process within a second of its revocation (trial $trial of VALIDONX_TEST_SEED=${random.seed})`,
    async ({ pauseMs }, { ctx, servers, owner, client }) => {
      const { key, secret } = await owner.freshKey()
      const urls = servers.map((url) => url + owner.path)
      const { uses, warm, stopAfter } = useConstantly(client, urls, secret)
      await warm()
      await sleep(pauseMs)
      const startedAt = performance.now()

      await revokeApiKey(ctx, { slug: owner.slug, key: key.id })
      const committedAt = performance.now()
      await stopAfter(committedAt + BOUND_MS)

      for (const own of uses) {
        const before = own.filter(({ answeredAt }) => answeredAt < startedAt)
        const after = own.filter(({ sentAt }) => sentAt > committedAt + BOUND_MS)
        expect(new Set(before.map(({ status }) => status))).toEqual(new Set([200]))
        expect(after.length).toBeGreaterThan(0)
        expect(new Set(after.map(({ code }) => code))).toEqual(new Set(['AUTH.API_KEY_REVOKED']))
      }
    },
  )

  test.for(
    Array.from({ length: TRIALS }, (_, trial) => ({
      trial: trial + 1,
      pauseMs: random.below(500),
    })),
  )(
    `is refused within a second of a rotation without grace, and its successor opens everywhere at once (trial $trial of VALIDONX_TEST_SEED=${random.seed})`,
    async ({ pauseMs }, { ctx, servers, owner, client }) => {
      const { key, secret } = await owner.freshKey()
      const urls = servers.map((url) => url + owner.path)
      const { uses, warm, stopAfter } = useConstantly(client, urls, secret)
      await warm()
      await sleep(pauseMs)
      const startedAt = performance.now()

      const successors: number[] = []
      await rotateApiKey(
        ctx,
        { slug: owner.slug, key: key.id, graceSeconds: 0 },
        async (rotated) => {
          for (const url of urls)
            successors.push((await validate(client, url, rotated.secret)).status)
        },
      )
      // the old key ends once its successor was shown
      const committedAt = performance.now()
      await stopAfter(committedAt + BOUND_MS)

      expect(successors).toEqual([200, 200, 200])
      for (const own of uses) {
        const before = own.filter(({ answeredAt }) => answeredAt < startedAt)
        const after = own.filter(({ sentAt }) => sentAt > committedAt + BOUND_MS)
        expect(new Set(before.map(({ status }) => status))).toEqual(new Set([200]))
        expect(after.length).toBeGreaterThan(0)
        expect(new Set(after.map(({ code }) => code))).toEqual(new Set(['AUTH.API_KEY_REVOKED']))
      }
    },
  )

  test('a rotation with a grace ends the old key at its time, everywhere, and not before', async ({
    ctx,
    servers,
    owner,
    client,
  }) => {
    const { key, secret } = await owner.freshKey()
    const urls = servers.map((url) => url + owner.path)
    const { uses, warm, stopAfter } = useConstantly(client, urls, secret)
    await warm()

    const { oldEndsAt } = await rotateApiKey(
      ctx,
      { slug: owner.slug, key: key.id, graceSeconds: 2 },
      async () => {},
    )
    const endsAt = performance.now() + (oldEndsAt.getTime() - Date.now())
    await stopAfter(endsAt + BOUND_MS)

    for (const own of uses) {
      // two clocks were compared
      const before = own.filter(({ answeredAt }) => answeredAt < endsAt - 50)
      const after = own.filter(({ sentAt }) => sentAt > endsAt + BOUND_MS)
      expect(new Set(before.map(({ status }) => status))).toEqual(new Set([200]))
      expect(after.length).toBeGreaterThan(0)
      expect(new Set(after.map(({ code }) => code))).toEqual(new Set(['AUTH.INVALID_API_KEY']))
    }
  })

  test('a key that is used now and then is refused too', async ({
    ctx,
    servers,
    owner,
    client,
  }) => {
    const { key, secret } = await owner.freshKey()
    const ask = async () =>
      Promise.all(
        servers.map(async (url) => (await validate(client, url + owner.path, secret)).status),
      )
    // asked once, remembered, and not renewed since
    expect(await ask()).toEqual([200, 200, 200])
    await sleep(random.below(400))
    await revokeApiKey(ctx, { slug: owner.slug, key: key.id })
    await sleep(BOUND_MS)

    expect(await ask()).toEqual([401, 401, 401])
  })
})

import { describe, expect, inject, vi } from 'vitest'
import { createApiKey } from '../../src/core/access/create-api-key.js'
import type { Context } from '../../src/core/context.js'
import { Keyring, newAppKey } from '../../src/core/crypto/keyring.js'
import { openConnection } from '../../src/core/db/connect.js'
import type { Provisioner } from '../../src/core/db/provisioner.js'
import { parseDatabaseUrl } from '../../src/core/db/server-address.js'
import { quoteUser } from '../../src/core/db/sql.js'
import { formerRuntimeUser } from '../../src/core/db/user-names.js'
import { enterTenant } from '../../src/core/tenants/scope.js'
import { freshSlug, test as house, provision, runCli } from '../support/house.js'
import { issueFor } from '../support/license.js'
import {
  dropPlatform,
  type Environment,
  freshEnvironment,
  initialize,
  open,
} from '../support/platform.js'
import { type Serving, startServe } from '../support/process.js'

const PATIENCE = { timeout: 300_000 }

/** A platform under application key A with a tenant and a license, and the environments of its rotation to B. */
const test = house
  .extend('keys', async () => ({ a: newAppKey(), b: newAppKey() }))
  .extend('ids', async ({ keys }) => ({
    a: new Keyring(keys.a).currentId,
    b: new Keyring(keys.b).currentId,
  }))
  .extend('rotation', async ({ keys }, { onCleanup }) => {
    const a: Environment = {
      ...freshEnvironment(inject('databaseUrl')),
      VALIDONX_APP_KEY: keys.a,
      VALIDONX_API_RATE_LIMIT_REQUESTS: '1000000',
    }
    const runtimeUrl = await initialize(a)
    onCleanup(async () => {
      if (inject('keepsData')) await dropPlatform(a)
    })
    const both = { ...a, VALIDONX_APP_KEY: keys.b, VALIDONX_APP_PREVIOUS_KEYS: keys.a }
    return { a, both, b: { ...a, VALIDONX_APP_KEY: keys.b }, runtimeUrl }
  })
  .extend('shop', async ({ rotation }) => {
    await using ctx = await open(rotation.a)
    const slug = freshSlug()
    const apiKey = await provision(ctx, slug)
    const { license } = await issueFor(await enterTenant(ctx, slug), { product: 'app' })
    return { slug, apiKey, path: `/v1/integration/licenses/${license.key}/validate` }
  })

const userOf = (url: string): string => decodeURIComponent(new URL(url).username)

const sessionsOf = async (provisioner: Provisioner, user: string): Promise<number[]> =>
  (await provisioner.rows<{ Id: number; User: string }>('show processlist'))
    .filter(({ User }) => User === user)
    .map(({ Id }) => Id)

const validate = async ({ url }: Serving, path: string, apiKey: string): Promise<number> =>
  (await fetch(url + path, { method: 'POST', headers: { 'X-API-Key': apiKey } })).status

/** Ends every session of the runtime login, as a failover does. */
async function cutSessions(provisioner: Provisioner, user: string): Promise<number> {
  const sessions = await sessionsOf(provisioner, user)
  for (const id of sessions) await provisioner.run(`kill ${id}`).catch(() => {})
  return sessions.length
}

/** A server with what an operator gave it: the runtime login alone. */
async function serveWith(
  { VALIDONX_DATABASE_URL: _, ...environment }: Environment,
  runtimeUrl: string,
  onCleanup: (end: () => void) => void,
): Promise<Serving> {
  const serving = await startServe({ ...environment, VALIDONX_RUNTIME_URL: runtimeUrl })
  onCleanup(() => serving.child.kill('SIGKILL'))
  return serving
}

describe('while the application key is rotated', () => {
  test(
    'serve with the earlier runtime URL answers after its sessions were cut',
    PATIENCE,
    async ({ rotation, shop, keys, ids, provisioner, onTestFinished }) => {
      const { a, both, runtimeUrl } = rotation
      const unprepared = await serveWith(a, runtimeUrl, onTestFinished)
      const prepared = await serveWith(
        { ...a, VALIDONX_APP_PREVIOUS_KEYS: keys.b },
        runtimeUrl,
        onTestFinished,
      )
      const servers = [unprepared, prepared]
      for (const server of servers) expect(await validate(server, shop.path, shop.apiKey)).toBe(200)

      const initialized = await runCli(both, ['init', '--json'])
      const { runtime_url, earlier_runtime_logins } = JSON.parse(initialized.out)
      expect([initialized.exit, earlier_runtime_logins]).toEqual([0, [ids.a]])
      expect(userOf(runtime_url)).not.toBe(userOf(runtimeUrl))
      expect(await cutSessions(provisioner, userOf(runtimeUrl))).toBeGreaterThan(0)

      for (const server of servers) {
        await vi.waitFor(
          async () => expect(await validate(server, shop.path, shop.apiKey)).toBe(200),
          { timeout: 150_000, interval: 200 },
        )
        await vi.waitFor(
          async () => expect((await fetch(`${server.url}/readyz`)).status).toBe(200),
          {
            timeout: 150_000,
            interval: 200,
          },
        )
      }
      expect(await sessionsOf(provisioner, userOf(runtimeUrl))).not.toEqual([])
      // a key that is made under the new one works where both are known
      await using ctx = await open(both)
      const { secret } = await createApiKey(ctx, { slug: shop.slug, name: 'new' })
      expect(await validate(prepared, shop.path, secret)).toBe(200)

      const early = await runCli(both, ['keyring', 'retire', ids.a])
      expect([early.exit, early.said]).toEqual([65, expect.stringContaining('KEYRING.IN_USE')])
    },
  )

  test(
    'retire waits for processes with the earlier runtime URL, then drops their login',
    PATIENCE,
    async ({ rotation, shop, ids, provisioner, keys, onTestFinished }) => {
      const { a, both, b, runtimeUrl } = rotation
      const earlier = await serveWith(
        { ...a, VALIDONX_APP_PREVIOUS_KEYS: keys.b },
        runtimeUrl,
        onTestFinished,
      )
      const { runtime_url } = JSON.parse((await runCli(both, ['init', '--json'])).out)
      const later = await serveWith(both, runtime_url, onTestFinished)
      expect(await validate(later, shop.path, shop.apiKey)).toBe(200)
      const { runtime_url: again } = JSON.parse((await runCli(both, ['init', '--json'])).out)
      expect(again).toBe(runtime_url)
      await vi.waitFor(
        async () => {
          const { said } = await runCli(both, ['keyring', 'retire', ids.a])
          expect(said).toContain('of processes with its VALIDONX_RUNTIME_URL')
        },
        { timeout: 150_000, interval: 500 },
      )
      earlier.child.kill('SIGTERM')
      await earlier.ended
      // the server's session list may lag behind
      await expect.poll(() => sessionsOf(provisioner, userOf(runtimeUrl))).toEqual([])

      const retired = await runCli(both, ['keyring', 'retire', ids.a])

      expect([retired.exit, retired.said]).toEqual([0, ''])
      const { address, login } = parseDatabaseUrl(runtimeUrl, {})
      await expect(
        openConnection({ address, login, connectTimeoutMs: 5000 }),
      ).rejects.toMatchObject({
        errno: 1045,
      })
      expect(await validate(later, shop.path, shop.apiKey)).toBe(200)
      const status = await runCli(b, ['keyring', 'status', '--json'])
      expect(JSON.parse(status.out)).toMatchObject({ key_id: ids.b, runtime_logins: 1 })
    },
  )
})

test(
  'a tenant that was archived while the key was retired can be opened again',
  PATIENCE,
  async ({ rotation, shop, ids }) => {
    const { a, both, b } = rotation
    {
      await using ctx = await open(a)
      await ctx.platform('api_keys').update({ revoked_at: new Date() })
    }
    const before = [
      await runCli(a, ['tenant', 'archive', shop.slug, '--yes']),
      await runCli(both, ['init']),
    ]
    // the server's session list may lag behind
    await expect
      .poll(async () => (await runCli(both, ['keyring', 'retire', ids.a])).said, {
        timeout: 30_000,
      })
      .toBe('')
    const runs = [
      ...before,
      await runCli(b, ['tenant', 'unarchive', shop.slug]),
      await runCli(b, ['tenant', 'reinstate', shop.slug]),
      await runCli(b, ['license', 'list', '--tenant', shop.slug]),
    ]

    expect(runs.map(({ exit, said }) => (exit === 0 ? 0 : said))).toEqual([0, 0, 0, 0, 0])
  },
)

test(
  'retire waits for sessions of the login that earlier versions made',
  PATIENCE,
  async ({ rotation, ids, provisioner, onTestFinished }) => {
    await runCli(rotation.both, ['init'])
    const user = formerRuntimeUser(rotation.a.VALIDONX_PLATFORM_DATABASE ?? '')
    await provisioner.run(`create user ${quoteUser(user, '%')} identified by 'earlier-Login-1'`)
    const { address } = provisioner.reach
    const session = await openConnection({
      address,
      login: { user, password: 'earlier-Login-1' },
      connectTimeoutMs: 5_000,
    })
    onTestFinished(() => session.destroy())
    const retire = () => runCli(rotation.both, ['keyring', 'retire', ids.a])
    const early = await retire()
    session.destroy()
    await expect.poll(async () => (await retire()).said, { timeout: 30_000 }).toBe('')

    expect([early.exit, early.said]).toEqual([65, expect.stringContaining('VALIDONX_RUNTIME_URL')])
  },
)

describe('what depends on an earlier application key', () => {
  const linesOf = (out: string) =>
    out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))

  const sealedServerLogin = async (ctx: Context): Promise<void> => {
    const provisioner = await ctx.provisioner()
    await provisioner.withDatabase(ctx.config.platformDatabase, (db) =>
      db('database_servers').insert({
        id: 's-1',
        name: 'second',
        host: '127.0.0.1',
        port: 1,
        provisioner_login_encrypted: ctx.keyring.encrypt('{"user":"x","password":"y"}', 's-1'),
        capacity: 1,
        accepts_tenants: 0,
        version: '10.11',
        created_at: new Date(),
        updated_at: new Date(),
      }),
    )
  }

  test('is listed by tenant and key, counted with the logins of servers, and shown when it is moved', async ({
    rotation,
    shop,
    ids,
  }) => {
    await using ctx = await open(rotation.a)
    await sealedServerLogin(ctx)
    await runCli(rotation.both, ['init'])
    const json = await runCli(rotation.both, ['keyring', 'status', '--json'])
    const text = await runCli(rotation.both, ['keyring', 'status'])
    const refused = await runCli(rotation.both, ['keyring', 'retire', ids.a])
    const prefix = shop.apiKey.slice(0, 9)

    const earlier = linesOf(json.out).find(({ key_id }) => key_id === ids.a)
    expect(earlier).toMatchObject({
      role: 'previous',
      api_keys: 1,
      server_logins: 1,
      runtime_logins: 1,
    })
    expect(earlier.dependents).toMatchObject([
      {
        kind: 'api key',
        tenant: shop.slug,
        name: expect.stringContaining(prefix),
        last_used_at: null,
      },
      { kind: 'tenant login', tenant: shop.slug },
      { kind: 'webhook secret', tenant: shop.slug },
    ])
    expect(text.out).toMatch(new RegExp(`still on ${ids.a}:[^]*${shop.slug} +api key +${prefix}…`))
    expect(refused.said).toContain('1 API key that was not used since. "validonx keyring status"')
    // what could be moved was
    const [after] = linesOf(
      (await runCli(rotation.both, ['keyring', 'status', '--json'])).out,
    ).filter(({ key_id }) => key_id === ids.a)
    expect(after).toMatchObject({
      api_keys: 1,
      tenant_logins: 0,
      webhook_secrets: 0,
      server_logins: 0,
    })
  })

  test('is reported by doctor and by health once that key is gone too early', async ({
    rotation,
    shop,
    ids,
  }) => {
    await runCli(rotation.both, ['init'])
    const healthy = await runCli(rotation.both, ['doctor', '--json'])
    const doctor = await runCli(rotation.b, ['doctor', '--json'])
    const health = await runCli(rotation.b, ['tenant', 'health', shop.slug, '--json'])

    const ofKeys = (out: string) => linesOf(out).filter(({ area }) => area === 'application keys')
    expect(ofKeys(healthy.out)).toMatchObject([
      { state: 'ok', says: expect.stringContaining('1 API key') },
    ])
    expect(doctor.exit).toBe(1)
    expect(ofKeys(doctor.out)).toMatchObject([
      {
        state: 'fault',
        says: expect.stringMatching(
          new RegExp(`1 API key.* cannot be used: application key ${ids.a}`),
        ),
      },
    ])
    expect(health.exit).toBe(1)
    const [{ findings }] = JSON.parse(health.out).tenants
    expect(findings).toContainEqual(
      expect.objectContaining({
        check: 'api key',
        says: expect.stringContaining('1 of its API keys'),
      }),
    )
  })
})

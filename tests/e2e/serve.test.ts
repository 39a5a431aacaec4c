import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect } from 'vitest'
import { reinstateTenant, suspendTenant } from '../../src/core/tenants/change-status.js'
import { eventually } from '../support/eventually.js'
import { bare } from '../support/fleet.js'
import { test as house } from '../support/house.js'
import { issueFor } from '../support/license.js'
import { type Environment, initialize } from '../support/platform.js'
import { startBin, startServe } from '../support/process.js'

/** Three serving processes with the runtime login and nothing else. */
const test = house
  .extend('runtimeOnly', { scope: 'file' }, async ({ environment }): Promise<Environment> => {
    const { VALIDONX_DATABASE_URL: _, ...rest } = environment
    return { ...rest, VALIDONX_RUNTIME_URL: await initialize(environment) }
  })
  .extend('servers', { scope: 'file' }, async ({ runtimeOnly }, { onCleanup }) => {
    const servers = await Promise.all([1, 2, 3].map(() => startServe(runtimeOnly)))
    onCleanup(() => {
      for (const { child } of servers) child.kill('SIGKILL')
    })
    return servers
  })
  .extend('licensed', async ({ scope, tenant }) => {
    const { license } = await issueFor(scope, { product: 'app' })
    return {
      path: `/v1/integration/licenses/${license.key}/validate`,
      apiKey: tenant.apiKey,
      slug: tenant.slug,
    }
  })

const validate = (url: string, { path, apiKey }: { path: string; apiKey: string }) =>
  fetch(url + path, { method: 'POST', headers: { 'X-API-Key': apiKey } })

describe('validonx serve', () => {
  test('answers with the runtime login alone', async ({ servers, licensed }) => {
    for (const { url } of servers) {
      const response = await validate(url, licensed)
      expect(response.status).toBe(200)
      expect(await response.json()).toMatchObject({ data: { valid: true } })
      expect((await fetch(`${url}/healthz`)).status).toBe(200)
      expect((await fetch(`${url}/readyz`)).status).toBe(200)
    }
  })

  test('every process closes a suspended tenant within a second, and its connections too', async ({
    ctx,
    servers,
    licensed,
    scope,
    provisioner,
  }) => {
    const { tenant } = scope
    for (const { url } of servers) expect((await validate(url, licensed)).status).toBe(200)
    const connections = async () => {
      const rows = await provisioner.rows<{ count: number }>(
        'select count(*) as count from information_schema.processlist where db = ?',
        [tenant.database],
      )
      return Number(rows[0]?.count)
    }
    // keys in constant use are the hard case: their standings are remembered and renewed
    let using = true
    const late: number[] = []
    const afterwards = new Map<string, number>()
    let suspendedAt = Number.POSITIVE_INFINITY
    const users = servers.map(async ({ url }) => {
      while (using) {
        const asked = performance.now()
        const { status } = await validate(url, licensed)
        if (asked > suspendedAt + 1000) afterwards.set(url, (afterwards.get(url) ?? 0) + 1)
        if (status === 200 && asked > suspendedAt + 1000) late.push(asked - suspendedAt)
        await sleep(10)
      }
    })
    await eventually(connections, (count) => count >= 3)
    await suspendTenant(ctx, { slug: licensed.slug })
    suspendedAt = performance.now()
    await eventually(() => servers.every(({ url }) => (afterwards.get(url) ?? 0) >= 5))
    using = false
    await Promise.all(users)

    expect(late).toEqual([])
    for (const { url } of servers) expect((await validate(url, licensed)).status).toBe(403)
    expect(await connections()).toBe(0)
    await reinstateTenant(ctx, { slug: licensed.slug })
    for (const { url } of servers)
      await eventually(
        async () => (await validate(url, licensed)).status,
        (status) => status === 200,
      )
  })

  test('on SIGTERM finishes what it has begun, refuses nothing half-way, and exits 0', async ({
    runtimeOnly,
    licensed,
    scope,
    provisioner,
  }) => {
    const server = await startServe({ ...runtimeOnly, VALIDONX_DRAIN_DELAY: '3' })
    await validate(server.url, licensed)
    // requests in flight when the signal comes: their statement waits for this lock
    const { database } = scope.tenant
    const lock = bare(provisioner, database).promise()
    await lock.query('lock tables licenses write')
    const inFlight = Promise.all(Array.from({ length: 3 }, () => validate(server.url, licensed)))
    const waiting = async () =>
      (
        await provisioner.rows<{ db: string | null; State: string | null }>('show processlist')
      ).filter(({ db, State }) => db === database && State?.includes('lock')).length
    await eventually(waiting, (count) => count === 3)
    server.child.kill('SIGTERM')
    const ready = await eventually(
      () => fetch(`${server.url}/readyz`),
      ({ status }) => status !== 200,
    )
    await lock.end()
    const responses = await inFlight

    expect([ready.status, ready.headers.get('connection')]).toEqual([503, 'close'])
    expect(responses.map(({ status }) => status)).toEqual([200, 200, 200])
    expect(await server.ended).toBe(0)
    expect(server.output.said).toContain('"message":"stopped"')
  })

  test('says which address is taken', async ({ runtimeOnly, servers }) => {
    const port = new URL(servers[0]?.url ?? '').port
    const second = startBin({ ...runtimeOnly, VALIDONX_PORT: port }, ['serve'])

    expect(await second.ended).toBe(69)
    expect(second.output.said).toContain('SERVER.ADDRESS_IN_USE')
  })

  test('answers what is no HTTP in the envelope, and goes on', async ({ servers }) => {
    const { hostname, port } = new URL(servers[0]?.url ?? '')
    const answers = []
    for (const sent of [
      'GARBAGE\r\n\r\n',
      `GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`,
    ]) {
      answers.push(
        await new Promise<string>((done) => {
          let answer = ''
          const socket = connect(Number(port), hostname, () => socket.write(sent))
          socket.on('data', (chunk) => {
            answer += chunk.toString()
          })
          socket.on('close', () => done(answer))
        }),
      )
    }

    expect(answers[0]).toMatch(/^HTTP\/1.1 400 .*"code":"REQUEST.MALFORMED"/s)
    expect(answers[1]).toMatch(/^HTTP\/1.1 431 .*"code":"REQUEST.HEADERS_TOO_LARGE"/s)
    expect((await fetch(`${servers[0]?.url}/healthz`)).status).toBe(200)
  })

  test('logs one JSON object a line, without a key', async ({ servers, licensed }) => {
    await validate(servers[0]?.url ?? '', licensed)
    const lines = servers[0]?.output.said.trim().split('\n') ?? []

    expect(lines.length).toBeGreaterThan(0)
    for (const line of lines)
      expect(JSON.parse(line)).toMatchObject({
        level: expect.any(String),
        message: expect.any(String),
      })
    expect(lines.join()).not.toContain(licensed.apiKey)
  })
})

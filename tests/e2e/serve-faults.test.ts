import { connect, createServer, type Socket } from 'node:net'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { expect } from 'vitest'
import { eventually } from '../support/eventually.js'
import { test as house } from '../support/house.js'
import { issueFor } from '../support/license.js'
import { type Environment, initialize } from '../support/platform.js'
import { type Serving, startBin, startServe } from '../support/process.js'

const THROW_ON_SIGNAL = pathToFileURL(
  fileURLToPath(new URL('../support/throw-on-signal.mjs', import.meta.url)),
).href

const test = house
  .extend('runtimeOnly', { scope: 'file' }, async ({ environment }): Promise<Environment> => {
    const { VALIDONX_DATABASE_URL: _, ...rest } = environment
    return { ...rest, VALIDONX_RUNTIME_URL: await initialize(environment) }
  })
  .extend('licensed', async ({ scope, tenant }) => {
    const { license } = await issueFor(scope, { product: 'app' })
    return { path: `/v1/integration/licenses/${license.key}/validate`, apiKey: tenant.apiKey }
  })

type Line = { readonly level: string; readonly message: string } & Readonly<Record<string, unknown>>

const linesOf = ({ output }: Pick<Serving, 'output'>): Line[] =>
  output.said
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Line)

/** Sends all but the last byte of a request; the returned function sends that, and resolves with the answer. */
async function begin(url: string, path: string, apiKey: string): Promise<() => Promise<string>> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  await new Promise<void>((done) => socket.once('connect', done))
  socket.write(
    `POST ${path} HTTP/1.1\r\nHost: ${hostname}\r\nX-API-Key: ${apiKey}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{`,
  )
  return () =>
    new Promise((done, fail) => {
      let answer = ''
      socket.on('data', (chunk) => {
        answer += chunk.toString()
      })
      socket.on('close', () => done(answer)).on('error', fail)
      socket.write('}')
    })
}

test.for(['exception', 'rejection'])(
  'an uncaught %s is logged, requests in flight are answered, and the process exits with 70',
  async (kind, { runtimeOnly, licensed }) => {
    const server = await startServe({ ...runtimeOnly, PLANT: kind }, ['--import', THROW_ON_SIGNAL])
    const { path, apiKey } = licensed
    const headers = { 'X-API-Key': apiKey }
    await fetch(server.url + path, { method: 'POST', headers })
    const finish = await begin(server.url, path, apiKey)
    // the request has arrived when a later one is answered
    await fetch(`${server.url}/healthz`)
    server.child.kill('SIGUSR2')
    await eventually(() => linesOf(server).some(({ message }) => message === 'stopping'))
    const answer = await finish()

    expect(await server.ended).toBe(70)
    expect(answer).toMatch(/^HTTP\/1.1 200 .*"valid":true/s)
    expect(linesOf(server)).toMatchObject([
      { message: 'listening' },
      { level: 'error', message: 'unexpected error: stopping', error: { message: 'planted' } },
      { message: 'stopping' },
      { message: 'stopped', clean: true },
    ])
  },
)

/** Stands between a server and its database, and can be away for a while. */
async function openGate(target: string) {
  const { hostname, port } = new URL(target)
  const socketPath = new URL(target).searchParams.get('socket')
  const sockets = new Set<Socket>()
  const gate = createServer((client) => {
    const server = socketPath ? connect(socketPath) : connect(Number(port), hostname)
    for (const socket of [client, server]) {
      sockets.add(socket)
      socket
        .on('error', () => {})
        .on('close', () => {
          sockets.delete(socket)
          client.destroy()
          server.destroy()
        })
    }
    client.pipe(server).pipe(client)
  })
  const open = (at: number) => new Promise<void>((done) => gate.listen(at, '127.0.0.1', done))
  await open(0)
  const bound = (gate.address() as { port: number }).port
  const close = () =>
    new Promise<void>((done) => {
      gate.close(() => done())
      for (const socket of sockets) socket.destroy()
    })
  return { port: bound, open: () => open(bound), close }
}

test('an outage of the database is one line when it begins, and one when it ends', async ({
  runtimeOnly,
  licensed: { path, apiKey },
}) => {
  const direct = runtimeOnly.VALIDONX_RUNTIME_URL ?? ''
  const gate = await openGate(direct)
  const url = new URL(direct)
  const through = `mysql://${url.username}:${url.password}@127.0.0.1:${gate.port}`
  const server = await startServe({ ...runtimeOnly, VALIDONX_RUNTIME_URL: through })
  const validate = async () => {
    const headers = { 'X-API-Key': apiKey }
    const { status } = await fetch(server.url + path, { method: 'POST', headers })
    return status
  }
  expect(await validate()).toBe(200)
  await gate.close()
  await eventually(validate, (status) => status === 503)
  const during = []
  for (let request = 0; request < 20; request += 1) during.push(await validate())
  await gate.open()
  await eventually(validate, (status) => status === 200)
  const last = await eventually(
    () => linesOf(server).at(-1),
    (line) => line?.message === 'the database is back',
  )
  server.child.kill('SIGTERM')

  expect(during).toEqual(during.map(() => 503))
  expect(await server.ended).toBe(0)
  expect(linesOf(server).map(({ message }) => message)).toEqual([
    'listening',
    'the database is away: requests and work that need it fail',
    'the database is back',
    'stopping',
    'stopped',
  ])
  expect(last?.failures).toBeGreaterThanOrEqual(20)
  expect(server.output.said).not.toContain('"stack"')
})

test('a wrong address to listen on is named rightly', async ({ runtimeOnly }) => {
  const results = []
  for (const host of ['192.0.2.1', 'nohost.invalid', '127.0.0.1:80'])
    results.push(
      (async () => {
        const { ended, output } = startBin({ ...runtimeOnly, VALIDONX_PORT: '0' }, [
          'serve',
          '--host',
          host,
        ])
        return [host, await ended, /\[([A-Z_.]+)\]/.exec(output.said)?.[1]]
      })(),
    )

  expect(await Promise.all(results)).toEqual([
    ['192.0.2.1', 78, 'SERVER.ADDRESS_FOREIGN'],
    ['nohost.invalid', 78, 'SERVER.ADDRESS_UNKNOWN'],
    ['127.0.0.1:80', 78, 'SERVER.ADDRESS_UNKNOWN'],
  ])
})

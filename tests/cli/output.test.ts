import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect } from 'vitest'
import { createUser } from '../../src/core/identity/create-user.js'
import { listTokens } from '../../src/core/identity/token-store.js'
import { getTenant } from '../../src/core/tenants/tenant-store.js'
import { databaseOf, ledgerOf, type PlainMigration, withMigrations } from '../support/fleet.js'
import { freshSlug, test as house, provisionFleet } from '../support/house.js'
import { type Environment, freshWord } from '../support/platform.js'
import { ROOT } from '../support/source-files.js'

const BIN = join(ROOT, 'bin/validonx.js')
const STACK = /\n\s+at |Unhandled|node:internal/

type End = { readonly status: number | null; readonly out: string; readonly said: string }

/** Runs the built program by a shell, which points its streams elsewhere: `run` is the program with its arguments. */
const shell = (environment: Environment, script: string, argv: readonly string[]): Promise<End> =>
  new Promise((done, fail) => {
    const run = `"$NODE" "$BIN" ${argv.map((word) => `'${word}'`).join(' ')}`
    const child = spawn('bash', ['-c', script.replace('run', run)], {
      env: { PATH: process.env.PATH ?? '', NODE: process.execPath, BIN, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let [out, said] = ['', '']
    child.stdout.on('data', (chunk: Buffer) => {
      out += chunk
    })
    child.stderr.on('data', (chunk: Buffer) => {
      said += chunk
    })
    child.once('error', fail)
    child.once('close', (status) => done({ status, out, said }))
  })

const test = house.extend('user', async ({ ctx }) => {
  const email = `${freshWord()}@example.com`
  return createUser(ctx, { email, name: 'P', password: 'a password for this test' })
})

/** A shell's ways to a stdout that can't be written. */
const BROKEN = [
  ['a full disk', 'run > /dev/full', 'no space left'],
  ['a closed descriptor', 'run >&-', 'closed or discarded'],
  ['the null device', 'run > /dev/null', 'closed or discarded'],
  // as Node's "ignore" and Python's DEVNULL open it
  ['the null device, readable too', 'run 1<> /dev/null', 'closed or discarded'],
  // the reader is gone before the key is written
  ['a pipe without a reader', 'exec 3> >(exec 0<&-); wait $!; run >&3; exit $?', 'reader has left'],
] as const

describe('a secret that could not be shown', () => {
  test.for(BROKEN)(
    'is revoked, and an old key is left as it was: %s',
    async ([, script, reason], { environment, ctx, tenant, user }) => {
      const before = await ctx.platform('api_keys').where({ revoked_at: null }).orderBy('id')
      const created = ['apikey', 'create', '--tenant', tenant.slug, '--name', 'lost']
      const rotated = ['apikey', 'rotate', '--tenant', tenant.slug, '--grace', '0', '--yes']
      const token = ['token', 'create', '--user', user.email]
      for (const argv of [created, [...created, '--json'], rotated, token]) {
        const { status, out, said } = await shell(environment, script, argv)

        expect([status, out], argv.join(' ')).toEqual([74, ''])
        expect(said).toContain('OUTPUT.SECRET_NOT_SHOWN')
        expect(said).toContain(reason)
        expect(said).not.toMatch(STACK)
      }
      expect(await ctx.platform('api_keys').where({ revoked_at: null }).orderBy('id')).toEqual(
        before,
      )
      expect(await listTokens(ctx.platform, ctx.config.tokenableUser, user.id)).toEqual([])
    },
  )

  test.for(BROKEN.slice(0, 3))(
    'of a new tenant is replaced by the next run: %s',
    async ([, script], { environment, ctx, cli }) => {
      const slug = freshSlug()
      const lost = await shell(environment, script, ['tenant', 'provision', slug])
      const { id, status } = await getTenant(ctx.platform, slug)
      const live = await ctx.platform('api_keys').where({ tenant_id: id, revoked_at: null })
      const again = await cli('tenant', 'provision', slug, '--json')
      const third = await cli('tenant', 'provision', slug, '--json')

      expect([lost.status, status, live]).toEqual([74, 'active', []])
      expect(lost.said).not.toMatch(STACK)
      expect(JSON.parse(again.out)).toMatchObject({
        outcome: 'resumed',
        api_key: { secret: expect.stringMatching(/^vx_/) },
      })
      expect(JSON.parse(third.out)).toMatchObject({ outcome: 'unchanged' })
    },
  )

  test('is revoked if a file took only part of it', async ({ environment, ctx, tenant }) => {
    const path = join(await mkdtemp(join(tmpdir(), 'validonx-output-')), 'out')
    const argv = ['apikey', 'create', '--tenant', tenant.slug, '--name', 'cut']
    // 1 KiB is the most that the file may hold, and all but 20 bytes are there already
    const script = `printf '%1004s' > '${path}'; ulimit -f 1; run >> '${path}'`
    const { status, said } = await shell(environment, script, argv)

    expect((await readFile(path)).length).toBe(1024)
    expect([status, said]).toEqual([74, expect.stringContaining('OUTPUT.SECRET_NOT_SHOWN')])
    const live = await ctx.platform('api_keys').where({ name: 'cut', revoked_at: null })
    expect(live).toEqual([])
  })
})

test('a shown key stays valid if the owner cannot be looked up after it', async ({
  cli,
  ctx,
  user,
  provisioner,
}) => {
  const slug = freshSlug()
  // what provisioning never reads, and the reminder of a missing password does
  const users = `${ctx.config.platformDatabase}.users`
  await provisioner.run(`alter table ${users} rename column password to hidden`)
  const { out, exit } = await cli(
    'tenant',
    'provision',
    slug,
    '--owner-email',
    user.email,
    '--json',
  )
  await provisioner.run(`alter table ${users} rename column hidden to password`)

  const { id } = await getTenant(ctx.platform, slug)
  const live = await ctx.platform('api_keys').where({ tenant_id: id, revoked_at: null })
  expect([exit, live]).toEqual([0, [expect.objectContaining({ id: JSON.parse(out).api_key.id })]])
})

describe('a result that cannot be written', () => {
  const RESULTS = [
    ['--version'],
    ['--help'],
    ['apikey', 'create', '--help'],
    ['plan', 'list'],
    ['plan', 'list', '--json'],
    ['config'],
    ['audit', 'export'],
    ['doctor'],
    ['tenant', 'migrate', '--check'],
  ] as const

  test.for(RESULTS)(
    'ends %s with 74 and no stack on a full disk',
    async (argv, { environment }) => {
      const { status, said } = await shell(environment, 'run > /dev/full', argv)

      expect([status, said]).toEqual([74, expect.stringContaining('OUTPUT.NOT_WRITTEN')])
      expect(said).not.toMatch(STACK)
    },
  )

  test.for([
    ['run >&-', ['plan', 'list'], 0],
    ['run > /dev/null', ['plan', 'list'], 0],
    ['run 2>&-', ['plan', 'list'], 0],
    ['run 2> /dev/full', ['plan', 'list'], 0],
    ['run 2>&-', ['tenant', 'show', 'nobody'], 66],
    ['run 2> /dev/full', ['tenant', 'show', 'nobody'], 66],
    ['run >&- 2>&-', ['tenant', 'show', 'nobody'], 66],
    ['run > /dev/full 2> /dev/full', ['plan', 'list'], 74],
    ['run 2> /dev/full', ['--nope'], 64],
    ['run 2> /dev/full', ['audit', 'export', '--format', 'csv'], 74],
  ] as const)(
    '%s keeps the status of %s: %i',
    async ([script, argv, expected], { environment }) => {
      const { status, out, said } = await shell(environment, script, argv)

      expect([status, said]).toEqual([expected, ''])
      if (expected === 0 && !script.startsWith('run >')) expect(out).not.toBe('')
    },
  )

  test('does not stop a rollout between its tenants', async ({ environment, ctx, provisioner }) => {
    const slugs = await provisionFleet(ctx, 2)
    const widgets: PlainMigration = {
      name: '20991201-01-widgets',
      up: ['create table widgets (id int not null primary key) engine = InnoDB'],
      down: ['drop table widgets'],
    }
    const { status, said } = await shell(
      { ...environment, ...withMigrations([widgets]) },
      // the reader takes the plan and leaves
      'run | head -n 1 > /dev/null; exit $PIPESTATUS',
      ['tenant', 'migrate', ...slugs, '--json'],
    )

    expect([0, 141]).toContain(status)
    expect(said).not.toMatch(STACK)
    for (const slug of slugs)
      expect(await ledgerOf(provisioner, databaseOf(ctx, slug))).toMatchObject({
        [widgets.name]: 1,
      })
  })

  test.for(['2> /dev/full', '2>&-'])(
    'does not stop serve, whose log it is (%s)',
    async (broken, { environment, onTestFinished }) => {
      const port = await freePort()
      const child = spawn('bash', ['-c', `exec "$NODE" "$BIN" serve --port ${port} ${broken}`], {
        env: { PATH: process.env.PATH ?? '', NODE: process.execPath, BIN, ...environment },
        stdio: 'ignore',
      })
      const ended = new Promise((done) => child.once('exit', done))
      onTestFinished(() => void child.kill('SIGKILL'))
      const statusOf = async () =>
        (await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined))?.status

      await expect.poll(statusOf, { timeout: 60_000, interval: 100 }).toBe(200)
      child.kill('SIGTERM')
      expect(await ended).toBe(0)
    },
  )
})

/** A port that nothing listens on. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return port
}

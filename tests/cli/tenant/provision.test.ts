import { describe, expect } from 'vitest'
import { newAppKey } from '../../../src/core/crypto/keyring.js'
import { parseDatabaseUrl } from '../../../src/core/db/server-address.js'
import { quoteName, quoteUser } from '../../../src/core/db/sql.js'
import { suspendTenant } from '../../../src/core/tenants/change-status.js'
import { getTenant } from '../../../src/core/tenants/tenant-store.js'
import { CountingProxy, through } from '../../support/counting-proxy.js'
import { freshSlug, runCli, test } from '../../support/house.js'

describe('tenant provision', () => {
  test('makes a tenant, prints its key once on stdout and the stages on stderr', async ({
    cli,
    ctx,
  }) => {
    const slug = freshSlug()

    const { out, said, exit } = await cli(
      'tenant',
      'provision',
      slug,
      '--plan',
      'pro',
      '--owner-email',
      'ada@example.com',
    )

    expect(exit).toBe(0)
    expect(out).toMatch(/^api key {3}vx_[0-9A-Za-z]{39}$/m)
    expect(said.match(/^✓ [ 1]\d\/12 /gm)).toHaveLength(12)
    expect(said).not.toMatch(/vx_[0-9A-Za-z]{39}/)
    const tenant = await getTenant(ctx.platform, slug)
    const owners = await ctx
      .platform('tenant_users')
      .join('users', 'users.id', 'user_id')
      .where({ tenant_id: tenant.id })
      .select('email', 'role')
    expect(owners).toEqual([{ email: 'ada@example.com', role: 'owner' }])
  })

  test('with --json prints one object and nothing else', async ({ cli }) => {
    const slug = freshSlug()

    const { out, said, exit } = await cli('tenant', 'provision', slug, '--json')

    expect([exit, said, out.trim().split('\n').length]).toEqual([0, '', 1])
    expect(JSON.parse(out)).toMatchObject({
      outcome: 'provisioned',
      tenant: { slug, status: 'active', plan: 'starter' },
      api_key: { secret: expect.stringMatching(/^vx_/) },
    })
  })

  test('of an open tenant changes nothing, says so, and shows no key', async ({
    cli,
    ctx,
    tenant,
  }) => {
    const before = await ctx.platform('audit_logs').max({ id: 'id' })

    const { out, exit } = await cli('tenant', 'provision', tenant.slug, '--json')

    expect(exit).toBe(0)
    expect(JSON.parse(out)).toMatchObject({ outcome: 'unchanged', tenant: { slug: tenant.slug } })
    expect(JSON.parse(out)).not.toHaveProperty('api_key')
    expect(await ctx.platform('audit_logs').max({ id: 'id' })).toEqual(before)
  })

  test('never opens a suspended tenant', async ({ cli, ctx, tenant }) => {
    await suspendTenant(ctx, { slug: tenant.slug })

    const { said, exit } = await cli('tenant', 'provision', tenant.slug)

    expect([exit, said]).toEqual([65, expect.stringContaining('TENANT.STATUS.SUSPENDED')])
    expect((await getTenant(ctx.platform, tenant.slug)).status).toBe('suspended')
  })

  test('refuses options that contradict what is registered', async ({ cli, tenant }) => {
    const plan = await cli('tenant', 'provision', tenant.slug, '--plan', 'pro')
    const name = await cli('tenant', 'provision', tenant.slug, '--name', 'Another')

    expect([plan.exit, name.exit]).toEqual([65, 65])
    expect(plan.said).toContain('TENANT.DIFFERS')
  })

  test.for([
    ['', 'empty'],
    ['a', 'too short'],
    ['a'.repeat(41), 'too long'],
    ['Acme', 'upper case'],
    ['acme_west', 'an underscore'],
    ['-acme', 'a hyphen first'],
    ['acme-', 'a hyphen last'],
    ['acme--west', 'two hyphens'],
    ['1acme', 'a digit first'],
    ['ac me', 'a blank'],
    ['acmé', 'an accent'],
    ['аcme', 'a Cyrillic letter'],
    ['acme\u0000', 'a null byte'],
    ["acme'; drop database mysql; --", 'SQL'],
    ['acme`', 'a backtick'],
    ['../../etc', 'a path'],
    ['template', 'a reserved name'],
    ['admin', 'a reserved name'],
    ['💥', 'an emoji'],
  ])('refuses the slug "%s": %s', async ([slug = ''], { cli, ctx, environment, provisioner }) => {
    const databases = () =>
      provisioner.rows(
        'select schema_name from information_schema.schemata where locate(?, schema_name) = 1',
        [environment.VALIDONX_TENANT_PREFIX],
      )
    const before = [await ctx.platform('tenants').pluck('slug'), await databases()]

    const { said, exit, out } = await cli('tenant', 'provision', '--', slug)

    expect([exit, out]).toEqual([65, ''])
    expect(said).toMatch(/slug: (must|is)/)
    expect([await ctx.platform('tenants').pluck('slug'), await databases()]).toEqual(before)
  })

  test('names the plans there are when it is given another, and registers nothing', async ({
    cli,
    ctx,
  }) => {
    const slug = freshSlug()

    const { said, exit } = await cli('tenant', 'provision', slug, '--plan', 'platinum')

    expect(exit).toBe(65)
    expect(said).toContain('starter, pro, enterprise')
    expect(await ctx.platform('tenants').where({ slug }).pluck('id')).toEqual([])
  })

  test('says which servers there are to look at when it is given another', async ({ cli }) => {
    const { said, exit } = await cli('tenant', 'provision', freshSlug(), '--server', 'mars-1')

    expect([exit, said]).toEqual([66, expect.stringContaining('validonx server list')])
  })

  test("leaves a stranger's database alone, names it, and goes on once it is gone", async ({
    cli,
    ctx,
    provisioner,
    environment,
  }) => {
    const slug = freshSlug()
    const database = quoteName(`${environment.VALIDONX_TENANT_PREFIX}${slug}`)
    await provisioner.run(`create database ${database}`)

    const empty = await cli('tenant', 'provision', slug)
    const again = await cli('tenant', 'provision', slug)
    await provisioner.run(
      `create table ${database}.payroll (id int primary key); insert into ${database}.payroll values (1)`,
    )
    const full = await cli('tenant', 'provision', slug)
    const kept = await provisioner.rows(`select id from ${database}.payroll`)
    const listed = await cli('tenant', 'list', '--status', 'failed', '--json')
    await provisioner.run(`drop database ${database}`)
    const done = await cli('tenant', 'provision', slug)

    for (const { exit, said } of [empty, again, full]) {
      expect([exit, said]).toEqual([73, expect.stringContaining('PROVISIONING.DATABASE_TAKEN')])
    }
    expect(kept).toEqual([{ id: 1 }])
    expect(listed.out).toContain(`"slug":"${slug}"`)
    expect(done.exit).toBe(0)
    expect((await getTenant(ctx.platform, slug)).status).toBe('active')
  })

  test('refuses a database user that holds more than it should', async ({
    cli,
    ctx,
    provisioner,
  }) => {
    const slug = freshSlug()
    await ctx.platform.raw('select 1')
    const stranger = await provisionHalfWay(cli, provisioner, slug)
    const { said, exit } = await cli('tenant', 'provision', slug)

    expect([exit, said]).toEqual([70, expect.stringContaining('PROVISIONING.GRANTS_WRONG')])
    await provisioner.run(`revoke select on ${stranger.other}.* from ${stranger.user}`)
    expect((await cli('tenant', 'provision', slug)).exit).toBe(0)
  })
})

/** A tenant whose provisioning stopped before its database was made, and whose user has a leftover grant. */
async function provisionHalfWay(
  cli: (...argv: string[]) => Promise<{ exit: number; out: string }>,
  provisioner: { run(sql: string): Promise<unknown> },
  slug: string,
) {
  const first = JSON.parse((await cli('tenant', 'provision', `${slug}-other`, '--json')).out) as {
    tenant: { database: string }
  }
  const prefix = first.tenant.database.slice(0, -`${slug}_other`.length)
  await provisioner.run(`create database ${quoteName(prefix + slug)}`)
  await cli('tenant', 'provision', slug)
  await provisioner.run(`drop database ${quoteName(prefix + slug)}`)
  const shown = JSON.parse((await cli('tenant', 'show', slug, '--json')).out) as {
    database_user: string
  }
  const user = quoteUser(shown.database_user, '%')
  const other = quoteName(first.tenant.database)
  await provisioner.run(
    `create user if not exists ${user} identified by 'Left-0ver-pass'; grant select on ${other}.* to ${user}`,
  )
  return { user, other }
}

describe('what keeps a command from working is said in a sentence', () => {
  const without = (environment: Readonly<Record<string, string>>, name: string) =>
    Object.fromEntries(Object.entries(environment).filter(([key]) => key !== name))

  test('no server at the address', async ({ environment }) => {
    const { exit, said } = await runCli(
      { ...environment, VALIDONX_DATABASE_URL: 'mysql://root:hunter2@127.0.0.1:1' },
      ['tenant', 'list'],
    )
    expect([exit, said]).toEqual([69, expect.stringContaining('127.0.0.1:1')])
    expect(said).not.toContain('hunter2')
  })

  test('a wrong password', async ({ environment }) => {
    const url = new URL(environment.VALIDONX_DATABASE_URL ?? '')
    url.password = 'hunter2'
    url.username = 'nobody_here'
    const { exit, said } = await runCli({ ...environment, VALIDONX_DATABASE_URL: url.href }, [
      'init',
    ])
    expect([exit, said]).toEqual([77, expect.stringContaining("'nobody_here'@")])
    expect(said).not.toContain('hunter2')
  })

  test('no application key, a short one', async ({ environment }) => {
    const missing = await runCli(without(environment, 'VALIDONX_APP_KEY'), ['tenant', 'list'])
    const short = await runCli({ ...environment, VALIDONX_APP_KEY: newAppKey().slice(0, 20) }, [
      'tenant',
      'list',
    ])
    expect([missing.exit, short.exit]).toEqual([78, 78])
    expect(missing.said).toContain('CONFIG.APP_KEY_MISSING')
    expect(short.said).toContain('VALIDONX_APP_KEY must be 32 bytes')
  })

  test('no platform yet', async ({ environment }) => {
    const { exit, said } = await runCli(
      { ...environment, VALIDONX_PLATFORM_DATABASE: 'vxp_not_there' },
      ['tenant', 'list'],
    )
    expect([exit, said]).toEqual([78, expect.stringContaining('validonx init')])
  })

  test('production without a database', async () => {
    const { exit, said } = await runCli({ NODE_ENV: 'production' }, ['tenant', 'list'])
    expect([exit, said]).toEqual([78, expect.stringContaining('CONFIG.DATABASE_MISSING')])
  })

  test('a remote server without TLS', async ({ environment }) => {
    // over TCP: a unix socket needs no TLS
    const { address } = parseDatabaseUrl(environment.VALIDONX_DATABASE_URL ?? '', {})
    await using proxy = await CountingProxy.open(address)
    const overTcp = address.socketPath === undefined ? environment : through(proxy, environment)
    const { exit, said } = await runCli({ ...overTcp, VALIDONX_DATABASE_TLS: 'verify' }, [
      'tenant',
      'list',
    ])
    expect([exit, said]).toEqual([69, expect.stringContaining('DATABASE.TLS_REFUSED')])
  })

  test('usage: an unknown command, option, and a missing argument', async ({ cli }) => {
    const runs = [
      await cli('tenant', 'provisoin'),
      await cli('tenant', 'list', '--loud'),
      await cli('tenant', 'provision'),
      await cli('tenant'),
    ]
    for (const { exit, out, said } of runs) {
      expect([exit, out]).toEqual([64, ''])
      expect(said).not.toBe('')
    }
    expect(runs[0]?.said).toContain('Did you mean provision?')
  })

  test('a question that nobody can answer', async ({ cli, tenant }) => {
    const asked = await cli('tenant', 'suspend', tenant.slug)
    const flagged = await cli('tenant', 'suspend', tenant.slug, '--yes')
    expect([asked.exit, asked.said]).toEqual([64, expect.stringContaining('--yes')])
    expect([flagged.exit, flagged.out.trim()]).toEqual([0, `${tenant.slug} is suspended`])
  })
})

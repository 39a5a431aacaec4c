import { describe, expect } from 'vitest'
import { quoteName, quoteUser } from '../../../src/core/db/sql.js'
import { examineFleet } from '../../../src/core/fleet/examine-fleet.js'
import { scratchPrefix } from '../../../src/core/fleet/expected-changes.js'
import type { FleetHealth } from '../../../src/core/fleet/health.js'
import { mend, planMendings } from '../../../src/core/fleet/mend-fleet.js'
import { ensureTemplate } from '../../../src/core/fleet/template.js'
import { newId } from '../../../src/core/ids.js'
import { FIRST_SERVER } from '../../../src/core/servers/database-server.js'
import { getServerByName } from '../../../src/core/servers/database-server-store.js'
import { getTenant } from '../../../src/core/tenants/tenant-store.js'
import { addMigrations, databaseOf } from '../../support/fleet.js'
import { freshSlug, test as house, provision } from '../../support/house.js'
import { openShop } from '../../support/shop.js'

const test = house.extend('sick', async ({ ctx, provisioner }) => {
  const { slug, scope, issue } = await openShop(ctx)
  const tenant = await getTenant(ctx.platform, slug)
  const at = quoteName(tenant.database)
  const account = quoteUser(tenant.databaseUser, ctx.config.tenantUserHost)
  return {
    slug,
    tenant,
    scope,
    issue,
    account,
    run: (sql: string) => provisioner.run(sql.replaceAll('@db', at).replaceAll('@user', account)),
    checks: async () => checksOf(await examineFleet(ctx, { slugs: [slug] })),
  }
})

const checksOf = ({ tenants }: FleetHealth) =>
  tenants.flatMap(({ findings }) => findings.map(({ check }) => check))

describe('a tenant', () => {
  test('that was provisioned is well, with its size and its last request', async ({
    ctx,
    tenant,
  }) => {
    const health = await examineFleet(ctx, { slugs: [tenant.slug] })

    expect(health).toMatchObject({
      isHealthy: true,
      tenants: [{ slug: tenant.slug, status: 'active', findings: [] }],
      drift: [{ differences: [], tenants: [tenant.slug] }],
    })
    expect(health.tenants[0]?.size).toBeGreaterThan(100_000)
  })

  test.for([
    ['a missing column', 'alter table @db.outbox drop column request_id', ['drift'], []],
    ['a missing table', 'drop table @db.usage_snapshots', ['drift'], []],
    ['an extra index', 'create index extra on @db.products (id)', ['drift'], []],
    ['another’s mark', `update @db.validonx_owner set tenant_id = '${newId()}'`, ['owner'], []],
    ['a lost mark', 'delete from @db.validonx_owner', ['owner'], []],
    [
      'a lost setting',
      "delete from @db.settings where name = 'licenses.trial_days'",
      ['settings'],
      ['add missing defaults'],
    ],
    ['lost branding', 'delete from @db.branding', ['branding'], ['add missing defaults']],
    [
      'a lost entitlement',
      "delete from @db.entitlements where code = 'products.max'",
      ['entitlements'],
      ['add missing defaults'],
    ],
    [
      'a lost counter',
      "delete from @db.usage_counters where code = 'products.max'",
      ['usage counters'],
      ['add missing defaults'],
    ],
    [
      'a bent counter',
      `insert into @db.usage_counters (id, code, subject, period_start, period_end, value, created_at, updated_at) values ('${newId()}', 'exports', '${newId()}', '2026-01-01', '2026-02-01', 3, now(), now())`,
      ['usage counters'],
      ['rebuild usage'],
    ],
    ['a right too many', 'grant create on @db.* to @user', ['grants'], ['grant again']],
    ['a right elsewhere', 'grant select on mysql.* to @user', ['grants'], ['grant again']],
    ['another password', "alter user @user identified by 'another'", ['login'], ['grant again']],
    ['no user', 'drop user @user', ['login'], ['grant again']],
  ] as const)(
    'with %s is not, and is mended where that is safe',
    async ([, break_, checks, remedies], { ctx, sick }) => {
      ctx.tenantDatabases.close(sick.tenant.id)
      await sick.run(break_)
      const health = await examineFleet(ctx, { slugs: [sick.slug] })
      const mendings = planMendings(health)
      for (const mending of mendings) await mend(ctx, mending)

      expect(checksOf(health)).toEqual(checks)
      expect(mendings.map(({ remedy, of }) => [remedy, of])).toEqual(
        remedies.map((remedy) => [remedy, sick.slug]),
      )
      expect(await sick.checks()).toEqual(remedies.length > 0 ? [] : checks)
    },
  )

  test('with a migration pending, without a key, without a database, or stuck is not', async ({
    ctx,
    sick,
    tenant,
  }) => {
    const remove = addMigrations([
      { name: '20991201-01-x', up: ['create table x (id int)'], down: ['drop table x'] },
    ])
    const pending = await sick.checks()
    remove()
    await ctx
      .platform('api_keys')
      .where({ tenant_id: sick.tenant.id })
      .update({ revoked_at: ctx.now() })
    const keyless = await sick.checks()
    ctx.tenantDatabases.close(sick.tenant.id)
    await sick.run('drop database @db')
    const gone = await sick.checks()
    const { id } = await getTenant(ctx.platform, tenant.slug)
    await ctx
      .platform('tenants')
      .where({ id })
      .update({ status: 'provisioning', created_at: new Date(0) })
    const stuck = checksOf(await examineFleet(ctx, { slugs: [tenant.slug] }))

    expect(pending).toContain('schema')
    expect(keyless).toEqual(['api key'])
    expect(gone).toEqual(['database', 'api key'])
    expect(stuck).toEqual(['provisioning'])
  })
})

/** What of an advice can be pasted: the command that it is, or ends with. */
const commandIn = (next: string): string | undefined =>
  /(?:^|: )((?:validonx|show create table|drop|grant) .*)$/.exec(next)?.[1]

describe('advice', () => {
  const PENDING = {
    name: '20991201-01-x',
    up: ['create table x (id int) engine = InnoDB'],
    down: ['drop table x'],
  }

  test.for([
    ['settings', "delete from @db.settings where name = 'licenses.trial_days'"],
    [
      'usage counters',
      `insert into @db.usage_counters (id, code, subject, period_start, period_end, value, created_at, updated_at) values ('${newId()}', 'exports', '${newId()}', '2026-01-01', '2026-02-01', 3, now(), now())`,
    ],
    ['grants', 'grant create on @db.* to @user'],
    ['login', 'drop user @user'],
    ['api key', "update @platform.api_keys set revoked_at = now() where tenant_id = '@id'"],
    ['knex lock', 'update @db.knex_migrations_lock set is_locked = 1'],
    ['schema', undefined],
  ] as const)('on %s mends it when it is pasted', async ([check, break_], { ctx, sick, cli }) => {
    ctx.tenantDatabases.close(sick.tenant.id)
    const remove = break_ === undefined ? addMigrations([PENDING]) : () => {}
    if (break_ !== undefined)
      await sick.run(
        break_
          .replace('@platform', quoteName(ctx.config.platformDatabase))
          .replace('@id', sick.tenant.id),
      )
    const health = await examineFleet(ctx, { slugs: [sick.slug] })
    const found = health.tenants[0]?.findings.find((finding) => finding.check === check)
    const [program, ...argv] = (commandIn(found?.next ?? '') ?? '').split(' ')
    const run = await cli(...argv, ...(argv.includes('--fix') ? ['--yes'] : []))
    ctx.tenantDatabases.close(sick.tenant.id)
    const after = await sick.checks()
    remove()
    // the other tests compare with the template of this version
    const server = await getServerByName(ctx.platform, FIRST_SERVER)
    await ensureTemplate(ctx, ctx.platform, server)

    expect([program, run.exit]).toEqual(['validonx', 0])
    expect(after).not.toContain(check)
  })

  test.for([
    ['a missing table', 'drop table @db.usage_snapshots', ['drift']],
    ['a missing table that is asked for', 'drop table @db.usage_counters', ['schema', 'drift']],
    ['another column', 'alter table @db.licenses modify customer_name varchar(10) null', ['drift']],
    ['an extra table', 'create table @db.mine (id int) engine = InnoDB', ['drift']],
    ['a lost ledger', 'drop table @db.knex_migrations', ['schema', 'drift']],
    ['a lost mark', 'delete from @db.validonx_owner', ['owner']],
  ] as const)(
    'on %s tells a person what to do, and no command that does nothing',
    async ([, break_, checks], { ctx, sick, provisioner, cli }) => {
      ctx.tenantDatabases.close(sick.tenant.id)
      await sick.run(break_)
      const { exit, out } = await cli('tenant', 'health', sick.slug, '--json')
      const findings: { check: string; says: string; next: string }[] =
        JSON.parse(out).tenants[0].findings

      expect(exit).toBe(1)
      expect(findings.map(({ check }) => check)).toEqual(checks)
      for (const { next } of findings) {
        expect(next).not.toContain('validonx tenant')
        const sql = commandIn(next)
        if (sql !== undefined) expect(await provisioner.rows(sql)).toHaveLength(1)
      }
    },
  )

  test('on a changed column shows both definitions', async ({ sick, cli }) => {
    await sick.run('alter table @db.licenses modify customer_name varchar(10) null')
    const { out } = await cli('tenant', 'health', sick.slug)

    expect(out).toMatch(
      /drift: different column licenses\.customer_name: varchar\(10\) .*; the template has varchar\(\d+\) /,
    )
  })

  test('on a lost database takes the tenant out of the fleet', async ({ ctx, sick, cli }) => {
    ctx.tenantDatabases.close(sick.tenant.id)
    await sick.run('drop database @db')
    const lost = await cli('tenant', 'migrate', sick.slug)
    const shown = /"validonx (tenant health [^"]+)"/.exec(lost.said)?.[1]?.split(' ') ?? []
    const health = await cli(...shown, '--json')
    const { next } = JSON.parse(health.out).tenants[0].findings[0]
    const [, ...argv] = (commandIn(next) ?? '').split(' ')
    const archived = await cli(...argv, '--yes')
    const after = await cli('tenant', 'migrate', sick.slug)

    expect(next).toMatch(/^restore it from a backup; if it is lost for good: validonx /)
    expect([lost, health, archived, after].map(({ exit }) => exit)).toEqual([1, 1, 0, 0])
  })

  test('on a lost database or ledger is given by rollouts too, with the slug', async ({
    sick,
    tenant,
    provisioner,
    ctx,
    cli,
  }) => {
    ctx.tenantDatabases.close(sick.tenant.id)
    await sick.run('drop database @db')
    await provisioner.run(`drop table ${quoteName(databaseOf(ctx, tenant.slug))}.knex_migrations`)
    const lost = await cli('tenant', 'migrate', sick.slug, tenant.slug)

    expect(lost.exit).toBe(1)
    expect(lost.said).toContain(
      `${sick.slug}: The database of tenant "${sick.slug}" cannot be opened.`,
    )
    expect(lost.said).toContain(`"validonx tenant health ${sick.slug}" shows why.`)
    expect(lost.said).toContain(
      `${tenant.slug}: The database of "${tenant.slug}" has no table knex_migrations`,
    )
  })
})

describe('the fleet', () => {
  house(
    'has what belongs to nobody named, and what is scratch dropped',
    async ({ ctx, provisioner }) => {
      await provision(ctx, freshSlug())
      const { tenantPrefix } = ctx.config
      const orphan = `${tenantPrefix}nobody`
      const scratch = `${scratchPrefix(tenantPrefix)}0123456789ab`
      for (const name of [orphan, scratch])
        await provisioner.run(`create database ${quoteName(name)}`)
      const user = 'vx_0123456789abcdefghijklmno'
      await provisioner.run(
        `create user '${user}'@'%'; grant select on ${quoteName(orphan.replaceAll('_', '\\_'))}.* to '${user}'@'%'`,
      )
      await ctx.platform('leases').insert({
        name: 'tenant/dead',
        holder: 'here:1:x',
        machine: ctx.lease.holder.machine ?? null,
        pid: 999_999_999,
        generation: 1,
        acquired_at: new Date(),
        expires_at: new Date(Date.now() + 600_000),
      })
      const health = await examineFleet(ctx)
      for (const mending of planMendings(health)) await mend(ctx, mending)
      const after = await examineFleet(ctx)
      for (const { next } of after.findings) await provisioner.run(commandIn(next) ?? next)
      const atLast = await examineFleet(ctx)

      const strays = ({ findings }: FleetHealth) => findings.map(({ kind, name }) => [kind, name])
      expect(strays(health)).toEqual(
        expect.arrayContaining([
          ['orphan database', orphan],
          ['scratch database', scratch],
          ['orphan user', user],
          ['stale lease', 'tenant/dead'],
        ]),
      )
      expect(strays(after)).toEqual([
        ['orphan database', orphan],
        ['orphan user', user],
      ])
      expect(after.findings[0]?.says).toContain('has no owner marker')
      expect(strays(atLast)).toEqual([])
      for (const { kind, next } of health.findings)
        if (kind === 'scratch database' || kind === 'stale lease')
          expect(commandIn(next)).toBe('validonx tenant health --all --fix')
    },
  )

  test('is told apart by schema: so many alike, so many like this', async ({ ctx, cli, sick }) => {
    const slugs = [freshSlug(), freshSlug(), sick.slug]
    for (const slug of slugs.slice(0, 2)) await provision(ctx, slug)
    await sick.run('create index extra on @db.products (id)')
    const { exit, out } = await cli('tenant', 'health', ...slugs)
    const json = await cli('tenant', 'health', ...slugs, '--json')

    expect(exit).toBe(1)
    expect(out).toContain('schemas: 2 alike, 1 with extra index products.extra')
    expect(JSON.parse(json.out)).toMatchObject({
      healthy: false,
      drift: [
        { tenants: 2, differences: [] },
        {
          tenants: 1,
          examples: [sick.slug],
          differences: [{ object: 'index products.extra', template: null }],
        },
      ],
    })
  })

  test('--fix asks, or takes --yes, and then all is well', async ({ cli, sick }) => {
    await sick.run('delete from @db.branding')
    const asked = await cli('tenant', 'health', sick.slug, '--fix')
    const told = await cli('tenant', 'health', sick.slug, '--fix', '--yes')

    expect([asked.exit, asked.said]).toEqual([
      64,
      expect.stringContaining('USAGE.CONFIRMATION_NEEDED'),
    ])
    expect([told.exit, told.out]).toEqual([0, expect.stringContaining('1 tenant, all well.')])
  })

  test.for([
    [[], 64],
    [['--all', 'acme'], 64],
    [['nobody'], 66],
    [['--all', '--watch', 'soon'], 64],
    [['--all', '--watch', '--fix'], 64],
  ] as const)('validonx tenant health %o ends with %i', async ([argv, status], { cli }) => {
    expect((await cli('tenant', 'health', ...argv)).exit).toBe(status)
  })
})

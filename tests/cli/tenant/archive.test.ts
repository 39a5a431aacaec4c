import { describe, expect } from 'vitest'
import { quoteName } from '../../../src/core/db/sql.js'
import { createUser } from '../../../src/core/identity/create-user.js'
import { suspendTenant } from '../../../src/core/tenants/change-status.js'
import { getTenant } from '../../../src/core/tenants/tenant-store.js'
import { freshSlug, test } from '../../support/house.js'
import { freshWord } from '../../support/platform.js'

/** The last line with --json: warnings may come before it. */
const errorOf = (said: string) => JSON.parse(said.trim().split('\n').at(-1) ?? '').error
const STACK = /\n\s+at |"stack"|node:internal/

describe('a tenant that has lost its database, or a part of it', () => {
  test.for([
    ['the whole', 'drop database DB', 'does not exist'],
    ['a table', 'drop table DB.usage_events', 'lacks table "usage_events"'],
    ['the ledger', 'drop table DB.knex_migrations', 'lacks table "knex_migrations"'],
    ['the marker', 'drop table DB.validonx_owner', 'does not carry the marker'],
  ] as const)(
    'is reported by show and provision, with the next step: %s',
    async ([, statement, loss], { cli, scope, tenant: { slug }, provisioner }) => {
      await provisioner.run(statement.replace('DB', quoteName(scope.tenant.database)))

      const shown = await cli('tenant', 'show', slug)
      const json = await cli('tenant', 'show', slug, '--json')
      const again = await cli('tenant', 'provision', slug)
      const details = await cli('tenant', 'provision', slug, '--json')

      expect([shown.exit, shown.out]).toEqual([0, expect.stringContaining(loss)])
      expect(shown.out).toContain(`validonx tenant archive ${slug}`)
      expect(JSON.parse(json.out).findings[0].says).toContain(loss)
      expect([again.exit, again.out]).toEqual([70, ''])
      expect(again.said).toContain('TENANT.DATABASE_LOST')
      expect(again.said).toContain(`because: ${JSON.parse(json.out).findings[0].says}`)
      expect(again.said).toContain(`validonx tenant health ${slug}`)
      expect(errorOf(details.said).details.because).toContain(loss)
      const [database] = await provisioner.rows(
        'select 1 from information_schema.schemata where schema_name = ?',
        [scope.tenant.database],
      )
      expect(database === undefined).toBe(statement.startsWith('drop database'))
      await cli('tenant', 'archive', slug, '--yes')
    },
  )

  test('never makes a command print a stack or raw JSON', async ({
    cli,
    scope,
    tenant: { slug },
    provisioner,
  }) => {
    await provisioner.run(`drop database ${quoteName(scope.tenant.database)}`)

    const runs = [
      await cli('license', 'list', '--tenant', slug),
      await cli('billing', 'run', '--as-of', '2030-01-01', '--yes'),
    ]

    expect(runs.map(({ exit }) => exit)).toEqual([70, 1])
    for (const { said } of runs) {
      expect(said).not.toMatch(STACK)
      expect(said).not.toContain('{"time"')
      expect(said).not.toContain('audit trail')
    }
    expect(runs[0]?.said).toContain(`validonx tenant health ${slug}`)
    // the next tests have a fleet that can be billed
    await cli('tenant', 'archive', slug, '--yes')
  })
})

describe('tenant archive', () => {
  test('asks, closes the tenant to its callers, and keeps its records', async ({
    app,
    cli,
    ctx,
    scope,
    tenant: { slug, apiKey },
    provisioner,
  }) => {
    const validate = () =>
      app.request('/v1/integration/licenses/AAAA-AAAA-AAAA-AAAA/validate', {
        method: 'POST',
        headers: { 'X-API-Key': apiKey },
      })
    const before = await validate()
    const asked = await cli('tenant', 'archive', slug)
    const archived = await cli('tenant', 'archive', slug, '--yes', '--reason', 'left')
    const again = await cli('tenant', 'archive', slug, '--yes')
    const after = await expect
      .poll(async () => (await validate()).status)
      .toBe(403)
      .then(validate)

    expect([before.status, asked.exit]).toEqual([404, 64])
    expect([archived.exit, archived.out.trim(), again.exit]).toEqual([0, `${slug} is archived`, 0])
    expect(await after.json()).toMatchObject({ error: { code: 'TENANT.INVALID_STATE' } })
    const { id, statusReason } = await getTenant(ctx.platform, slug)
    expect(statusReason).toBe('left')
    const trail = await ctx
      .platform('audit_logs')
      .where({ tenant_id: id, action: 'tenant.archived' })
    expect(trail).toHaveLength(1)
    expect(
      await provisioner.rows(`select 1 from ${quoteName(scope.tenant.database)}.licenses limit 1`),
    ).toEqual([])
  })

  test('takes a tenant without a database out of migrate, health and billing', async ({
    cli,
    scope,
    tenant: { slug },
    provisioner,
  }) => {
    await provisioner.run(`drop database ${quoteName(scope.tenant.database)}`)
    const sick = await cli('tenant', 'health', '--all', '--json')
    const pending = await cli('tenant', 'migrate', '--check')
    const archived = await cli('tenant', 'archive', slug, '--yes')
    const well = await cli('tenant', 'health', '--all', '--json')
    const settled = await cli('tenant', 'migrate', '--check')
    const billed = await cli('billing', 'run', '--as-of', '2030-01-01', '--yes', '--json')
    const back = await cli('tenant', 'unarchive', slug)

    expect([pending.exit, archived.exit]).toEqual([1, 0])
    expect(sick.out).toContain(`"${slug}"`)
    expect(well.out).not.toContain(`"${slug}"`)
    expect(well.out).not.toContain('orphan')
    expect([settled.exit, settled.said]).toEqual([0, expect.not.stringContaining(slug)])
    expect(billed.out).not.toContain(`"${slug}"`)
    expect([back.exit, back.said]).toEqual([70, expect.stringContaining('DATABASE_MISSING')])
  })

  test('can be taken back, suspended, while the database is there', async ({
    cli,
    tenant: { slug },
  }) => {
    const tooEarly = await cli('tenant', 'unarchive', slug)
    await cli('tenant', 'archive', slug, '--yes')
    const provisioned = await cli('tenant', 'provision', slug)
    const back = await cli('tenant', 'unarchive', slug, '--reason', 'they came back')
    const opened = await cli('tenant', 'reinstate', slug)

    expect([tooEarly.exit, provisioned.exit]).toEqual([65, 65])
    expect(provisioned.said).toContain('is archived')
    expect([back.exit, back.out.trim()]).toEqual([0, `${slug} is suspended`])
    expect(opened.out.trim()).toBe(`${slug} is active`)
  })

  test('takes also what is suspended, or was never finished', async ({ cli, ctx, tenant }) => {
    await suspendTenant(ctx, { slug: tenant.slug })
    const unfinished = freshSlug()
    await cli('tenant', 'provision', unfinished)
    await ctx.platform('tenants').where({ slug: unfinished }).update({ status: 'failed' })

    for (const slug of [tenant.slug, unfinished])
      expect((await cli('tenant', 'archive', slug, '--yes')).exit).toBe(0)
  })

  test('waits for a provisioning that is under way, and names the tenant', async ({
    cli,
    ctx,
    tenant: { slug },
  }) => {
    const { id } = await getTenant(ctx.platform, slug)
    await ctx.platform.raw(
      "insert into leases (name, holder, machine, pid, generation, acquired_at, expires_at) values (?, 'elsewhere:1:x', 'another', 1, 1, utc_timestamp(6), timestampadd(second, 60, utc_timestamp(6))) on duplicate key update holder = values(holder), machine = values(machine), expires_at = values(expires_at)",
      [`tenant/${id}`],
    )
    const { exit, said } = await cli('tenant', 'archive', slug, '--yes')

    expect([exit, said]).toEqual([75, expect.stringContaining(`working on "${slug}"`)])
  })
})

describe('tenant provision, list and show', () => {
  test('say which plan and server a tenant has', async ({ cli }) => {
    const slug = freshSlug()
    const made = await cli('tenant', 'provision', slug, '--plan', 'pro', '--json')
    const listed = await cli('tenant', 'list')
    const rows = (await cli('tenant', 'list', '--json')).out.trim().split('\n')

    expect(JSON.parse(made.out).tenant).toMatchObject({ plan: 'pro', server: 'primary' })
    expect(listed.out).toMatch(new RegExp(`${slug} +active +pro +primary`))
    expect(rows.map((row) => JSON.parse(row)).find((row) => row.slug === slug)).toMatchObject({
      plan: 'pro',
      server: 'primary',
    })
  })

  test('say that a new owner has no password, and not so of one who has', async ({ cli, ctx }) => {
    const [unknown, known] = [`${freshWord()}@example.com`, `${freshWord()}@example.com`]
    await createUser(ctx, { email: known, name: 'Known', password: 'correct horse battery 9' })

    const first = await cli('tenant', 'provision', freshSlug(), '--owner-email', unknown)
    const second = await cli('tenant', 'provision', freshSlug(), '--owner-email', known)

    expect(first.said).toContain(`validonx user password ${unknown}`)
    expect([second.exit, second.said]).toEqual([0, expect.not.stringContaining('user password')])
  })

  test('give the cause of a stop, with --json too', async ({ cli, ctx, provisioner }) => {
    const slug = freshSlug()
    const database = `${ctx.config.tenantPrefix}${slug}`
    await cli('tenant', 'provision', slug)
    await provisioner.run(`drop table ${quoteName(database)}.branding`)
    await ctx.platform('tenants').where({ slug }).update({ status: 'failed' })
    const stopped = await cli('tenant', 'provision', slug, '--json')
    const shown = await cli('tenant', 'show', slug)

    expect(stopped.exit).toBe(70)
    const { details } = errorOf(stopped.said)
    expect(details).toMatchObject({ stage: expect.any(String), because: expect.any(String) })
    expect(details.because).toContain('branding')
    expect(shown.out).toContain('branding')
    expect(shown.out).not.toContain(`validonx tenant show ${slug}`)
  })
})

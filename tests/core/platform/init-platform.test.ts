import { describe, expect, inject, test as plain } from 'vitest'
import { planSeeds } from '../../../seeds/platform/plans.js'
import { newAppKey } from '../../../src/core/crypto/keyring.js'
import { readGrant } from '../../../src/core/db/provisioner-privileges.js'
import { quoteName, quoteText, quoteUser } from '../../../src/core/db/sql.js'
import { runCli, test } from '../../support/house.js'
import {
  dropPlatform,
  type Environment,
  freshEnvironment,
  initialize,
  open,
  openProvisioner,
} from '../../support/platform.js'

/** A platform that the test makes itself. */
async function withFresh(work: (environment: Environment) => Promise<void>): Promise<void> {
  const environment = freshEnvironment(inject('databaseUrl'))
  try {
    await work(environment)
  } finally {
    await dropPlatform(environment)
  }
}

describe('init', () => {
  plain('makes a platform, says how to serve it, and changes nothing the second time', () =>
    withFresh(async (environment) => {
      const first = await runCli(environment, ['init', '--json'])
      const second = await runCli(environment, ['init', '--json'])

      const [made, again] = [JSON.parse(first.out), JSON.parse(second.out)]
      expect([first.exit, second.exit]).toEqual([0, 0])
      expect(made).toMatchObject({ created: true, plans: ['starter', 'pro', 'enterprise'] })
      expect(made.migrations.length).toBeGreaterThan(15)
      expect(again).toMatchObject({
        created: false,
        migrations: [],
        plans: [],
        platform_id: made.platform_id,
        runtime_url: made.runtime_url,
      })
      expect(made.runtime_url).toMatch(/^mysql:\/\/vxp_/)
    }),
  )

  plain('of ten at once makes one platform', () =>
    withFresh(async (environment) => {
      const runs = await Promise.all(
        Array.from({ length: 10 }, () => runCli(environment, ['init', '--json'])),
      )

      for (const { exit, said } of runs)
        if (exit !== 0) expect([exit, said]).toEqual([75, expect.stringContaining('LEASE.HELD')])
      expect(
        runs
          .filter(({ exit }) => exit === 0)
          .map(({ out }) => JSON.parse(out).created)
          .filter(Boolean),
      ).toHaveLength(1)
      await using ctx = await open(environment)
      expect(await ctx.platform('plans').pluck('code')).toHaveLength(planSeeds.length)
      expect(
        await ctx.platform('audit_logs').where({ action: 'platform.created' }).pluck('id'),
      ).toHaveLength(1)
    }),
  )

  plain('goes on where a run ended between a table and its ledger row', () =>
    withFresh(async (environment) => {
      await initialize(environment)
      await using provisioner = openProvisioner(environment.VALIDONX_DATABASE_URL ?? '')
      const platform = quoteName(environment.VALIDONX_PLATFORM_DATABASE ?? '')
      await provisioner.run(`delete from ${platform}.knex_migrations order by id desc limit 3`)

      const outdated = await runCli(environment, ['tenant', 'list'])
      const mended = await runCli(environment, ['init', '--json'])

      expect([outdated.exit, outdated.said]).toEqual([
        78,
        expect.stringContaining('PLATFORM.OUTDATED'),
      ])
      expect(JSON.parse(mended.out).migrations).toHaveLength(3)
      await using ctx = await open(environment)
      expect(await ctx.platform('audit_logs').orderBy('id').pluck('action')).toEqual([
        'platform.created',
        'platform.migrated',
      ])
    }),
  )

  plain("leaves a stranger's database alone, and takes an empty one that was made for it", () =>
    withFresh(async (environment) => {
      await using provisioner = openProvisioner(environment.VALIDONX_DATABASE_URL ?? '')
      const platform = quoteName(environment.VALIDONX_PLATFORM_DATABASE ?? '')
      await provisioner.run(`create database ${platform}`)
      const taken = await runCli(environment, ['init'])
      await provisioner.run(`create table ${platform}.payroll (id int primary key)`)
      const refused = await runCli(freshPlatformIn(environment), ['init'])

      expect(taken.exit).toBe(0)
      expect([refused.exit, refused.said]).toEqual([
        73,
        expect.stringContaining('PLATFORM.NAME_TAKEN'),
      ])
    }),
  )

  plain('refuses another application key than the one that the platform was made with', () =>
    withFresh(async (environment) => {
      await initialize(environment)
      const changed = { ...environment, VALIDONX_APP_KEY: newAppKey() }

      const runs = [await runCli(changed, ['init']), await runCli(changed, ['tenant', 'list'])]

      for (const { exit, said } of runs) {
        expect([exit, said]).toEqual([78, expect.stringContaining('CONFIG.APP_KEY_CHANGED')])
        expect(said).not.toContain(changed.VALIDONX_APP_KEY)
      }
    }),
  )

  plain(
    'prints the GRANT statements that its login lacks, which are enough, before it makes anything',
    () =>
      withFresh(async (environment) => {
        await using provisioner = openProvisioner(environment.VALIDONX_DATABASE_URL ?? '')
        const user = `u_${environment.VALIDONX_PLATFORM_DATABASE}`
        await provisioner.run(
          `create user ${quoteUser(user, '%')} identified by ${quoteText('Weak-but-l0ng')}; grant select, insert on *.* to ${quoteUser(user, '%')}`,
        )
        const url = new URL(environment.VALIDONX_DATABASE_URL ?? '')
        url.username = user
        url.password = 'Weak-but-l0ng'

        const { exit, said } = await runCli({ ...environment, VALIDONX_DATABASE_URL: url.href }, [
          'init',
        ])

        expect(exit).toBe(77)
        expect(said).toContain('DATABASE.PRIVILEGES_MISSING')
        expect(said).not.toContain('Weak-but-l0ng')
        const databases = await provisioner.rows(
          'select 1 from information_schema.schemata where schema_name = ?',
          [environment.VALIDONX_PLATFORM_DATABASE],
        )
        expect(databases).toEqual([])

        const grants = [...said.matchAll(/^ +(GRANT .*);/gm)].map(([, statement = '']) => statement)
        expect(grants.length).toBe(3)
        for (const grant of grants) await provisioner.run(grant)
        const weak = { ...environment, VALIDONX_DATABASE_URL: url.href }
        const after = [
          await runCli(weak, ['init']),
          await runCli(weak, ['tenant', 'provision', 'acme', '--plan', 'starter']),
        ]
        await provisioner.run(`drop user ${quoteUser(user, '%')}`)
        expect(after.map((run) => [run.exit, run.said])).toEqual([
          [0, expect.anything()],
          [0, expect.anything()],
        ])
      }),
  )
})

/** The same database, for a platform that the runtime login of the first does not fit. */
const freshPlatformIn = (environment: Environment): Environment => ({ ...environment })

test('plans are those of the contract', async ({ ctx }) => {
  const { listPlans } = await import('../../../src/core/billing/plan-store.js')
  const plans = await listPlans(ctx.platform)
  const values = plans.map(({ code, priceCents, entitlements }) => [
    code,
    priceCents,
    ...[
      'products.max',
      'licenses.max',
      'activations.total',
      'activations.max',
      'api_calls.monthly',
      'webhook_endpoints.max',
    ].map((name) => entitlements.find((each) => each.code === name)?.value),
  ])

  expect(values).toEqual([
    ['starter', 0, 1, 100, 500, 10, 10_000, 1],
    ['pro', 4900, 5, null, null, 50, 100_000, 5],
    ['enterprise', undefined, null, null, null, null, null, null],
  ])
})

test('grants are read as the server means them', () => {
  expect(readGrant('GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` WITH GRANT OPTION')).toEqual({
    privileges: new Set(['ALL PRIVILEGES', 'GRANT OPTION']),
    pattern: '*',
  })
  expect(readGrant('GRANT SELECT, CREATE ON `vx\\_%`.* TO `u`@`%`')).toEqual({
    privileges: new Set(['SELECT', 'CREATE']),
    pattern: 'vx\\_%',
  })
  expect(readGrant('GRANT SELECT ON `db`.`table` TO `u`@`%`')).toBeUndefined()
  expect(readGrant('GRANT `role` TO `u`@`%`')).toBeUndefined()
})

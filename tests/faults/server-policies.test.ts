import { randomUUID } from 'node:crypto'
import { test as base, describe, expect } from 'vitest'
import type { Context } from '../../src/core/context.js'
import { affectedBy, rowsOf } from '../../src/core/db/statements.js'
import { inTransaction } from '../../src/core/db/transaction.js'
import { asAppError } from '../../src/core/errors.js'
import { enterTenant } from '../../src/core/tenants/scope.js'
import { createApp } from '../../src/server/app.js'
import { createReadiness } from '../../src/server/readiness.js'
import type { Readiness } from '../../src/server/routes/health.js'
import { isCampaign } from '../support/campaign.js'
import { provision } from '../support/house.js'
import { differencesBetween, takeJourney } from '../support/journey.js'
import { issueFor } from '../support/license.js'
import { type OwnServer, startOwnServer } from '../support/own-server.js'
import {
  dropPlatform,
  type Environment,
  freshEnvironment,
  initialize,
  open,
} from '../support/platform.js'
import { runCli } from '../support/run-cli.js'

type Finding = { area: string; state: string; says: string; next: string | null }

/** A platform on the file's own server, with one tenant and what is needed to use it. */
type Site = {
  readonly environment: Environment
  readonly ctx: Context
  readonly cli: (...argv: string[]) => ReturnType<typeof runCli>
  /** One activation of a license of the tenant's. */
  readonly use: () => Promise<{
    status: number
    code: string | undefined
    retryAfter: string | null
  }>
  readonly ready: Readiness
  readonly doctor: () => Promise<Finding[]>
}

const test = base
  .extend('server', { scope: 'file' }, async ({}, { onCleanup }): Promise<OwnServer> => {
    const server = await startOwnServer([
      '--log-bin=log',
      '--binlog-format=ROW',
      // it can't be changed later if it is 0 at first
      '--max-user-connections=1000',
    ])
    onCleanup(() => server[Symbol.asyncDispose]())
    return server
  })
  .extend('home', { scope: 'file' }, async ({ server }, { onCleanup }) => {
    const environment = freshEnvironment(server.databaseUrl)
    await initialize(environment)
    onCleanup(() => dropPlatform(environment))
    return environment
  })
  .extend('fresh', async ({ server }, { onCleanup }) => {
    const environment = freshEnvironment(server.databaseUrl)
    onCleanup(() => dropPlatform(environment))
    return environment
  })

/** Makes the platform, opens it, and provisions tenant "acme" with a license. */
async function withSite(
  environment: Environment,
  work: (site: Site) => Promise<void>,
): Promise<void> {
  await initialize(environment)
  await using ctx = await open(environment)
  const apiKey = await provision(ctx, 'acme', 'pro')
  const { license } = await issueFor(await enterTenant(ctx, 'acme'))
  await using app = createApp(ctx, async () => ({ ready: true }))
  await work({
    environment,
    ctx,
    cli: (...argv) => runCli(environment, argv),
    use: async () => {
      const response = await app.request('/v1/integration/activations', {
        method: 'POST',
        headers: { 'X-API-Key': apiKey, 'Content-Type': 'application/json' },
        body: JSON.stringify({ license_key: license.key, fingerprint: randomUUID() }),
      })
      const body = (await response.json()) as { error?: { code: string } }
      return {
        status: response.status,
        code: body.error?.code,
        retryAfter: response.headers.get('Retry-After'),
      }
    },
    // one that remembers nothing
    ready: () => createReadiness(ctx.platform).ask(),
    doctor: async () => findings((await runCli(environment, ['doctor', '--json'])).out),
  })
}

const findings = (out: string): Finding[] =>
  out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Finding)
const faults = (found: readonly Finding[]) =>
  found.filter(({ state }) => state === 'fault').map(({ says }) => says)

const UNAVAILABLE = {
  status: 503,
  code: expect.stringMatching(/^(SERVER.UNAVAILABLE|TENANT.DATABASE_MISSING)$/),
  retryAfter: expect.stringMatching(/^\d+$/),
}

/** What `init` and the rehearsal may leave behind on a server. */
const leftOvers = async (server: OwnServer, environment: Environment): Promise<string[]> => [
  ...(
    await server.rows<{ name: string }>(
      'select schema_name as name from information_schema.schemata where schema_name = ? or left(schema_name, ?) = ?',
      [
        environment.VALIDONX_PLATFORM_DATABASE,
        environment.VALIDONX_TENANT_PREFIX?.length,
        environment.VALIDONX_TENANT_PREFIX,
      ],
    )
  ).map(({ name }) => name),
  ...(
    await server.rows<{ name: string }>("select user as name from mysql.user where user like 'vx%'")
  ).map(({ name }) => name),
]

describe('a server that cannot hold tenants', () => {
  test.for([
    ['read_only', 'ON'],
    ['super_read_only', 'ON'],
    ['offline_mode', 'ON'],
    ['binlog_format', 'STATEMENT'],
    ['max_allowed_packet', '1048576'],
    ['max_user_connections', '5'],
    ['enforce_storage_engine', 'Aria'],
    ['mandatory_roles', 'auditor'],

    ['default_table_encryption', 'ON'],
    ['validate_password.length', '64'],
    ['validate_password.number_count', '2'],
    ['simple_password_check_digits', '2'],
  ] as const)(
    'is refused by init and server add before they make anything: %s=%s',
    async ([setting, value], { server, home, fresh, skip }) => {
      if (!(await server.has(setting))) return skip('no such setting here')
      const before = await leftOvers(server, fresh)
      // the stronger one switches the other on, but not off again
      const settings = {
        ...(setting === 'super_read_only' ? { read_only: 'ON' } : {}),
        [setting]: value,
      }
      await server.withSettings(settings, async () => {
        const init = await runCli(fresh, ['init'])
        const add = await runCli(home, ['server', 'add', 'eu'], `${server.databaseUrl}\n`)

        // in offline mode the platform at home is out of reach too
        for (const { exit, said } of setting === 'offline_mode' ? [init] : [init, add]) {
          expect([exit, said]).toEqual([78, expect.stringContaining('DATABASE.UNSUITABLE')])
          expect(said).toMatch(
            setting === 'default_table_encryption'
              ? /rehearsal failed: creating tables/
              : new RegExp(setting),
          )
        }
        expect(await leftOvers(server, fresh)).toEqual(before)
      })
    },
  )

  test('has the statements printed that close what is open to everybody', async ({
    server,
    fresh,
    skip,
  }) => {
    if (!server.isMariaDb) return skip('MySQL has no PUBLIC')
    await server.run(
      "grant select on `test`.* to public; grant select on `test\\_%`.* to public; grant select on mysql.time_zone to public; create user ''@'localhost'; insert into mysql.db (host, db, user, select_priv) values ('%', 'open', '', 'Y'); flush privileges",
    )
    const refused = await runCli(fresh, ['init'])
    expect([refused.exit, refused.said]).toEqual([
      78,
      expect.stringMatching(/rehearsal failed.*everybody may use databases like.*without a name/s),
    ])
    const printed = [...refused.said.matchAll(/Next: (.*;)$/gm)].map(([, sql = '']) => sql)
    expect(printed.length).toBeGreaterThan(2)
    for (const sql of printed) await server.run(sql)

    expect((await runCli(fresh, ['init'])).exit).toBe(0)
    const { exit, out } = await runCli(fresh, ['doctor', '--json'])
    expect([exit, faults(findings(out))]).toEqual([0, []])
  })
})

describe('a server with unusual policies', () => {
  test.for([
    {
      default_password_lifetime: '1',
      password_history: '10',
      password_reuse_interval: '365',
      password_require_current: 'ON',
      max_password_errors: '2',
      old_passwords: '1',
      authentication_policy: 'sha256_password,,',
    },
    {
      innodb_default_row_format: 'compact',
      innodb_file_per_table: 'OFF',
      innodb_force_primary_key: 'ON',
      sql_require_primary_key: 'ON',
    },
    {
      partial_revokes: 'ON',
      innodb_default_row_format: 'redundant',
      innodb_strict_mode: 'OFF',
      max_prepared_stmt_count: '0',
      event_scheduler: 'OFF',
      log_bin_trust_function_creators: 'OFF',
    },
  ] as Record<string, string>[])(
    'holds a platform that works: %o',
    async (wanted, { server, fresh }) => {
      const settings: Record<string, string> = {}
      for (const [setting, value] of Object.entries(wanted))
        if (await server.has(setting)) settings[setting] = value
      await server.withSettings(settings, () =>
        withSite(fresh, async (site) => {
          await age(server, 3)

          expect(await site.use()).toMatchObject({ status: 201 })
          expect(faults(await site.doctor())).toEqual([])
          const health = await site.cli('tenant', 'health', '--all')
          expect([health.exit, health.out]).toEqual([0, expect.stringContaining('all well')])
          // what is repeated is not counted against us
          for (let round = 0; round < 2; round += 1) {
            expect((await site.cli('init')).exit).toBe(0)
            expect((await site.cli('tenant', 'provision', 'acme')).exit).toBe(0)
          }
          expect(await site.use()).toMatchObject({ status: 201 })
        }),
      )
    },
  )

  test.runIf(isCampaign)('takes the same journey as a plain one', async ({ server }) => {
    const wanted = {
      partial_revokes: 'ON',
      default_password_lifetime: '1',
      password_history: '5',
      old_passwords: '1',
      innodb_default_row_format: 'compact',
      innodb_force_primary_key: 'ON',
      sql_require_primary_key: 'ON',
    }
    const settings: Record<string, string> = {}
    for (const [setting, value] of Object.entries(wanted))
      if (await server.has(setting)) settings[setting] = value
    const plain = await takeJourney(server.databaseUrl)
    const other = await server.withSettings(settings, () => takeJourney(server.databaseUrl))

    expect([plain.faults, other.faults]).toEqual([[], []])
    expect(differencesBetween(plain, other)).toEqual([])
  })
})

/** Makes every account of ours so many days older, and ends the sessions that know better. */
async function age(server: OwnServer, days: number): Promise<void> {
  await server.run(
    server.isMariaDb
      ? `update mysql.global_priv set priv = json_set(priv, '$.password_last_changed', unix_timestamp() - ${days} * 86400) where user like 'vx%'; flush privileges`
      : `update mysql.user set password_last_changed = now() - interval ${days} day where user like 'vx%'; flush privileges`,
  )
  await endSessions(server)
}

/** Ends all sessions of ours, and waits until both sides know. */
async function endSessions(server: OwnServer): Promise<void> {
  const list = () =>
    server.rows<{ id: number }>(
      "select id as id from information_schema.processlist where user like 'vx%'",
    )
  for (let sessions = await list(); sessions.length > 0; sessions = await list())
    for (const { id } of sessions) await server.run(`kill ${id}`).catch(() => {})
}

/** As accounts were made before they were exempted: by the server's policies. */
async function followPolicies(server: OwnServer): Promise<void> {
  const accounts = await server.rows<{ user: string; host: string }>(
    "select user as user, host as host from mysql.user where user like 'vx%'",
  )
  for (const { user, host } of accounts)
    await server.run(`alter user '${user}'@'${host}' password expire default`)
}

describe('accounts of a platform that follow the server', () => {
  test('are reported before their passwords expire, and repaired afterwards', async ({
    server,
    fresh,
  }) => {
    await withSite(fresh, async (site) => {
      await followPolicies(server)
      await server.withSettings({ default_password_lifetime: '90' }, async () => {
        const before = await site.doctor()
        const early = await site.cli('tenant', 'health', 'acme')
        await age(server, 100)
        const late = await site.use()
        const command = await site.cli('tenant', 'list')
        const init = await site.cli('init')
        const health = await site.cli('tenant', 'health', 'acme')
        const fixed = await site.cli('tenant', 'health', 'acme', '--fix', '--yes')

        expect(faults(before)).toEqual([
          expect.stringMatching(/default_password_lifetime is 90 days, and 2 account/),
        ])
        expect([early.exit, early.out]).toEqual([1, expect.stringContaining('expires')])
        expect(late).toEqual(UNAVAILABLE)
        expect([command.exit, command.said]).toEqual([
          77,
          expect.stringMatching(/"validonx init".*DATABASE.PASSWORD_EXPIRED/s),
        ])
        expect(init.exit).toBe(0)
        expect([health.exit, health.out]).toEqual([
          1,
          expect.stringMatching(/login: .*expired.*--fix/s),
        ])
        expect([fixed.exit, fixed.said]).toEqual([0, expect.stringContaining('✓')])
        await age(server, 100)
        expect(await site.use()).toMatchObject({ status: 201 })
        expect(faults(await site.doctor())).toEqual([])
      })
    })
  })

  test('are unlocked', async ({ server, fresh }) => {
    await withSite(fresh, async (site) => {
      const accounts = await server.rows<{ user: string; host: string }>(
        "select user as user, host as host from mysql.user where user like 'vx%'",
      )
      for (const { user, host } of accounts)
        await server.run(`alter user '${user}'@'${host}' account lock`)
      await endSessions(server)
      const locked = await site.use()
      const command = await site.cli('tenant', 'list')
      const init = await site.cli('init')
      const fixed = await site.cli('tenant', 'health', 'acme', '--fix', '--yes')

      expect(locked).toEqual(UNAVAILABLE)
      expect([command.exit, command.said]).toEqual([
        77,
        expect.stringMatching(/"validonx init".*DATABASE.ACCOUNT_LOCKED/s),
      ])
      expect([init.exit, fixed.exit, fixed.said]).toEqual([0, 0, expect.stringContaining('✓')])
      expect(await site.use()).toMatchObject({ status: 201 })
    })
  })
})

describe('a grant', () => {
  test('opens its own database alone, whichever way partial_revokes is turned', async ({
    server,
    fresh,
    skip,
  }) => {
    if (!(await server.has('partial_revokes'))) return skip('MariaDB has no partial revokes')
    await withSite(fresh, async (site) => {
      const lookalike = `${fresh.VALIDONX_TENANT_PREFIX}acme`.replaceAll('_', 'x')
      await server.run(
        `create database ${lookalike}; create table ${lookalike}.validonx_owner (id int primary key)`,
      )
      const { database } = (await enterTenant(site.ctx, 'acme')).tenant
      const reads = async (name: string) => {
        await using ctx = await open(fresh)
        const scope = await enterTenant(ctx, 'acme')
        return await scope.read(`select 1 from \`${name}\`.validonx_owner`, []).then(
          () => 'open',
          () => 'closed',
        )
      }
      const turn = async (value: string) => {
        await server.run(`set global partial_revokes = ${value}; flush privileges`)
        await endSessions(server)
      }
      const seen: unknown[] = []
      try {
        for (const value of ['on', 'off']) {
          await turn(value)
          const health = await site.cli('tenant', 'health', 'acme')
          const fixed = await site.cli('tenant', 'health', 'acme', '--fix', '--yes')
          seen.push([value, health.exit, fixed.exit, await reads(database), await reads(lookalike)])
          expect(fixed.said).toContain('✓')
        }
      } finally {
        await server.run(`set global partial_revokes = off; drop database ${lookalike}`)
      }

      expect(seen).toEqual([
        ['on', 1, 0, 'open', 'closed'],
        ['off', 1, 0, 'open', 'closed'],
      ])
    })
  })

  test('is not reported as repaired while the user has other rights all the same', async ({
    server,
    fresh,
    skip,
  }) => {
    if (!server.isMariaDb) return skip('MySQL has no PUBLIC')
    await withSite(fresh, async (site) => {
      await server.run(
        'create database if not exists elsewhere; grant select on elsewhere.* to public',
      )
      await endSessions(server)
      const fixed = await site.cli('tenant', 'health', 'acme', '--fix', '--yes')
      await server.run('revoke all privileges on elsewhere.* from public; drop database elsewhere')

      expect([fixed.exit, fixed.said]).toEqual([1, expect.stringMatching(/✗ not repaired/)])
      expect(fixed.said).not.toContain('✓')
    })
  })
})

describe('a server that becomes read-only', () => {
  test('is 503 for writes and for /readyz, a fault for doctor, and well again afterwards', async ({
    server,
    fresh,
  }) => {
    await withSite(fresh, async (site) => {
      const before = [await site.use(), await site.ready()]
      await server.withSettings({ read_only: 'ON' }, async () => {
        expect(await site.use()).toEqual(UNAVAILABLE)
        expect(await site.ready()).toEqual({
          ready: false,
          reason: 'the platform database cannot be written',
        })
        const issue = await site.cli('license', 'issue', '--tenant', 'acme', '--product', 'app')
        expect([issue.exit, issue.said]).toEqual([
          75,
          expect.stringContaining('DATABASE.READ_ONLY'),
        ])
        const found = faults(await site.doctor())
        expect(found).toEqual(
          expect.arrayContaining([
            expect.stringContaining('read-only'),
            expect.stringContaining('read_only is ON'),
          ]),
        )
      })

      expect(before).toEqual([expect.objectContaining({ status: 201 }), { ready: true }])
      expect(await site.use()).toMatchObject({ status: 201 })
      expect(await site.ready()).toEqual({ ready: true })
    })
  })

  test('keeps no connection of ours that met it, as others may lead to its successor', async ({
    server,
    fresh,
  }) => {
    await withSite(fresh, async ({ ctx }) => {
      const session = async () => {
        const [row] = await rowsOf<{ id: number }>(ctx.platform, 'select connection_id() as id')
        return row?.id
      }
      await endSessions(server)
      const before = [await session(), await session()]
      await server.withSettings({ read_only: 'ON' }, async () => {
        const write = affectedBy(ctx.platform, 'delete from idempotency_keys where false')
        await expect(write).rejects.toThrow()
      })

      expect(before[0]).toBe(before[1])
      expect(await session()).not.toBe(before[0])
    })
  })

  test('rolls a COMMIT back that it refuses, and says that it is read-only', async ({
    server,
    fresh,
  }) => {
    await withSite(fresh, async (site) => {
      const insert =
        "insert into leases (name, holder, machine, pid, generation, acquired_at, expires_at) values ('cut', 'x', null, 0, 1, utc_timestamp(6), utc_timestamp(6))"
      const ended = await inTransaction(site.ctx.platform, async (transaction) => {
        await affectedBy(transaction, insert)
        await server.run('set global read_only = on')
      }).then(
        () => 'committed',
        (error) => asAppError(error).code,
      )
      await server.run('set global read_only = off')
      const rows = await rowsOf(site.ctx.platform, "select 1 from leases where name = 'cut'")

      expect([ended, rows.length]).toEqual(
        ended === 'committed' ? ['committed', 1] : ['DATABASE.READ_ONLY', 0],
      )
    })
  })
})

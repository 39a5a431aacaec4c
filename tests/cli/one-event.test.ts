import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Command } from 'commander'
import { describe, expect, inject } from 'vitest'
import { createProgram } from '../../src/cli/program.js'
import { type Action, actions } from '../../src/core/events/actions.js'
import { createToken } from '../../src/core/identity/create-token.js'
import { createUser } from '../../src/core/identity/create-user.js'
import { newId } from '../../src/core/ids.js'
import { activateLicense } from '../../src/core/licensing/activate-license.js'
import { suspendLicense } from '../../src/core/licensing/change-license.js'
import { createProduct } from '../../src/core/products/create-product.js'
import { createWebhook } from '../../src/core/webhooks/change-webhooks.js'
import { hashPasswordsCheaply } from '../support/cheap-passwords.js'
import { addMigrations } from '../support/fleet.js'
import { freshSlug, test as house, runCli } from '../support/house.js'
import { makeMember } from '../support/member.js'
import { freshWord } from '../support/platform.js'
import { RedisServer } from '../support/redis-server.js'
import { makeApiKey, makeInvoice, makeLicense, openSite, type Site } from '../support/routes.js'
import { ROOT } from '../support/source-files.js'
import { faultsOf, observe, TOLD_BY_TENANT_ROUTES, type Told } from '../support/told.js'

hashPasswordsCheaply()

const PATIENCE = { timeout: 300_000 }
const PASSWORD = 'correct horse battery staple\n'
const ADDED = {
  name: '20991231-01-one-event',
  up: ['create table one_event (id int not null primary key) engine = InnoDB row_format = dynamic'],
  down: ['drop table one_event'],
}

type Line = {
  readonly argv: readonly string[]
  readonly input?: string
  readonly exit?: number
}

type Case = {
  /** What the trail is told: each once, or each at least once where one command does many things. */
  readonly tells: readonly Action[]
  readonly many?: true
  /** Tables that are rewritten untold, since they say nothing that anybody did. */
  readonly except?: RegExp
  readonly line: (site: Site) => Promise<Line> | Line
}

type Make = (site: Site) => Promise<readonly string[]> | readonly string[]

const of =
  (make: Make) =>
  async (site: Site): Promise<Line> => ({ argv: await make(site) })
const inTenant =
  (make: Make) =>
  async (site: Site): Promise<Line> => ({ argv: [...(await make(site)), '--tenant', site.slug] })
const reads = (make: Make): Case => ({ tells: [], line: of(make) })
const readsTenant = (make: Make): Case => ({ tells: [], line: inTenant(make) })

const firstOfMonth = (from: number): Date => {
  const now = new Date()
  return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + from, 1))
}

const licenseOf = async (site: Site) => (await makeLicense(site)).key
const userOf = async ({ ctx }: Site) => {
  const email = `${freshWord()}@example.com`
  await createUser(ctx, { email, name: 'P', password: PASSWORD.trim() })
  return email
}
const hookOf = async ({ ctx, scope }: Site) =>
  (
    await createWebhook(ctx, scope, {
      url: 'https://example.com/hook',
      events: ['license.revoked'],
    })
  ).result.endpoint.id

/** Every command that may be run here, by its name. */
const COMMANDS: Readonly<Record<string, Case>> = {
  // which version and which key were there, and when
  init: { tells: [], except: /`(platform_settings|database_servers)`/, line: of(() => []) },
  config: reads(() => []),
  doctor: reads(() => []),

  'tenant provision': {
    tells: [
      'tenant.created',
      'settings.seeded',
      'subscription.created',
      'entitlement.granted',
      'usage_counters.initialized',
      'branding.initialized',
      'api_key.created',
      'webhook_endpoint.reserved',
      'tenant.provisioned',
      'tenant.activated',
    ],
    many: true,
    line: of(() => [freshSlug()]),
  },
  'tenant provision --owner-email': {
    tells: [
      'tenant.created',
      'user.created',
      'member.added',
      'settings.seeded',
      'subscription.created',
      'entitlement.granted',
      'usage_counters.initialized',
      'branding.initialized',
      'api_key.created',
      'webhook_endpoint.reserved',
      'tenant.provisioned',
      'tenant.activated',
    ],
    many: true,
    // the value comes right after the command's last word
    line: of(() => [`${freshWord()}@example.com`, freshSlug()]),
  },
  'tenant list': reads(() => []),
  'tenant show': reads(({ slug }) => [slug]),
  'tenant suspend': { tells: ['tenant.suspended'], line: of(({ slug }) => [slug, '--yes']) },
  'tenant archive': { tells: ['tenant.archived'], line: of(({ slug }) => [slug, '--yes']) },
  'tenant unarchive': { tells: ['tenant.unarchived'], line: of(({ slug }) => [slug]) },
  'tenant reinstate': { tells: ['tenant.reinstated'], line: of(({ slug }) => [slug]) },
  'tenant migrate': { tells: ['rollout.started'], line: of(({ slug }) => [slug]) },
  // what was last seen of a tenant
  'tenant health': { tells: [], except: /`tenant_health`/, line: of(({ slug }) => [slug]) },
  'tenant health --fix': {
    tells: ['tenant.mended'],
    line: of(async ({ scope, slug }) => {
      await scope.db('branding').delete()
      return [slug, '--yes']
    }),
  },
  'tenant rollouts': reads(() => []),
  'tenant rollout show': {
    tells: [],
    line: async ({ ctx }) => {
      const [id] = await ctx.platform('rollouts').limit(1).pluck('id')
      return { argv: [id] }
    },
  },
  'server add': {
    tells: ['database_server.added'],
    line: () => ({ argv: ['second'], input: inject('databaseUrl') }),
  },
  'server list': reads(() => []),
  'server tls': {
    tells: ['database_server.tls_changed'],
    line: async ({ ctx }) => {
      const [name] = await ctx.platform('database_servers').whereNotNull('host').pluck('name')
      return { argv: [name, '--tls', 'off'] }
    },
  },
  'migration lint': reads(() => []),

  'apikey create': { tells: ['api_key.created'], line: inTenant(() => ['--name', 'ci']) },
  'apikey list': readsTenant(() => []),
  'apikey rotate': {
    tells: ['api_key.created', 'api_key.rotated'],
    line: inTenant(async (site) => ['--key', (await makeApiKey(site)).prefix]),
  },
  'apikey revoke': {
    tells: ['api_key.revoked'],
    line: inTenant(async (site) => [(await makeApiKey(site)).prefix, '--yes']),
  },

  'user create': {
    tells: ['user.created'],
    line: () => ({
      argv: [`${freshWord()}@example.com`, '--name', 'P', '--password-stdin'],
      input: PASSWORD,
    }),
  },
  'user list': reads(() => []),
  'user password': {
    tells: ['user.password_changed'],
    line: async (site) => ({
      argv: [await userOf(site), '--password-stdin'],
      input: `another ${PASSWORD}`,
    }),
  },
  'user disable': {
    tells: ['user.disabled'],
    line: of(async (site) => [await userOf(site), '--yes']),
  },
  'user enable': {
    tells: ['user.enabled'],
    line: of(async (site) => {
      const email = await userOf(site)
      await site.ctx.platform('users').where({ email }).update({ disabled_at: new Date() })
      return [email]
    }),
  },

  'member add': {
    tells: ['member.added'],
    line: inTenant(async (site) => [await userOf(site), '--role', 'viewer']),
  },
  'member list': readsTenant(() => []),
  'member role': {
    tells: ['member.role_changed'],
    line: inTenant(async ({ ctx, slug }) => [
      (await makeMember(ctx, slug, 'developer')).email,
      'viewer',
    ]),
  },
  'member remove': {
    tells: ['member.removed'],
    line: inTenant(async ({ ctx, slug }) => [
      (await makeMember(ctx, slug, 'viewer')).email,
      '--yes',
    ]),
  },

  'token create': {
    tells: ['token.created'],
    line: of(async (site) => ['--user', await userOf(site)]),
  },
  'token list': reads(async (site) => ['--user', await userOf(site)]),
  'token revoke': {
    tells: ['token.revoked'],
    line: of(async (site) => {
      const user = await userOf(site)
      return [
        (await createToken(site.ctx, { user, abilities: ['*'] })).plainText.split('|')[0] ?? '',
        '--yes',
      ]
    }),
  },

  'keyring status': reads(() => []),
  'ratelimit show': readsTenant(() => []),
  'ratelimit reset': { tells: ['rate_limits.reset'], line: inTenant(() => []) },

  'license issue': {
    tells: ['license.created'],
    line: inTenant(async (site) => {
      const { code } = (await createProduct(site.scope, { code: site.name(), name: 'P' })).result
      return ['--product', code]
    }),
  },
  'license list': readsTenant(() => []),
  'license show': readsTenant(async (site) => [await licenseOf(site)]),
  'license why': readsTenant(async (site) => [await licenseOf(site)]),
  'license suspend': {
    tells: ['license.suspended'],
    line: inTenant(async (site) => [await licenseOf(site)]),
  },
  'license reinstate': {
    tells: ['license.reinstated'],
    line: inTenant(async (site) => {
      const { id, key } = await makeLicense(site)
      await suspendLicense(site.scope, id)
      return [key]
    }),
  },
  'license renew': {
    tells: ['license.renewed'],
    line: inTenant(async (site) => [await licenseOf(site), '--days', '10']),
  },
  'license revoke': {
    tells: ['license.revoked'],
    line: inTenant(async (site) => [await licenseOf(site), '--yes']),
  },
  'activation list': readsTenant(() => []),
  'activation revoke': {
    tells: ['activation.revoked'],
    line: inTenant(async (site) => {
      const input = { license_key: await licenseOf(site), instance_id: 'build-7' }
      return [(await activateLicense(site.scope, input)).result.activation.id, '--yes']
    }),
  },
  'usage rebuild': {
    tells: ['usage.rebuilt'],
    line: inTenant(async (site) => {
      const { id } = await makeLicense(site)
      // counted, and never reported
      await site.scope.db.raw(
        `insert into usage_counters (id, code, subject, period_start, period_end, value, created_at, updated_at)
          values (?, 'exports', ?, ?, ?, 3, now(6), now(6))`,
        [newId(), id, firstOfMonth(-1), firstOfMonth(0)],
      )
      return []
    }),
  },
  'usage snapshot': { tells: ['usage.snapshot_taken'], line: inTenant(() => []) },
  'plan list': reads(() => []),
  'plan show': reads(() => ['starter']),
  'subscription show': readsTenant(() => []),
  'subscription change': {
    tells: ['subscription.updated', 'entitlement.granted'],
    many: true,
    line: inTenant(() => ['--plan', 'pro', '--yes', '--accept-exceeded']),
  },
  'subscription override': {
    tells: ['entitlement.granted'],
    line: inTenant(() => ['licenses.max=77']),
  },
  'invoice list': readsTenant(() => []),
  'invoice show': reads(async (site) => [(await makeInvoice(site)).number]),
  'billing run': {
    tells: ['invoice.issued', 'usage.snapshot_taken'],
    many: true,
    line: of(() => ['--as-of', new Date(Date.now() + 45 * 86_400_000).toISOString(), '--yes']),
  },

  'audit tail': reads(() => []),
  'audit verify': reads(() => []),
  'audit anchor': reads(() => []),
  'audit export': reads(() => []),
  'webhook list': readsTenant(() => []),
  // nobody answers there
  'webhook test': {
    tells: ['webhook_endpoint.tested'],
    line: async (site) => ({ argv: [await hookOf(site), '--tenant', site.slug], exit: 1 }),
  },
  'webhook deliveries': readsTenant(async (site) => [await hookOf(site)]),
  'webhook redeliver': {
    tells: ['webhook_endpoint.redelivered'],
    line: inTenant(async (site) => [await hookOf(site)]),
  },
  'audit prune': {
    tells: ['audit.pruned'],
    line: of(async ({ ctx }) => {
      const [first] = await ctx.platform('audit_logs').where({ sequence: 5 }).pluck('occurred_at')
      return ['--before', (first as Date).toISOString(), '--yes']
    }),
  },
}

/** Servers, demos and files: nothing of a platform that stands. And what changes the key under which this file works. */
const NONE = ['dev demo', 'dev status', 'dev stop', 'serve', 'migration make', 'keyring retire']

/** What no route and no command above tells by itself, and which suite sees it told. */
const ELSEWHERE: Readonly<Partial<Record<Action, string>>> = {
  'platform.created': 'core/platform/init-platform.test.ts',
  'platform.migrated': 'core/platform/init-platform.test.ts',
  'platform.audit_key_resealed': 'cli/apikey.test.ts',
  'database_server.login_resealed': 'cli/apikey.test.ts',
  'tenant.login_renewed': 'cli/apikey.test.ts',
  'webhook_endpoint.secret_resealed': 'cli/apikey.test.ts',
  'activation.created': 'server/one-event.test.ts',
  'invitation.accepted': 'server/one-event.test.ts',
  'usage.threshold_reached': 'server/one-event.test.ts',
}

const test = house
  .extend('site', { scope: 'file' }, async ({ ctx }) => openSite(ctx))
  .extend('newer', { scope: 'file' }, async ({ ctx: _ }, { onCleanup }) => {
    onCleanup(addMigrations([ADDED]))
  })
  .extend('redis', { scope: 'file' }, async ({ ctx: _ }, { onCleanup }) => {
    const redis = await RedisServer.start()
    onCleanup(() => redis[Symbol.asyncDispose]())
    return redis
  })

/** The names of all that does something: `tenant rollout show`. */
const leavesOf = (command: Command, above: readonly string[] = []): string[] =>
  command.commands.length === 0
    ? [above.join(' ')]
    : command.commands.flatMap((child) => leavesOf(child, [...above, child.name()]))

const distinct = (told: readonly Told[]): Told[] => [
  ...new Map(told.map((event) => [event.action, event])).values(),
]

describe('every command', () => {
  test('is listed with what it tells the trail', () => {
    const runtime = { stdout: {}, stderr: {} } as never

    const listed = new Set(Object.keys(COMMANDS).map((name) => name.replace(/ --.*/, '')))

    expect([...listed, ...NONE].toSorted()).toEqual(leavesOf(createProgram(runtime)).toSorted())
  })

  test.for(Object.entries(COMMANDS))(
    'tells of each change once, by whom, and of nothing else: %s',
    PATIENCE,
    async ([name, { tells, many, except, line }], { ctx, environment, site, redis, newer: _ }) => {
      const { argv, input, exit = 0 } = await line(site)
      const seen = await observe(ctx, [site], () =>
        runCli(
          { ...environment, VALIDONX_REDIS_URL: redis.url },
          [...name.split(' '), ...argv],
          input,
        ),
      )
      const told = many ? distinct(seen.told) : seen.told
      const changed = seen.changed.filter((table) => !except?.test(table))

      expect([seen.result.exit, seen.result.exit === exit ? '' : seen.result.said]).toEqual([
        exit,
        '',
      ])
      expect(faultsOf(tells, { told, changed })).toEqual([])
      for (const event of seen.told)
        expect(event).toMatchObject({ actorType: 'operator', actorId: 'tester', address: null })
    },
  )
})

describe('the catalogue of actions', () => {
  test('has none that nothing tells', async () => {
    for (const [action, file] of Object.entries(ELSEWHERE))
      expect(await readFile(join(ROOT, 'tests', file), 'utf8'), file).toContain(`'${action}'`)

    const told = new Set([
      ...Object.values(TOLD_BY_TENANT_ROUTES).flat(),
      ...Object.values(COMMANDS).flatMap(({ tells }) => tells),
      ...Object.keys(ELSEWHERE),
    ])

    expect(Object.keys(actions).filter((action) => !told.has(action as Action))).toEqual([])
  })
})

import { describe, expect } from 'vitest'
import { quoteGrantDatabase, quoteName, quoteUser } from '../../src/core/db/sql.js'
import { getTenant } from '../../src/core/tenants/tenant-store.js'
import { codeOf } from '../support/code-of.js'
import { freshSlug, provision, test } from '../support/house.js'
import { freshWord } from '../support/platform.js'
import { standingOf } from '../support/standing.js'

type At = {
  readonly id: string
  readonly platform: string
  /** The tenant's database, as a statement and as a GRANT quote it. */
  readonly home: string
  readonly grantHome: string
  readonly account: string
  /** An account that is no tenant's. */
  readonly stranger: string
}

const copyOf = (table: string, where: string, columns: string, id: string): string =>
  `insert into ${table} (${id}, ${columns}) select uuid(), ${columns} from ${table} where ${where} limit 1`

const EVENT =
  'occurred_at, action, object_type, object_id, actor_type, actor_id, actor_name, schema_version'
const KEY =
  'tenant_id, name, app_key_id, prefix, last_four, is_bootstrap, delivered_at, created_at, updated_at'

/** Faults that an interrupted run might leave. */
const FAULTS: readonly (readonly [string, (at: At) => string])[] = [
  ['a table too many', ({ home }) => `create table ${home}.stray (id int)`],
  ['a column of another width', ({ home }) => `alter table ${home}.branding modify id bigint`],
  ['an index too many', ({ home }) => `create index stray on ${home}.settings (created_at)`],
  [
    'a foreign key too few',
    ({ home }) => `alter table ${home}.activations drop foreign key activations_license`,
  ],
  ['a migration too few', ({ home }) => `delete from ${home}.knex_migrations limit 1`],
  ['another owner', ({ home }) => `update ${home}.validonx_owner set tenant_id = 'x'`],
  ['a setting too few', ({ home }) => `delete from ${home}.settings limit 1`],
  ['a setting of another value', ({ home }) => `update ${home}.settings set value = '1' limit 1`],
  ['no branding', ({ home }) => `delete from ${home}.branding`],
  ['an entitlement too few', ({ home }) => `delete from ${home}.entitlements limit 1`],
  ['a counter that has counted', ({ home }) => `update ${home}.usage_counters set value = 1`],
  ['an event twice', ({ home }) => copyOf(`${home}.outbox`, 'true', EVENT, 'event_id')],
  [
    'a row that nobody asked for',
    ({ home }) =>
      `insert into ${home}.idempotency_keys (scope_key, request_hash, status, created_at, expires_at) values ('x', repeat('x', 32), 'done', now(), now())`,
  ],
  [
    'a tenant that is not open',
    ({ platform, id }) => `update ${platform}.tenants set status = 'failed' where id = '${id}'`,
  ],
  [
    'a stage that is not done',
    ({ platform, id }) =>
      `update ${platform}.provisioning_stages set status = 'running' where tenant_id = '${id}' and position = 12`,
  ],
  [
    'no subscription',
    ({ platform, id }) => `delete from ${platform}.subscriptions where tenant_id = '${id}'`,
  ],
  [
    'no webhook',
    ({ platform, id }) => `delete from ${platform}.webhook_endpoints where tenant_id = '${id}'`,
  ],
  [
    'an audit row twice',
    ({ platform, id }) =>
      copyOf(
        `${platform}.audit_logs`,
        `tenant_id = '${id}' and action = 'tenant.activated'`,
        `tenant_id, outcome, ${EVENT}`,
        'event_id',
      ),
  ],
  [
    'a key that counts as not shown',
    ({ platform, id }) =>
      `update ${platform}.api_keys set delivered_at = null where tenant_id = '${id}'`,
  ],
  [
    'a key other than the one that was shown',
    ({ platform, id }) =>
      `update ${platform}.api_keys set hash = reverse(hash) where tenant_id = '${id}'`,
  ],
  [
    'a revocation that the trail does not tell of',
    ({ platform, id }) =>
      `insert into ${platform}.api_keys (id, hash, revoked_at, ${KEY}) select uuid(), reverse(hash), now(), ${KEY} from ${platform}.api_keys where tenant_id = '${id}'`,
  ],
  [
    'a second living key',
    ({ platform, id }) =>
      `insert into ${platform}.api_keys (id, hash, ${KEY}) select uuid(), reverse(hash), ${KEY} from ${platform}.api_keys where tenant_id = '${id}'`,
  ],
  ['a right too many', ({ platform, account }) => `grant select on ${platform}.* to ${account}`],
  [
    'a right too few',
    ({ grantHome, account }) => `revoke delete on ${grantHome}.* from ${account}`,
  ],
  [
    'a stranger who may enter',
    ({ grantHome, stranger }) =>
      `create user ${stranger}; grant select on ${grantHome}.* to ${stranger}`,
  ],
  [
    'a login that does not open',
    ({ account }) => `alter user ${account} identified by 'aA1.another-password'`,
  ],
]

describe('the standing of a tenant, by which the fault tests judge', () => {
  test('is the same for two that were provisioned alike', async ({ ctx, provisioner }) => {
    const [one, other] = [freshSlug(), freshSlug()]
    const first = await standingOf({ ctx, provisioner }, one, await provision(ctx, one))
    const second = await standingOf({ ctx, provisioner }, other, await provision(ctx, other))

    expect(second).toEqual(first)
  })

  test.for(FAULTS)('tells %s', async ([, plant], { ctx, provisioner, tenant, onTestFinished }) => {
    const { id, database, databaseUser } = await getTenant(ctx.platform, tenant.slug)
    const look = () =>
      standingOf({ ctx, provisioner }, tenant.slug, tenant.apiKey).catch((error: unknown) => {
        if (!/^TENANT\.DATABASE_(MISSING|NOT_OWNED)$/.test(codeOf(error))) throw error
        return 'its own login is refused, or its database'
      })
    const stranger = quoteUser(freshWord(), '%')
    onTestFinished(async () => {
      await provisioner.run(`drop user if exists ${stranger}`)
    })
    const before = await look()
    ctx.tenantDatabases.close(id)
    await provisioner.run(
      plant({
        id,
        platform: quoteName(ctx.config.platformDatabase),
        home: quoteName(database),
        grantHome: quoteGrantDatabase(database),
        account: quoteUser(databaseUser, ctx.config.tenantUserHost),
        stranger,
      }),
    )

    expect(before).toBeTypeOf('object')
    expect(await look()).not.toEqual(before)
  })
})

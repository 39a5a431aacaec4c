import { describe, expect } from 'vitest'
import type { Context } from '../../src/core/context.js'
import type { Provisioner } from '../../src/core/db/provisioner.js'
import { quoteName } from '../../src/core/db/sql.js'
import { MigrationSession } from '../../src/core/fleet/migration-session.js'
import { newId } from '../../src/core/ids.js'
import { type Log, silentLog } from '../../src/core/log.js'
import { enterTenant, placeOf } from '../../src/core/tenants/scope.js'
import { getTenant } from '../../src/core/tenants/tenant-store.js'
import { createApp } from '../../src/server/app.js'
import { createReadiness } from '../../src/server/readiness.js'
import { codeOf } from '../support/code-of.js'
import { eventually } from '../support/eventually.js'
import { freshSlug, test as house, provision } from '../support/house.js'
import { issueFor } from '../support/license.js'
import { type Environment, open } from '../support/platform.js'
import { fromElsewhere } from '../support/shop.js'

const NOT_OWNED = '503 TENANT.DATABASE_NOT_OWNED'

/** A restore under the wrong name: every table of one database over those of another, marker included. */
async function restoreOver(provisioner: Provisioner, from: string, to: string): Promise<void> {
  const tables = await provisioner.rows<{ name: string }>(
    'select table_name as name from information_schema.tables where table_schema = ?',
    [from],
  )
  const copies = tables.map(({ name }) => {
    const [source, target] = [from, to].map((at) => `${quoteName(at)}.${quoteName(name)}`)
    return `drop table ${target}; create table ${target} like ${source}; insert into ${target} select * from ${source};`
  })
  await provisioner.run(
    `set foreign_key_checks = 0; ${copies.join(' ')} set foreign_key_checks = 1`,
  )
}

/** The API of one process, and what it logs as errors. */
async function serve(environment: Environment) {
  const errors: string[] = []
  const ignore = () => {}
  const log: Log = { debug: ignore, info: ignore, warn: ignore, error: (text) => errors.push(text) }
  const ctx = await open(environment, { log })
  const app = createApp(ctx, createReadiness(ctx.platform).ask)
  const ask = async (path: string, apiKey = '', body?: unknown): Promise<string> => {
    const response = await app.request(
      path,
      {
        method: apiKey === '' ? 'GET' : 'POST',
        headers: {
          ...(apiKey === '' ? {} : { 'X-API-Key': apiKey }),
          ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      },
      fromElsewhere(),
    )
    const { error } = (await response.json()) as { error?: { code: string } }
    return error ? `${response.status} ${error.code}` : String(response.status)
  }
  return {
    async end() {
      await app[Symbol.asyncDispose]()
      await ctx[Symbol.asyncDispose]()
    },
    errors,
    opened: () => Object.values(ctx.tenantDatabases.gauges().servers)[0]?.opened ?? 0,
    ready: () => ask('/readyz'),
    validate: (apiKey: string, license: string) =>
      ask(`/v1/integration/licenses/${license}/validate`, apiKey),
    activate: (apiKey: string, license: string) =>
      ask('/v1/integration/activations', apiKey, { license_key: license, instance_id: 'b' }),
  }
}

async function furnish(ctx: Context) {
  const slug = freshSlug()
  const apiKey = await provision(ctx, slug)
  const { license } = await issueFor(await enterTenant(ctx, slug), { type: 'perpetual' })
  const place = placeOf(await getTenant(ctx.platform, slug))
  return { slug, apiKey, license: license.key, place }
}

const test = house
  .extend('acme', async ({ ctx }) => furnish(ctx))
  .extend('beta', async ({ ctx }) => furnish(ctx))
  .extend('start', async ({ environment }, { onCleanup }) => {
    const started: Awaited<ReturnType<typeof serve>>[] = []
    onCleanup(async () => {
      for (const { end } of started) await end()
    })
    return async (extra: Environment = {}) => {
      const process = await serve({ ...environment, ...extra })
      started.push(process)
      return process
    }
  })

describe('a database over which another tenant’s was restored', () => {
  test('is served to nobody within a second, by connections that were open, nor after a restart', async ({
    acme,
    beta,
    cli,
    provisioner,
    start,
  }) => {
    const running = await start()
    expect(await running.validate(beta.apiKey, beta.license)).toBe('200')
    await restoreOver(provisioner, acme.place.database, beta.place.database)
    const restoredAt = performance.now()

    const late: string[] = []
    const refused = await eventually(
      async () => {
        const asked = performance.now()
        const said = await running.validate(beta.apiKey, acme.license)
        if (asked > restoredAt + 1_000 && said !== NOT_OWNED) late.push(said)
        return said
      },
      (said) => said === NOT_OWNED,
    )
    const restarted = await start()

    expect({ refused, late }).toEqual({ refused: NOT_OWNED, late: [] })
    for (const { validate, activate } of [running, restarted]) {
      expect(await validate(beta.apiKey, acme.license)).toBe(NOT_OWNED)
      expect(await activate(beta.apiKey, acme.license)).toBe(NOT_OWNED)
      expect(await validate(acme.apiKey, acme.license)).toBe('200')
    }
    const listed = await cli('license', 'list', '--tenant', beta.slug)
    expect([listed.exit, listed.said]).toEqual([
      70,
      expect.stringContaining(`"validonx tenant health ${beta.slug}"`),
    ])
    const { out, exit } = await cli('tenant', 'health', beta.slug)
    expect([exit, out]).toEqual([1, expect.stringContaining('find out whose the data is')])
  })

  test('is refused where one connection goes from tenant to tenant', async ({
    acme,
    beta,
    provisioner,
    start,
  }) => {
    const running = await start({ VALIDONX_CONNECTIONS: '1' })
    await restoreOver(provisioner, acme.place.database, beta.place.database)

    for (let round = 0; round < 10; round += 1) {
      expect(await running.validate(acme.apiKey, acme.license)).toBe('200')
      expect(await running.validate(beta.apiKey, acme.license)).toBe(NOT_OWNED)
    }
    // each look ends a connection: most refusals do without
    expect(running.opened()).toBeLessThan(10)
  })

  test('is one error in the log, does not make the process unready, and is served again once it is restored', async ({
    acme,
    beta,
    provisioner,
    start,
  }) => {
    const running = await start()
    const owner = `${quoteName(beta.place.database)}.validonx_owner`
    const mark = (id: string) => provisioner.run(`update ${owner} set tenant_id = ?`, [id])
    await mark(acme.place.id)
    for (let count = 0; count < 5; count += 1)
      expect(await running.validate(beta.apiKey, beta.license)).toBe(NOT_OWNED)
    const logged = [...running.errors]
    const ready = await running.ready()
    await mark(beta.place.id)

    await eventually(
      () => running.validate(beta.apiKey, beta.license),
      (said) => said === '200',
    )
    expect(ready).toBe('200')
    expect(logged).toEqual(['a database does not carry the marker of its tenant'])
  })
})

test.for([
  ['is empty', 'delete from @owner'],
  ['names two tenants', `insert into @owner values ('${newId()}', now())`],
  ['is of another form', 'alter table @owner change tenant_id owner_id varchar(50)'],
  ['is not there', 'drop table @owner'],
] as const)(
  'a database is not used if its marker %s',
  async ([, change], { acme, beta, environment, provisioner }) => {
    const owner = `${quoteName(beta.place.database)}.validonx_owner`
    await provisioner.run(change.replaceAll('@owner', owner))
    await using ctx = await open(environment)
    const toMigrate = ({ place: { id, slug, database } }: typeof beta) => ({
      tenantId: id,
      slug,
      database,
    })
    const opened = new MigrationSession(provisioner.reach, silentLog)
    const moved = new MigrationSession(provisioner.reach, silentLog)
    await moved.enter(toMigrate(acme))
    const codes = [
      await opened.enter(toMigrate(beta)).catch(codeOf),
      await moved.enter(toMigrate(beta)).catch(codeOf),
      await ctx.tenantDatabases.read(beta.place, 'select 1', []).catch(codeOf),
      await ctx.tenantDatabases.lend(beta.place, async () => 'lent').catch(codeOf),
      await ctx.tenantDatabases.for(beta.place)('settings').first().catch(codeOf),
    ]

    expect(codes).toEqual(Array.from({ length: 5 }, () => 'TENANT.DATABASE_NOT_OWNED'))
  },
)

house(
  'new connections of a tenant do not wait for the relay, which locks the marker',
  async ({ environment, scope }) => {
    await scope.db.transaction(async (relay) => {
      await relay.raw('select 1 from validonx_owner for update')
      await using ctx = await open(environment)
      const { db } = await enterTenant(ctx, scope.tenant.slug)

      expect(await db('branding').pluck('id')).toEqual([1])
    })
  },
)

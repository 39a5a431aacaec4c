import type { Connection } from 'mysql2'
import { afterEach, describe, expect, inject } from 'vitest'
import { openConnection } from '../../../src/core/db/connect.js'
import { OWNER_TABLE } from '../../../src/core/db/ownership.js'
import type { Provisioner } from '../../../src/core/db/provisioner.js'
import { parseDatabaseUrl } from '../../../src/core/db/server-address.js'
import { pinned, type Setting, setUpSession } from '../../../src/core/db/session-settings.js'
import { quoteGrantDatabase, quoteName, quoteUser } from '../../../src/core/db/sql.js'
import { runOn } from '../../../src/core/db/statements.js'
import { MigrationSession } from '../../../src/core/fleet/migration-session.js'
import { ensureTenantUser } from '../../../src/core/fleet/tenant-user.js'
import { silentLog } from '../../../src/core/log.js'
import { placeOf } from '../../../src/core/tenants/scope.js'
import { getTenant } from '../../../src/core/tenants/tenant-store.js'
import { codeOf } from '../../support/code-of.js'
import { freshSlug, test as house, provision } from '../../support/house.js'
import { freshEnvironment, initialize, open, openProvisioner } from '../../support/platform.js'
import { startThrowAwayServer } from '../../support/throw-away-server.js'

const reachOf = (url: string) => ({ ...parseDatabaseUrl(url, {}), connectTimeoutMs: 5_000 })

const test = house.extend('place', async ({ ctx, tenant }) =>
  placeOf(await getTenant(ctx.platform, tenant.slug)),
)

/** Locks the tenant's owner marker against every other session while `work` runs. */
async function withMarkerLocked<T>(database: string, work: () => Promise<T>): Promise<T> {
  const connection = await openConnection(reachOf(inject('databaseUrl')))
  try {
    await runOn(connection, `lock tables ${quoteName(database)}.${OWNER_TABLE} write`)
    return await work()
  } finally {
    connection.destroy()
  }
}

/** The second if a loaded machine doesn't even connect in time. */
const TIMED_OUT = /^DATABASE\.(CONNECTION_LOST|UNREACHABLE)$/

describe('while another session holds a lock on the owner marker', () => {
  test('opening a tenant connection fails after the connect timeout', async ({
    ctx,
    environment,
    place,
  }) => {
    await using hasty = await open({ ...environment, VALIDONX_CONNECT_TIMEOUT: '0.5' })
    const code = await withMarkerLocked(place.database, () =>
      hasty.tenantDatabases.lend(place, async () => 'lent').catch(codeOf),
    )

    expect(code).toMatch(TIMED_OUT)
    expect(await ctx.tenantDatabases.lend(place, async () => 'lent')).toBe('lent')
  })

  test('a migration session enters no database, neither as its first nor as its next', async ({
    ctx,
    place,
    provisioner,
  }) => {
    const slug = freshSlug()
    await provision(ctx, slug)
    const other = placeOf(await getTenant(ctx.platform, slug))
    const reach = { ...provisioner.reach, connectTimeoutMs: 0 }
    const session = new MigrationSession(reach, silentLog)
    const enter = ({ id, slug, database }: typeof place, connectTimeoutMs: number) => {
      reach.connectTimeoutMs = connectTimeoutMs
      return session.enter({ tenantId: id, slug, database }).then(() => 'entered', codeOf)
    }
    const codes = await withMarkerLocked(place.database, async () => [
      await enter(place, 300),
      await enter(other, 60_000),
      await enter(place, 300),
    ])
    session.cut()

    const timedOut = expect.stringMatching(TIMED_OUT)
    expect(codes).toEqual([timedOut, 'entered', timedOut])
  })
})

describe('a tenant whose login may not read the owner marker', () => {
  test('is repaired, and served at once afterwards', async ({
    ctx,
    tenant,
    place,
    provisioner,
  }) => {
    const row = await getTenant(ctx.platform, tenant.slug)
    const account = quoteUser(row.databaseUser, ctx.config.tenantUserHost)
    await provisioner.run(
      `revoke select on ${quoteGrantDatabase(place.database)}.* from ${account}`,
    )
    ctx.tenantDatabases.close(place.id)
    const ask = () => ctx.tenantDatabases.lend(place, async () => 'lent').catch(codeOf)
    const before = await ask()
    await ensureTenantUser(ctx, provisioner, row)

    expect([before, await ask()]).toEqual(['TENANT.DATABASE_MISSING', 'lent'])
  })

  test('is served at once after its connections were closed, also if its marker was missing', async ({
    ctx,
    place,
    provisioner,
  }) => {
    const marker = `${quoteName(place.database)}.${OWNER_TABLE}`
    const ask = () => ctx.tenantDatabases.lend(place, async () => 'lent').catch(codeOf)
    await provisioner.run(`rename table ${marker} to ${marker.replace(OWNER_TABLE, 'aside')}`)
    ctx.tenantDatabases.close(place.id)
    const before = await ask()
    await provisioner.run(`rename table ${marker.replace(OWNER_TABLE, 'aside')} to ${marker}`)
    const meanwhile = await ask()
    ctx.tenantDatabases.close(place.id)

    expect([before, meanwhile, await ask()]).toEqual([
      'TENANT.DATABASE_NOT_OWNED',
      'TENANT.DATABASE_NOT_OWNED',
      'lent',
    ])
  })
})

describe('a variable that the server lacks', () => {
  const list = pinned as Setting[]
  const before = [...list]
  afterEach(() => {
    list.splice(0, list.length, ...before)
  })

  const statementsOf = async (connection: Connection): Promise<number> => {
    const [row] = (await runOn(connection, "show session status like 'Questions'")) as unknown as {
      Value: string
    }[]
    return Number(row?.Value)
  }

  test('is left out at once by later sessions on the same server', async ({ provisioner }) => {
    const [first] = list
    if (first) list.push({ ...first, name: 'no_longer_there' }, { ...first, name: 'nor_is_this' })
    const connection = await openConnection(provisioner.reach)
    const before = await statementsOf(connection)
    await setUpSession(connection, {})
    const after = await statementsOf(connection)
    connection.destroy()

    // the setup, and the question how many there were
    expect(after - before).toBe(2)
  })
})

const isMariaDb = async (provisioner: Provisioner): Promise<boolean> => {
  const [row] = await provisioner.rows<{ version: string }>('select version() as version')
  return /mariadb/i.test(row?.version ?? '')
}

describe('a MariaDB with secure_timestamp', () => {
  test.for(['YES', 'SUPER'])(
    '(%s) is set up, provisioned and read',
    async (value, { provisioner, skip }) => {
      if (!(await isMariaDb(provisioner))) skip('MySQL has no secure_timestamp')
      const serverOptions = [`--secure-timestamp=${value}`]
      await using server = await startThrowAwayServer({ durable: false, serverOptions })
      const environment = freshEnvironment(server.databaseUrl)
      await using admin = openProvisioner(server.databaseUrl)
      await initialize(environment)
      await using ctx = await open(environment)
      const slug = freshSlug()
      await provision(ctx, slug)
      const place = placeOf(await getTenant(ctx.platform, slug))
      const [now] = await ctx.tenantDatabases.read<{ zone: string; mode: string }>(
        place,
        'select @@time_zone as zone, @@sql_mode as mode',
        [],
      )

      expect(await admin.rows('select @@secure_timestamp as value')).toEqual([{ value }])
      expect(now).toMatchObject({ zone: '+00:00', mode: expect.stringContaining('STRICT') })
    },
  )
})

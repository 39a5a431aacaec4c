import { describe, expect } from 'vitest'
import { pinned, type Setting, settingsOf } from '../../src/core/db/session-settings.js'
import { rowsOf } from '../../src/core/db/statements.js'
import { MigrationSession } from '../../src/core/fleet/migration-session.js'
import { silentLog } from '../../src/core/log.js'
import { placeOf } from '../../src/core/tenants/scope.js'
import { getTenant } from '../../src/core/tenants/tenant-store.js'
import { isCampaign } from './campaign.js'
import { everythingHostile, type Family, hostileTo, underGlobals } from './hostile-settings.js'
import { freshSlug, test as house, provision } from './house.js'
import { differencesBetween, takeJourney } from './journey.js'
import { dropPlatform, freshEnvironment, initialize, open, openProvisioner } from './platform.js'

const PATIENCE = { timeout: 300_000 }

type Values = Readonly<Record<string, unknown>>
type Ask = (sql: string) => Promise<readonly Values[]>

type Server = AsyncDisposable & { readonly databaseUrl: string }

/** Tests that nothing depends on how an administrator has set the server. It must be nobody else's. */
export function testServerSettings(family: Family, start: () => Promise<Server>): void {
  const test = house
    // biome-ignore lint/correctness/noEmptyPattern: vitest reads from it that no fixture is needed
    .extend('url', { scope: 'file' }, async ({}, { onCleanup }) => {
      const server = await start()
      onCleanup(() => server[Symbol.asyncDispose]())
      return server.databaseUrl
    })
    .extend('admin', { scope: 'file' }, async ({ url }, { onCleanup }) => {
      const admin = openProvisioner(url)
      onCleanup(() => admin[Symbol.asyncDispose]())
      if (family === 'MariaDB') await admin.run('set global query_cache_type = 0')
      return admin
    })
    .extend('plain', { scope: 'file' }, async ({ url, admin: _ }) => takeJourney(url))
    .extend('hostile', { scope: 'file' }, async ({ url }, { onCleanup }) => {
      const environment = freshEnvironment(url, { VALIDONX_CONNECTIONS: '1' })
      await initialize(environment)
      onCleanup(() => dropPlatform(environment))
      await using ctx = await open(environment)
      const slugs = [freshSlug(), freshSlug()] as const
      for (const slug of slugs) await provision(ctx, slug)
      const places = await Promise.all(
        slugs.map(async (slug) => placeOf(await getTenant(ctx.platform, slug))),
      )
      return { environment, places }
    })
    .extend('lookAtSessions', async ({ hostile, url }) => {
      /** What every kind of session of ours has, freshly opened. */
      return async (): Promise<Record<string, Values>> => {
        const { environment, places } = hostile
        const [first, second] = places
        if (!first || !second) throw new Error('there are two tenants')
        await using ctx = await open(environment)
        await using provisioner = openProvisioner(url)
        const migrating = new MigrationSession(provisioner.reach, silentLog)
        const enter = async ({ id, slug, database }: typeof first) => {
          const db = await migrating.enter({ tenantId: id, slug, database })
          return look((sql) => rowsOf(db, sql))
        }
        const sessions = {
          provisioner: await look((sql) => provisioner.rows(sql)),
          'provisioner in a database': await provisioner.withDatabase(first.database, (db) =>
            look((sql) => rowsOf(db, sql)),
          ),
          runtime: await look((sql) => rowsOf(ctx.platform, sql)),
          tenant: await look((sql) => ctx.tenantDatabases.read(first, sql, [])),
          'tenant, re-bound': await look((sql) => ctx.tenantDatabases.read(second, sql, [])),
          'tenant, by Knex': await look((sql) => rowsOf(ctx.tenantDatabases.for(second), sql)),
          migration: await enter(first),
          'migration, of the next tenant': await enter(second),
        }
        expect(Object.values(ctx.tenantDatabases.gauges().servers)[0]).toMatchObject({
          opened: 1,
          rebound: 1,
        })
        migrating.cut()
        return sessions
      }
    })

  const ours = (setting: Setting) => setting.only === undefined || setting.only === family
  const settings = settingsOf({}).filter(ours)
  const names = [...settings.map(({ name }) => name), 'time_zone', 'character_set_connection']
  const look = async (ask: Ask): Promise<Values> => {
    const [row] = await ask(
      `select ${names.map((name) => `@@session.${name} as ${name}`).join(', ')}`,
    )
    return row ?? {}
  }

  /** Variables that are not as they should be, by session. */
  const faultsOf = (sessions: Record<string, Values>): string[] =>
    Object.entries(sessions).flatMap(([session, values]) => {
      const isTenants = /tenant|migration/.test(session)
      const wanted: Values = {
        ...Object.fromEntries(settings.map(({ name, value }) => [name, value])),
        [family === 'MySQL' ? 'transaction_isolation' : 'tx_isolation']: isTenants
          ? 'READ-COMMITTED'
          : 'REPEATABLE-READ',
        ...(session.startsWith('migration')
          ? { lock_wait_timeout: 1, innodb_lock_wait_timeout: 1 }
          : {}),
        time_zone: '+00:00',
        character_set_connection: 'utf8mb4',
      }
      return names
        .map((name) => ({ name, value: wanted[name] }))
        .filter(({ name, value }) =>
          name === 'timestamp'
            ? Math.abs(Number(values[name]) - Date.now() / 1000) > 100_000
            : String(values[name]) !== String(value),
        )
        .map(({ name }) => `${session}: ${name} is ${values[name]}`)
    })

  test('every session has every setting that correctness depends on, whatever the server says', {
    ...PATIENCE,
  }, async ({ admin, lookAtSessions, hostile: _ }) => {
    const sessions = await underGlobals(admin, hostileTo(family), lookAtSessions)

    expect(Object.keys(sessions)).toHaveLength(8)
    expect(faultsOf(sessions)).toEqual([])
  })

  test(
    'a setting that is left out is seen, whichever it is',
    PATIENCE,
    async ({ admin, hostile, lookAtSessions }) => {
      const list = pinned as Setting[]
      const unseen: string[] = []
      await underGlobals(admin, hostileTo(family), async () => {
        for (const [index, setting] of [...list].entries()) {
          if (!ours(setting)) continue
          list.splice(index, 1)
          try {
            // without some of them no session gets as far as being looked at
            const found = await lookAtSessions().then(faultsOf, () => [` ${setting.name} is `])
            if (!found.some((fault) => fault.includes(` ${setting.name} is `)))
              unseen.push(setting.name)
          } finally {
            list.splice(index, 0, setting)
          }
        }
      })

      expect(hostile.places).toHaveLength(2)
      expect(unseen).toEqual([])
    },
  )

  test('a variable that the server does not know is left out, and all others are set', {
    ...PATIENCE,
  }, async ({ admin, hostile: _, lookAtSessions }) => {
    const list = pinned as Setting[]
    const [first = { name: '', value: 0, why: '' }] = list
    list.unshift({ ...first, name: 'no_longer_there' })
    list.push({ ...first, name: 'nor_is_this' })
    try {
      expect(faultsOf(await underGlobals(admin, hostileTo(family), lookAtSessions))).toEqual([])
    } finally {
      list.shift()
      list.pop()
    }
  })

  test('everything is stored and answered as on a plain server, under all hostile settings at once', {
    ...PATIENCE,
  }, async ({ url, admin, plain }) => {
    const journey = await underGlobals(admin, everythingHostile(family), () => takeJourney(url))

    expect(plain.faults).toEqual([])
    expect(journey.faults).toEqual([])
    expect(differencesBetween(plain, journey)).toEqual([])
  })

  describe.runIf(isCampaign)('in the campaign', () => {
    test.for(Object.entries(everythingHostile(family)))(
      'everything is stored and answered as on a plain server, under %s = %s',
      PATIENCE,
      async ([name, value], { url, admin, plain }) => {
        const journey = await underGlobals(admin, { [name]: value }, () => takeJourney(url))

        expect(journey.faults).toEqual([])
        expect(differencesBetween(plain, journey)).toEqual([])
      },
    )

    test.runIf(family === 'MySQL')(
      'everything is stored and answered as on a plain server, with partial_revokes',
      PATIENCE,
      async ({ url, admin, plain }) => {
        const globals = { partial_revokes: '1' }
        const journey = await underGlobals(admin, globals, () => takeJourney(url))

        expect(journey.faults).toEqual([])
        expect(differencesBetween(plain, journey)).toEqual([])
      },
    )

    test.runIf(family === 'MySQL')(
      'everything is stored and answered as on a plain server, with passwords older than their lifetime',
      PATIENCE,
      async ({ url, admin, plain }) => {
        const age = async () => {
          await admin.run(
            "update mysql.user set password_last_changed = now() - interval 2 day where user like 'vx%'; flush privileges",
          )
        }
        const globals = { default_password_lifetime: '1' }
        const journey = await underGlobals(admin, globals, () => takeJourney(url, age))

        expect(journey.faults).toEqual([])
        expect(differencesBetween(plain, journey)).toEqual([])
      },
    )

    test.for(['foreign_key_checks', 'character_set_client', 'autocommit'])(
      'a journey sees that %s was left out',
      PATIENCE,
      async (name, { url, admin, plain }) => {
        const list = pinned as Setting[]
        const index = list.findIndex((setting) => setting.name === name)
        const [left] = list.splice(index, 1)
        try {
          const journey = await underGlobals(admin, hostileTo(family), () => takeJourney(url))
          expect([...journey.faults, ...differencesBetween(plain, journey)]).not.toEqual([])
        } finally {
          list.splice(index, 0, left as Setting)
        }
      },
    )
  })
}

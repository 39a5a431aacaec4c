import type { Connection } from 'mysql2'
import { describe, expect } from 'vitest'
import { openConnection } from '../../../src/core/db/connect.js'
import type { Login } from '../../../src/core/db/server-address.js'
import { quoteGrantDatabase, quoteName, quoteText, quoteUser } from '../../../src/core/db/sql.js'
import { isFailure } from '../../../src/core/driver-failure.js'
import { getTenant } from '../../../src/core/tenants/tenant-store.js'
import { test as house, provision } from '../../support/house.js'
import { freshWord } from '../../support/platform.js'
import type { Grounds } from '../../support/standing.js'

/** Names that look alike, above all where `_` in a grant would stand for any character. */
const SLUGS = ['ab', 'a-b', 'a1b', 'ab1', 'a-b-c', 'a1b-c', 'a1b1c', 'a-bc']

/** What a tenant's login tries in a database. Of its own it may do the first five, elsewhere none. */
const ATTEMPTS: Readonly<Record<string, (at: Target) => string>> = {
  enter: ({ database }) => `use ${database}`,
  read: ({ database }) => `select name, value from ${database}.settings`,
  insert: ({ database, name }) =>
    `insert into ${database}.settings (name, value, created_at, updated_at) values ('${name}', '1', now(), now())`,
  update: ({ database, name }) =>
    `update ${database}.settings set value = '2' where name = '${name}'`,
  delete: ({ database, name }) => `delete from ${database}.settings where name = '${name}'`,

  'create a table': ({ database }) => `create table ${database}.stray (id int)`,
  'change a table': ({ database }) => `alter table ${database}.settings add column stray int`,
  'add an index': ({ database }) => `create index stray on ${database}.settings (created_at)`,
  'empty a table': ({ database }) => `truncate table ${database}.usage_events`,
  'drop a table': ({ database }) => `drop table ${database}.usage_events`,
  'create a view': ({ database }) => `create view ${database}.stray as select 1 as one`,
  'drop the database': ({ database }) => `drop database ${database}`,
  grant: ({ grantDatabase, account }) => `grant select on ${grantDatabase}.* to ${account}`,
  'grant one table': ({ database, account }) =>
    `grant select on ${database}.settings to ${account}`,
}
const MAY_AT_HOME = ['enter', 'read', 'insert', 'update', 'delete']

type Target = {
  readonly slug: string
  readonly database: string
  readonly grantDatabase: string
  /** A row and an account that no other attempt names. */
  readonly name: string
  readonly account: string
}
type Visitor = { readonly slug: string; readonly login: Login }
type Tenants = readonly (Visitor & { readonly database: string })[]

const ask = (connection: Connection, sql: string): Promise<Record<string, unknown>[]> =>
  new Promise((done, fail) =>
    connection.query(sql, (error, rows) =>
      error ? fail(error) : done(rows as Record<string, unknown>[]),
    ),
  )

async function visit<T>(
  { ctx }: Pick<Grounds, 'ctx'>,
  login: Login,
  work: (connection: Connection) => Promise<T>,
): Promise<T> {
  const connection = await openConnection({
    address: ctx.access.address,
    login,
    connectTimeoutMs: 30_000,
  })
  try {
    return await work(connection)
  } finally {
    connection.destroy()
  }
}

/** Lets each visitor try everything in every database, and answers what did not end as it must. */
async function breachesOf(
  grounds: Pick<Grounds, 'ctx'>,
  visitors: readonly Visitor[],
  tenants: Tenants,
): Promise<{ readonly tried: number; readonly breaches: string[] }> {
  const breaches: string[] = []
  let tried = 0
  for (const { slug, login } of visitors) {
    await visit(grounds, login, async (connection) => {
      for (const { slug: home, database } of tenants) {
        for (const [what, toSql] of Object.entries(ATTEMPTS)) {
          const sql = toSql({
            slug: home,
            database: quoteName(database),
            grantDatabase: quoteGrantDatabase(database),
            name: `by-${slug}`,
            account: quoteUser(login.user, grounds.ctx.config.tenantUserHost),
          })
          const mayDo = slug === home && MAY_AT_HOME.includes(what)
          const ended = await ask(connection, sql).then(
            () => 'done',
            (error: unknown) => (isFailure(error, 'privilege missing') ? 'refused' : String(error)),
          )
          tried += 1
          if (ended !== (mayDo ? 'done' : 'refused'))
            breaches.push(`${slug} in ${home}: ${what} ${ended}`)
        }
      }
    })
  }
  return { tried, breaches }
}

const test = house.extend('tenants', { scope: 'file' }, async ({ ctx }): Promise<Tenants> => {
  const tenants = []
  for (const slug of SLUGS) {
    await provision(ctx, slug)
    const { id, database, databaseUser, credentialsGeneration } = await getTenant(
      ctx.platform,
      slug,
    )
    const password = ctx.keyring.tenantPassword(id, credentialsGeneration)
    tenants.push({ slug, database, login: { user: databaseUser, password } })
  }
  return tenants
})

describe('the wall between tenants', () => {
  test('a login reads and writes its own database, and does nothing else, there or anywhere', async ({
    ctx,
    tenants,
  }) => {
    const { tried, breaches } = await breachesOf({ ctx }, tenants, tenants)

    expect(breaches).toEqual([])
    expect(tried).toBe(SLUGS.length * SLUGS.length * Object.keys(ATTEMPTS).length)
  })

  test('a login does not see that there are other databases, tables or users', async ({
    ctx,
    tenants,
  }) => {
    for (const { login, database } of tenants) {
      const seen = await visit({ ctx }, login, async (connection) => [
        ...(await ask(connection, 'select schema_name as name from information_schema.schemata')),
        ...(await ask(
          connection,
          'select distinct table_schema as name from information_schema.tables',
        )),
        ...(await ask(
          connection,
          'select distinct table_schema as name from information_schema.schema_privileges',
        )),
      ])

      const names = new Set(seen.map(({ name }) => String(name).replaceAll('\\', '')))
      names.delete('information_schema')
      names.delete('performance_schema')
      expect([...names]).toEqual([database])
    }
  })

  test('a login reads neither the platform, nor the template, nor the server’s own tables', async ({
    ctx,
    tenants,
  }) => {
    const { platformDatabase, tenantPrefix } = ctx.config
    const forbidden = [
      `select * from ${quoteName(platformDatabase)}.tenants`,
      `select * from ${quoteName(platformDatabase)}.api_keys`,
      `select * from ${quoteName(`${tenantPrefix}_template`)}.settings`,
      'select * from mysql.user',
      'select * from mysql.db',
    ]
    const opened: string[] = []
    for (const { login } of tenants) {
      await visit({ ctx }, login, async (connection) => {
        for (const sql of forbidden) {
          const refused = await ask(connection, sql).then(
            () => false,
            (error: unknown) => isFailure(error, 'privilege missing'),
          )
          if (!refused) opened.push(`${login.user}: ${sql}`)
        }
      })
    }

    expect(opened).toEqual([])
  })

  test('a tenant’s password opens no other tenant’s login', async ({ ctx, tenants }) => {
    const opened: string[] = []
    for (const { slug, login } of tenants) {
      for (const other of tenants) {
        if (other.slug === slug) continue
        const mixed = { user: other.login.user, password: login.password }
        const refused = await visit({ ctx }, mixed, async () => false).catch((error: unknown) =>
          isFailure(error, 'access denied'),
        )
        if (!refused) opened.push(`${slug} as ${other.slug}`)
      }
    }

    expect(opened).toEqual([])
  })

  test('a grant without its escapes would be seen', async ({ ctx, provisioner, tenants }) => {
    const intruder = { user: freshWord(), password: `${freshWord()}.aA1` }
    const account = quoteUser(intruder.user, ctx.config.tenantUserHost)
    const database = tenants.find(({ slug }) => slug === 'a-b')?.database ?? ''
    await provisioner.run(
      `create user ${account} identified by ${quoteText(intruder.password)}; grant select, insert, update, delete on ${quoteName(database)}.* to ${account}`,
    )

    const { breaches } = await breachesOf({ ctx }, [{ slug: 'a-b', login: intruder }], tenants)

    await provisioner.run(`drop user ${account}`)
    expect(breaches).toEqual(MAY_AT_HOME.map((what) => `a-b in a1b: ${what} done`))
  })
})

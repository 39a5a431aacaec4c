import { randomUUID } from 'node:crypto'
import type { Connection } from 'mysql2'
import { describe, expect } from 'vitest'
import { quoteName } from '../../src/core/db/sql.js'
import { affectedBy, rowsOf } from '../../src/core/db/statements.js'
import { inTransaction } from '../../src/core/db/transaction.js'
import { asAppError } from '../../src/core/errors.js'
import { enterTenant } from '../../src/core/tenants/scope.js'
import { isCampaign } from '../support/campaign.js'
import { test as base } from '../support/house.js'
import { issueFor } from '../support/license.js'

/** Plants refusals in a tenant's database: a trigger raises them with the server's own numbers. */
type Planted = {
  readonly activate: () => Promise<{
    status: number
    code: string | undefined
    retryAfter: string | null
  }>
  /** The next so many activations are refused with this number. */
  plant(errno: number, sqlState: '40001' | 'HY000', times: number): Promise<void>
  /** How often an activation was tried since. */
  attempts(): Promise<number>
}

const test = base.extend('planted', async ({ ctx, app, tenant, provisioner }): Promise<Planted> => {
  const scope = await enterTenant(ctx, tenant.slug)
  const { license } = await issueFor(scope, { entitlements: { 'activations.max': 100 } })
  const { tenant: place } = scope
  const database = quoteName(place.database)
  const table = `${database}.planted`
  // a rollback does not take back the numbers that a table has given away
  await provisioner.run(
    `create table ${table} (id int not null primary key, errno int not null, state char(5) not null, last int not null) engine = InnoDB; insert into ${table} values (1, 0, '', 0); create table ${table}_ticks (id int not null primary key auto_increment) engine = InnoDB`,
  )
  await provisioner.run(`create trigger ${table} before insert on ${database}.activations for each row begin
    declare number, tick, last_tick int; declare state char(5);
    insert into planted_ticks values (null);
    set tick = last_insert_id();
    select p.errno, p.last, p.state into number, last_tick, state from planted p;
    if tick <= last_tick then
      if state = '40001' then signal sqlstate '40001' set mysql_errno = number, message_text = 'planted'; end if;
      signal sqlstate 'HY000' set mysql_errno = number, message_text = 'planted --read-only';
    end if;
  end`)
  const tick = async () =>
    ((await provisioner.run(`insert into ${table}_ticks values (null)`)) as { insertId: number })
      .insertId
  let planted = 0
  return {
    activate: async () => {
      const response = await app.request('/v1/integration/activations', {
        method: 'POST',
        headers: { 'X-API-Key': tenant.apiKey, 'Content-Type': 'application/json' },
        body: JSON.stringify({ license_key: license.key, fingerprint: randomUUID() }),
      })
      const body = (await response.json()) as { error?: { code: string } }
      return {
        status: response.status,
        code: body.error?.code,
        retryAfter: response.headers.get('Retry-After'),
      }
    },
    async plant(errno, sqlState, times) {
      planted = await tick()
      const last = planted + times
      await provisioner.run(`update ${table} set errno = ?, state = ?, last = ?`, [
        errno,
        sqlState,
        last,
      ])
    },
    attempts: async () => (await tick()) - planted - 1,
  }
})

describe('a transaction that the server keeps rolling back', () => {
  test('is repeated until it goes through, not six times', async ({ planted }) => {
    await planted.plant(1213, '40001', 9)

    expect(await planted.activate()).toMatchObject({ status: 201 })
    expect(await planted.attempts()).toBe(10)
  })

  test('is repeated after a node said that it is not ready', async ({ planted }) => {
    await planted.plant(1047, 'HY000', 3)

    expect(await planted.activate()).toMatchObject({ status: 201 })
    expect(await planted.attempts()).toBe(4)
  })

  test.runIf(isCampaign)(
    'ends as 503 with Retry-After when the time is used up',
    async ({ planted }) => {
      await planted.plant(1213, '40001', 1_000_000)

      expect(await planted.activate()).toEqual({
        status: 503,
        code: 'SERVER.UNAVAILABLE',
        retryAfter: expect.stringMatching(/^\d+$/),
      })
      expect(await planted.attempts()).toBeGreaterThan(6)
    },
  )
})

describe('what an operator can fix', () => {
  test('is 503 with Retry-After, is not repeated, and passes when it is fixed', async ({
    planted,
  }) => {
    // read-only, locked, expired, TLS required, host blocked, full, out of resources, damaged, settings
    for (const errno of [
      1290, 1836, 3118, 1862, 3159, 1129, 1021, 3, 1041, 1194, 1665, 1709, 1598,
    ]) {
      await planted.plant(errno, 'HY000', 1)
      const refused = await planted.activate()
      const attempts = await planted.attempts()
      const after = await planted.activate()

      expect([errno, refused, attempts, after.status]).toEqual([
        errno,
        { status: 503, code: 'SERVER.UNAVAILABLE', retryAfter: expect.stringMatching(/^\d+$/) },
        1,
        201,
      ])
    }
  })
})

/** Lets the server answer this connection's next COMMIT with an error of that number. */
function failNextCommit(connection: Connection, errno: number, sqlState: string): void {
  const query = connection.query.bind(connection) as (...args: unknown[]) => never
  Object.assign(connection, {
    query: (first: { sql: string } | string, ...rest: unknown[]) => {
      const sql = typeof first === 'string' ? first : first.sql
      if (!/^commit/i.test(sql)) return query(first, ...rest)
      Object.assign(connection, { query })
      return query(`signal sqlstate '${sqlState}' set mysql_errno = ${errno}`, ...rest)
    },
  })
}

describe('a COMMIT that fails', () => {
  const cases = [
    ['an error that says nothing', 1180, 'HY000', 'DATABASE.OUTCOME_UNKNOWN', 1],
    ['a timeout', 1969, '70100', 'DATABASE.OUTCOME_UNKNOWN', 1],
    ['a node that is not ready', 1047, '08S01', 'DATABASE.OUTCOME_UNKNOWN', 1],
    ['a failed certification', 1213, '40001', 'none', 2],
  ] as const

  test.for(cases)(
    'is repeated only if the server rolled back: %s',
    async ([, errno, sqlState, code, attempts], { ctx, scope }) => {
      let tried = 0
      const onPlatform = () =>
        inTransaction(ctx.platform, async (transaction) => {
          tried += 1
          if (tried === 1)
            failNextCommit(await transaction.client.acquireConnection(), errno, sqlState)
          await rowsOf(transaction, 'select 1')
        })
      const ofTenant = () =>
        scope.transaction(async (connection) => {
          tried += 1
          if (tried === 1) failNextCommit(connection, errno, sqlState)
          await rowsOf(connection, 'select 1')
        })

      for (const run of [onPlatform, ofTenant]) {
        tried = 0
        const ended = await run().then(
          () => 'none',
          (error) => asAppError(error).code,
        )
        expect([ended, tried]).toEqual([code, attempts])
      }
    },
  )

  test('never leaves its transaction to the next borrower of the connection', async ({ ctx }) => {
    const name = 'left-open'
    const insert =
      "insert into leases (name, holder, machine, pid, generation, acquired_at, expires_at) values (?, 'x', null, 0, 1, utc_timestamp(6), utc_timestamp(6))"
    const failing = inTransaction(ctx.platform, async (transaction) => {
      failNextCommit(await transaction.client.acquireConnection(), 1180, 'HY000')
      await affectedBy(transaction, insert, [name])
    })
    await expect(failing).rejects.toMatchObject({ code: 'DATABASE.OUTCOME_UNKNOWN' })
    // on the same connection this would commit what was left open
    await Promise.all(
      Array.from({ length: 10 }, () =>
        inTransaction(ctx.platform, (transaction) => rowsOf(transaction, 'select 1')),
      ),
    )

    expect(await rowsOf(ctx.platform, 'select 1 from leases where name = ?', [name])).toEqual([])
  })
})

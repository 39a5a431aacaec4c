import { expect } from 'vitest'
import { openConnection } from '../../../src/core/db/connect.js'
import { Provisioner } from '../../../src/core/db/provisioner.js'
import { parseDatabaseUrl } from '../../../src/core/db/server-address.js'
import { quoteName } from '../../../src/core/db/sql.js'
import { silentLog } from '../../../src/core/log.js'
import { runCli, test } from '../../support/house.js'
import { initialize } from '../../support/platform.js'

/** Answers what the server says to a statement under the runtime login: 'done' or its error's number. */
async function attempts(runtimeUrl: string, database: string, statements: readonly string[]) {
  const { address, login } = parseDatabaseUrl(runtimeUrl, {})
  const connection = await openConnection({ address, login, connectTimeoutMs: 5000 }, database)
  const answers = []
  for (const sql of statements) {
    answers.push(
      await new Promise((done) =>
        connection.query(sql, (error) => done(error ? error.errno : 'done')),
      ),
    )
  }
  connection.destroy()
  return answers
}

const REFUSED = [1044, 1142, 1143, 1227, 1370, 1410]

test('the runtime login can do its work, and nothing beyond it', async ({ environment, scope }) => {
  const runtimeUrl = await initialize(environment)
  const platform = environment.VALIDONX_PLATFORM_DATABASE ?? ''
  const tenant = quoteName(scope.tenant.database)

  const allowed = await attempts(runtimeUrl, platform, [
    'select count(*) from tenants',
    'select id, name, host from database_servers',
    'select event_id, action from audit_logs limit 1',
    'update api_keys set last_used_at = utc_timestamp(6) where 1 = 0',
    'update audit_logs set sequence = 1, previous_hash = null, hash = null where 1 = 0',
  ])
  const forbidden = [
    `create database ${quoteName(`${platform}_x`)}`,
    `drop database ${quoteName(platform)}`,
    `drop database ${tenant}`,
    'create table intruder (id int)',
    'alter table tenants add column intruder int',
    'drop table plans',
    "create user 'intruder'@'%' identified by 'Xx-123456789'",
    `grant select on ${tenant}.* to current_user()`,
    `select * from ${tenant}.licenses`,
    `insert into ${tenant}.settings (name, value) values ('a', '1')`,
    `delete from ${tenant}.outbox`,
    'select provisioner_login_encrypted from database_servers',
    'select * from database_servers',
    "update audit_logs set action = 'nothing' where 1 = 0",
    'delete from audit_logs',
    'delete from tenants',
    'delete from leases',
    "update plans set name = 'x'",
    'select user from mysql.user',
    'set global max_connections = 1',
  ]
  const refused = await attempts(runtimeUrl, platform, forbidden)

  expect(allowed).toEqual(allowed.map(() => 'done'))
  expect(forbidden.map((sql, index) => [sql, REFUSED.includes(refused[index] as number)])).toEqual(
    forbidden.map((sql) => [sql, true]),
  )
})

test('a command that makes databases says that it needs the other login', async ({
  environment,
}) => {
  const { VALIDONX_DATABASE_URL: _, ...rest } = environment
  const runtimeOnly = { ...rest, VALIDONX_RUNTIME_URL: await initialize(environment) }

  const provision = await runCli(runtimeOnly, ['tenant', 'provision', 'acme-runtime'])
  const list = await runCli(runtimeOnly, ['tenant', 'list'])
  const init = await runCli(runtimeOnly, ['init'])

  expect(provision).toMatchObject({
    exit: 78,
    said: expect.stringContaining('CONFIG.PROVISIONER_MISSING'),
  })
  expect(init).toMatchObject({
    exit: 78,
    said: expect.stringContaining('CONFIG.PROVISIONER_MISSING'),
  })
  expect(list.exit).toBe(0)
  expect(list.out).not.toContain('acme-runtime')
})

test('the detector sees what a login with more rights could do', async ({ environment }) => {
  const { address, login } = parseDatabaseUrl(environment.VALIDONX_DATABASE_URL ?? '', {})
  await using provisioner = new Provisioner(
    { address, login, connectTimeoutMs: 5000 },
    1,
    silentLog,
  )
  expect(await provisioner.rows('select 1 as one')).toEqual([{ one: 1 }])

  const platform = environment.VALIDONX_PLATFORM_DATABASE ?? ''
  const answers = await attempts(environment.VALIDONX_DATABASE_URL ?? '', platform, [
    'select * from database_servers',
    "update audit_logs set action = 'nothing' where 1 = 0",
  ])

  expect(answers).toEqual(['done', 'done'])
})

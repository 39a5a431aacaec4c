import { describe, expect } from 'vitest'
import { quoteName } from '../../../src/core/db/sql.js'
import { endSession } from '../../../src/core/fleet/end-sessions.js'
import { readLedgers } from '../../../src/core/fleet/ledger.js'
import { bare, databaseOf } from '../../support/fleet.js'
import { test } from '../../support/house.js'

describe('readLedgers', () => {
  test('reads the other databases if the server refuses to read one', async ({
    ctx,
    provisioner,
    scope,
    tenant,
  }) => {
    const sick = `${ctx.config.tenantPrefix}sick`
    await provisioner.run(
      `create database ${quoteName(sick)}; create table ${quoteName(sick)}.migrations (id int, name varchar(20), batch int);
       create definer = 'nobody'@'nowhere' view ${quoteName(sick)}.knex_migrations as select * from ${quoteName(sick)}.migrations;
       create table ${quoteName(sick)}.validonx_owner (tenant_id char(36))`,
    )
    const well = databaseOf(ctx, tenant.slug)

    const found = await readLedgers(provisioner, [sick, well])

    expect(found.get(well)).toMatchObject({ ownerId: scope.tenant.id })
    expect(found.get(sick)).toMatchObject({ missingTables: [], cause: { errno: 1449 } })
  })
})

describe('endSession', () => {
  test('ends a session, and accepts one that has already ended', async ({ provisioner, scope }) => {
    const session = bare(provisioner, scope.tenant.database)
    session.on('error', () => {})
    const id = await new Promise<number>((done, fail) =>
      session.query('select connection_id() as id', (error, rows) =>
        error ? fail(error) : done((rows as { id: number }[])[0]?.id ?? 0),
      ),
    )
    const isOpen = async () =>
      (await provisioner.rows<{ Id: number }>('show processlist')).some(({ Id }) => Id === id)
    const before = await isOpen()

    await endSession(provisioner, id)
    await expect.poll(isOpen).toBe(false)
    await endSession(provisioner, id)

    expect(before).toBe(true)
  })
})

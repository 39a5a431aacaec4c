import { expect } from 'vitest'
import { tenantMigrations } from '../../../migrations/tenant/index.js'
import { ownerTableSql } from '../../../src/core/db/ownership.js'
import type { Provisioner } from '../../../src/core/db/provisioner.js'
import { quoteName } from '../../../src/core/db/sql.js'
import {
  applyPendingMigrations,
  ensureTemplate,
  findSchemaScript,
  replaySql,
} from '../../../src/core/fleet/template.js'
import { getServerByName } from '../../../src/core/servers/database-server-store.js'
import { test } from '../../support/house.js'
import { schemaOf } from '../../support/schema.js'

async function made(provisioner: Provisioner, database: string, fill: () => Promise<unknown>) {
  await provisioner.run(
    `create database ${quoteName(database)} character set utf8mb4 collate utf8mb4_unicode_ci`,
  )
  await provisioner.run(ownerTableSql(database))
  await fill()
  const schema = await schemaOf(provisioner, database)
  const ledger = await provisioner.rows<{ name: string }>(
    `select name from ${quoteName(database)}.knex_migrations order by id`,
  )
  const lock = await provisioner.rows(
    `select is_locked from ${quoteName(database)}.knex_migrations_lock`,
  )
  await provisioner.run(`drop database ${quoteName(database)}`)
  return { schema, ledger: ledger.map(({ name }) => name), lock }
}

test('the schema that the template gives is the schema that the migrations give', async ({
  ctx,
  provisioner,
  environment,
}) => {
  const script = await findSchemaScript(ctx, await ctx.provisioner())
  const prefix = `${environment.VALIDONX_TENANT_PREFIX}_eq_`
  if (!script) throw new Error('init made no template')

  const replayed = await made(provisioner, `${prefix}a`, () =>
    provisioner.run(replaySql(script, `${prefix}a`)),
  )
  const migrated = await made(provisioner, `${prefix}b`, () =>
    applyPendingMigrations(provisioner, `${prefix}b`),
  )

  expect(replayed).toEqual(migrated)
  expect(replayed.ledger).toEqual(tenantMigrations.map(({ name }) => name))
  expect(Object.keys(replayed.schema.tables)).toHaveLength(tenantMigrations.length + 3)
})

test('a schema that differs in one index would be seen', async ({
  ctx,
  provisioner,
  environment,
}) => {
  const script = await findSchemaScript(ctx, await ctx.provisioner())
  const prefix = `${environment.VALIDONX_TENANT_PREFIX}_df_`
  if (!script) throw new Error('init made no template')

  const whole = await made(provisioner, `${prefix}a`, () =>
    provisioner.run(replaySql(script, `${prefix}a`)),
  )
  const lacking = await made(provisioner, `${prefix}b`, async () => {
    await provisioner.run(replaySql(script, `${prefix}b`))
    await provisioner.run(
      `alter table ${quoteName(`${prefix}b`)}.licenses drop index licenses_expires_at`,
    )
  })

  expect(lacking.schema).not.toEqual(whole.schema)
})

test('a template of another list of migrations is made anew', async ({
  ctx,
  provisioner,
  environment,
}) => {
  const template = quoteName(`${environment.VALIDONX_TENANT_PREFIX}_template`)
  await provisioner.run(`update ${template}.template_script set fingerprint = repeat('0', 64)`)
  await provisioner.run(`create table ${template}.left_over (id int primary key)`)

  await ensureTemplate(ctx, ctx.platform, await getServerByName(ctx.platform, 'primary'))

  const left = await provisioner.rows(
    'select 1 from information_schema.tables where table_schema = ? and table_name = ?',
    [`${environment.VALIDONX_TENANT_PREFIX}_template`, 'left_over'],
  )
  expect(left).toEqual([])
})

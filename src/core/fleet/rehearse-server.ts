import { randomUUID } from 'node:crypto'
import type { Context } from '../context.js'
import { cutConnection, openConnection } from '../db/connect.js'
import { type Account, accountSql, readTraits } from '../db/database-account.js'
import { inLentTransaction } from '../db/lent-transaction.js'
import { LEDGER_TABLES } from '../db/migrate.js'
import { markOwnerSql, ownerTableSql } from '../db/ownership.js'
import type { Provisioner } from '../db/provisioner.js'
import { quoteName, quoteUser } from '../db/sql.js'
import { runOn } from '../db/statements.js'
import { tenantUser } from '../db/user-names.js'
import { causeOf } from '../driver-failure.js'
import { asAppError } from '../errors.js'
import { newId } from '../ids.js'
import { scratchPrefix } from './expected-changes.js'
import { findStrayRights, tenantGrantSql } from './tenant-user.js'

/** Everything about our tables that a server's defaults could refuse or change. */
const TABLE = `create table rehearsal (
  id char(36) character set ascii collate ascii_bin not null primary key,
  parent_id char(36) character set ascii collate ascii_bin null,
  name varchar(255) not null,
  kind varchar(255) not null,
  note json null,
  written_at datetime(6) not null,
  unique key rehearsal_name (name),
  key rehearsal_kind (kind, name, written_at),
  constraint rehearsal_parent foreign key (parent_id) references rehearsal (id)
) engine = InnoDB default character set utf8mb4 collate utf8mb4_unicode_ci row_format = dynamic`

/**
 * Does once on a server what provisioning does for a tenant: a scratch database, its tables, a user with
 * one grant, a login as that user, a transaction; then removes all of it. A server that passes can hold
 * tenants, whatever its settings are.
 *
 * @returns what failed and the server's sentence; undefined if all went well
 */
export async function rehearse(
  ctx: Context,
  provisioner: Provisioner,
): Promise<string | undefined> {
  const id = newId()
  const database = `${scratchPrefix(ctx.config.tenantPrefix)}${id.slice(-12)}`
  const account: Account = {
    user: tenantUser(id),
    host: ctx.config.tenantUserHost,
    password: ctx.keyring.tenantPassword(id, 1),
  }
  let step = 'creating a database'
  try {
    await provisioner.run(
      `create database ${quoteName(database)} character set utf8mb4 collate utf8mb4_unicode_ci`,
    )
    step = 'creating tables'
    await provisioner.run(`${ownerTableSql(database)}; ${markOwnerSql(database)}`, [id])
    await provisioner.withDatabase(database, async (db) => {
      for (const table of [TABLE, ...LEDGER_TABLES]) await db.raw(table)
    })
    step = 'creating a database user'
    const traits = await readTraits(provisioner)
    await provisioner.run(accountSql(traits, account))
    step = 'granting rights to it'
    await provisioner.run(tenantGrantSql(traits, database, account))
    step = 'logging in as it'
    const connection = await openConnection(
      { ...provisioner.reach, login: { user: account.user, password: account.password } },
      database,
    )
    try {
      step = 'checking its rights'
      const stray = await findStrayRights(connection, database)
      if (stray !== undefined)
        return stray === 'nothing'
          ? 'a new database user may not use the database that it was granted'
          : `a new database user has rights beyond its own database: ${stray}`
      step = 'writing as it'
      await inLentTransaction(connection, async () => {
        await runOn(
          connection,
          "insert into rehearsal (id, name, kind, note, written_at) values (?, 'one', 'x', '{}', utc_timestamp(6))",
          [randomUUID()],
        )
        await runOn(connection, "update rehearsal set kind = 'y' where name = 'one'")
        await runOn(connection, "select * from rehearsal where name = 'one' for update")
        await runOn(connection, "delete from rehearsal where name = 'one'")
      })
    } finally {
      cutConnection(connection)
    }
    return await wrongTable(provisioner, database)
  } catch (thrown) {
    const failure = causeOf(thrown)
    return failure
      ? `${step} fails: ${failure.sentence} (${failure.errno ?? 'no number'})`
      : `${step} fails: ${asAppError(thrown).message}`
  } finally {
    const remove = [
      `drop user if exists ${quoteUser(account.user, account.host)}`,
      `drop database if exists ${quoteName(database)}`,
    ]
    // on a server that refused to make them it may refuse this too; health reports what is left
    for (const sql of remove) await provisioner.run(sql).catch(() => {})
  }
}

/** A server can be told to make tables of another kind than those it was asked for. */
async function wrongTable(provisioner: Provisioner, database: string): Promise<string | undefined> {
  const [table] = await provisioner.rows<{ engine: string; format: string }>(
    "select engine as engine, row_format as format from information_schema.tables where table_schema = ? and table_name = 'rehearsal'",
    [database],
  )
  const isRight = /^innodb$/i.test(table?.engine ?? '') && /^dynamic$/i.test(table?.format ?? '')
  return isRight
    ? undefined
    : `tables come out as ${table?.engine} with row format ${table?.format}, not InnoDB with Dynamic`
}

import type { Migration } from '../../../migrations/migration.js'
import { applyMigrations } from '../db/migrate.js'
import type { Provisioner } from '../db/provisioner.js'
import { quoteName } from '../db/sql.js'
import { newId } from '../ids.js'
import { ownerTableSql } from './ownership.js'
import { changesBetween, readSnapshot, type SchemaChange } from './schema-snapshot.js'

/** No slug begins with "_", so no tenant's database can have such a name. */
export const scratchPrefix = (tenantPrefix: string): string => `${tenantPrefix}_scratch_`

/**
 * What a migration does to the schema, found out by doing it: in a scratch database that is brought to
 * where the migration begins, and dropped afterwards.
 */
export async function findExpectedChanges(
  provisioner: Provisioner,
  tenantPrefix: string,
  migrations: readonly Migration[],
  name: string,
): Promise<SchemaChange[]> {
  const index = migrations.findIndex((migration) => migration.name === name)
  const database = `${scratchPrefix(tenantPrefix)}${newId().slice(-12)}`
  await provisioner.run(
    `create database ${quoteName(database)} character set utf8mb4 collate utf8mb4_unicode_ci; ${ownerTableSql(database)}`,
  )
  try {
    return await provisioner.withDatabase(database, async (db) => {
      await applyMigrations(db, migrations.slice(0, index))
      const before = await readSnapshot(provisioner, database)
      await migrations[index]?.up(db)
      return changesBetween(before, await readSnapshot(provisioner, database))
    })
  } finally {
    await provisioner.run(`drop database if exists ${quoteName(database)}`)
  }
}

import type { Migration } from '../../../migrations/migration.js'
import { applyMigrations } from '../db/migrate.js'
import { ownerTableSql } from '../db/ownership.js'
import type { Provisioner } from '../db/provisioner.js'
import { quoteName } from '../db/sql.js'
import { causeOf } from '../driver-failure.js'
import { newId } from '../ids.js'
import {
  changesBetween,
  readSnapshot,
  type SchemaChange,
  type SchemaSnapshot,
} from './schema-snapshot.js'

/** No slug begins with "_", so no tenant's database can have such a name. */
export const scratchPrefix = (tenantPrefix: string): string => `${tenantPrefix}_scratch_`

/** Table, column, key, foreign key: there already, or not there to drop. */
const ALREADY = new Set([1050, 1051, 1054, 1060, 1061, 1068, 1091, 1146, 1826, 3822])

/** Whether a statement failed because what it makes is there, or what it takes away is not. */
export function saysAlready(error: unknown): boolean {
  const errno = causeOf(error)?.errno
  return errno !== undefined && ALREADY.has(errno)
}

/** Whether a schema is as it was before these changes, or as it is after them. */
export const isAsOf = (
  snapshot: SchemaSnapshot,
  changes: readonly SchemaChange[],
  side: 'before' | 'after',
): boolean => changes.every((change) => snapshot.get(change.object) === change[side])

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

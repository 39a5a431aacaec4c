import type { Knex } from 'knex'
import type { Migration } from '../../../migrations/migration.js'
import { isFailure } from '../driver-failure.js'
import { affectedBy } from './statements.js'
import { startingOver } from './transaction.js'

/** Knex's own ledger and lock table, to the letter: its CLI agrees with us on any database. */
export const LEDGER_TABLES: readonly string[] = [
  'create table if not exists knex_migrations (id int unsigned not null auto_increment primary key, name varchar(255), batch int, migration_time timestamp null default current_timestamp) engine = InnoDB default character set utf8mb4 collate utf8mb4_unicode_ci row_format = dynamic',
  'create table if not exists knex_migrations_lock (`index` int unsigned not null auto_increment primary key, is_locked int) engine = InnoDB default character set utf8mb4 collate utf8mb4_unicode_ci row_format = dynamic',
]

export async function prepareLedger(db: Knex): Promise<void> {
  for (const table of LEDGER_TABLES) await db.raw(table)
  await startingOver(() =>
    affectedBy(
      db,
      'insert into knex_migrations_lock (is_locked) select 0 from dual where not exists (select 1 from knex_migrations_lock)',
    ),
  )
}

/** Names in the order they were applied; empty where the database has no ledger yet. */
export async function listApplied(db: Knex): Promise<string[]> {
  try {
    return await db('knex_migrations').orderBy('id').pluck('name')
  } catch (error) {
    if (isFailure(error, 'missing')) return []
    throw error
  }
}

export const pendingOf = (
  applied: readonly string[],
  migrations: readonly Migration[],
): Migration[] => {
  const done = new Set(applied)
  return migrations.filter(({ name }) => !done.has(name))
}

/**
 * Applies what is pending, in order, and answers with the names. Knex's lock is not taken: it stays
 * locked for ever when a process dies, so the caller holds a lease.
 * A migration is one DDL statement, which the server does whole or not at all.
 *
 * @param isThere asked where a statement fails: whether a run that was cut off has done it already
 */
export async function applyMigrations(
  db: Knex,
  migrations: readonly Migration[],
  report: (name: string) => void = () => {},
  isThere: (migration: Migration, error: unknown) => Promise<boolean> = async () => false,
): Promise<string[]> {
  await prepareLedger(db)
  const pending = pendingOf(await listApplied(db), migrations)
  if (pending.length === 0) return []
  const [{ latest } = { latest: 0 }] = await db('knex_migrations').max({ latest: 'batch' })
  const batch = Number(latest ?? 0) + 1
  for (const migration of pending) {
    report(migration.name)
    try {
      await migration.up(db)
    } catch (error) {
      if (!(await isThere(migration, error))) throw error
    }
    await db('knex_migrations').insert({ name: migration.name, batch, migration_time: db.fn.now() })
  }
  return pending.map(({ name }) => name)
}

import type { Knex } from 'knex'
import type { Connection } from 'mysql2'
import type { Migration } from '../../../migrations/migration.js'
import { connectTenant } from '../db/connect.js'
import { loadMysql } from '../db/drivers.js'
import { silentLog } from '../log.js'

export type Direction = 'up' | 'down'

/**
 * The statements that a migration sends, with their values in place, without a database: reading ones
 * find nothing. For a plan that a person reads, and for telling what kind of migration it is.
 *
 * @throws what the migration throws where it cannot do without an answer
 */
export async function recordSql(migration: Migration, direction: Direction): Promise<string[]> {
  const statements: string[] = []
  const connection = {
    query(
      { sql }: { sql: string },
      values: readonly unknown[] | undefined,
      done: (error: null, result: unknown, fields: unknown[]) => void,
    ) {
      const text = loadMysql().format(sql, values as string[])
      if (!/^(begin|commit|rollback)\b/i.test(text)) statements.push(text.trim())
      done(null, isReading(text) ? [] : { affectedRows: 0, insertId: 0 }, [])
    },
  } as unknown as Connection
  const source = {
    acquire: () => ({ promise: Promise.resolve(connection) }),
    release: () => true,
    destroy: () => Promise.resolve(),
    numFree: () => 1,
    numUsed: () => 0,
    numPendingAcquires: () => 0,
  }
  await migration[direction](connectTenant(source, silentLog) as Knex)
  return statements
}

/** Statements that the server commits by itself, and the transaction that they are sent in with them. */
export const isDdl = (statement: string): boolean =>
  /^(create|alter|drop|rename|truncate|optimize|analyze|grant|revoke)\b/i.test(bare(statement))

export const isReading = (statement: string): boolean =>
  /^(select|show|explain|describe|with)\b/i.test(bare(statement))

/** Without the comments and brackets that it may begin with. */
export const bare = (statement: string): string =>
  statement.replace(/^(\s+|\/\*[\s\S]*?\*\/|--[^\n]*\n|#[^\n]*\n|\()+/, '')

/**
 * How a migration must be run. `schema`: one statement that the server does whole or not at all, and
 * commits. `data`: rows, in one transaction with the ledger.
 */
export type MigrationKind = 'schema' | 'data'

export const kindOf = (statements: readonly string[]): MigrationKind =>
  statements.some(isDdl) ? 'schema' : 'data'

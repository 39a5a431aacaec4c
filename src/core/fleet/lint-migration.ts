import type { Migration } from '../../../migrations/migration.js'
import { platformMigrations } from '../../../migrations/platform/index.js'
import { tenantMigrations } from '../../../migrations/tenant/index.js'
import { bare, isDdl, isReading, recordSql } from './recorded-sql.js'

export type MigrationFault = { readonly migration: string; readonly fault: string }

const NAME = /^\d{8}-\d{2}-[a-z0-9]+(-[a-z0-9]+)*$/
/** What readers and writers of the version before would miss: it belongs into a release after theirs. */
const DESTRUCTIVE =
  /^(drop\s+(table|column|view)|truncate|rename\s+table)|^alter\s+table\s[\s\S]*\b(drop\s+(?!(index|key|foreign|constraint|check|primary)\b)|rename\s+(column|to|as)\b|modify\b|change\b)/i
const CONTRACT = /--\s*contract\b/

/**
 * What speaks against a migration: the name, no way back, more than one statement that commits by
 * itself, rows and schema in one, and a change that the version before cannot live with and does not say
 * so. Empty where nothing does.
 */
export async function lintMigration(migration: Partial<Migration>): Promise<MigrationFault[]> {
  const name = typeof migration.name === 'string' ? migration.name : '(without a name)'
  const faults: string[] = []
  if (!NAME.test(name))
    faults.push('its name must be like 20261124-01-add-note: the day, a number, and what it does')
  for (const direction of ['up', 'down'] as const) {
    if (typeof migration[direction] !== 'function') {
      faults.push(
        `it has no "${direction}": ${direction === 'down' ? 'a rollout could not be taken back' : 'it does nothing'}`,
      )
      continue
    }
    try {
      faults.push(...faultsOf(await recordSql(migration as Migration, direction), direction))
    } catch (error) {
      faults.push(
        `its "${direction}" cannot be read without a database: ${error instanceof Error ? error.message : String(error)}`,
      )
    }
  }
  return faults.map((fault) => ({ migration: name, fault }))
}

function faultsOf(statements: readonly string[], direction: 'up' | 'down'): string[] {
  const faults: string[] = []
  const ddl = statements.filter(isDdl)
  const rows = statements.filter((statement) => !isDdl(statement) && !isReading(statement))
  if (statements.length === 0) faults.push(`its "${direction}" sends nothing`)
  if (ddl.length > 1)
    faults.push(
      `its "${direction}" sends ${ddl.length} statements that commit by themselves: a crash between them leaves a schema that nobody knows. Make one file of each`,
    )
  if (ddl.length > 0 && rows.length > 0)
    faults.push(
      `its "${direction}" changes the schema and rows: the schema's statement commits the rows before it, and not those after it. Make one file of each`,
    )
  if (direction === 'up') {
    for (const statement of ddl) {
      if (
        /^create\s+table\b/i.test(bare(statement)) &&
        !/\brow_format\s*=?\s*dynamic\b/i.test(statement)
      )
        faults.push(
          'it creates a table without "row_format = dynamic": with another default of the server its indexes may not fit',
        )
      if (DESTRUCTIVE.test(bare(statement)) && !CONTRACT.test(statement))
        faults.push(
          'it takes away what the version before still uses. Where no running version does, say so in the statement: "-- contract"',
        )
    }
  }
  return faults
}

/** Every migration that this build has, of tenants and of the platform. */
export async function lintShipped(): Promise<{
  readonly count: number
  readonly faults: readonly MigrationFault[]
}> {
  const all = [...tenantMigrations, ...platformMigrations]
  const faults = await Promise.all(all.map(lintMigration))
  return { count: all.length, faults: faults.flat() }
}

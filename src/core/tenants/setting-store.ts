import type { TenantDb } from '../db/connect.js'
import { affectedBy, type Executor, rowsOf } from '../db/statements.js'
import { fromJsonColumn } from '../parse.js'

export const listSettingNames = (db: TenantDb): Promise<string[]> => db('settings').pluck('name')

/** Writes the settings that are missing and leaves the others. Answers the names added. */
export async function insertMissingSettings(
  db: TenantDb,
  defaults: Readonly<Record<string, unknown>>,
  at: Date,
): Promise<string[]> {
  const present = new Set(await listSettingNames(db))
  const missing = Object.entries(defaults).filter(([name]) => !present.has(name))
  if (missing.length === 0) return []
  await db('settings').insert(
    missing.map(([name, value]) => ({
      name,
      value: JSON.stringify(value),
      created_at: at,
      updated_at: at,
    })),
  )
  return missing.map(([name]) => name)
}

/** All that are set, by name. */
export async function readSettings(
  db: Executor<TenantDb>,
  { lock = false }: { readonly lock?: boolean } = {},
): Promise<Map<string, unknown>> {
  const rows = await rowsOf<{ name: string; value: unknown }>(
    db,
    `select name, value from settings order by name${lock ? ' for update' : ''}`,
  )
  return new Map(rows.map(({ name, value }) => [name, fromJsonColumn<unknown>(value)]))
}

export const setSetting = (db: Executor<TenantDb>, name: string, value: unknown, at: Date) =>
  affectedBy(
    db,
    'insert into settings (name, value, created_at, updated_at) values (?, ?, ?, ?) on duplicate key update value = values(value), updated_at = values(updated_at)',
    [name, JSON.stringify(value), at, at],
  )

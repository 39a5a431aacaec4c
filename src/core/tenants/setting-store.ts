import type { TenantDb } from '../db/connect.js'

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

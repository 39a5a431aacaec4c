import { pathToFileURL } from 'node:url'

/**
 * Preloaded into a real process (`node --import`): adds to the tenant migrations of the build those that
 * EXTRA_MIGRATIONS tells of, as a newer version would have them.
 * Shape: JSON, `[{ name, up: [sql, …], down: [sql, …] }, …]`; EXTRA_BUILD is the path of the build.
 */
const { EXTRA_MIGRATIONS = '[]', EXTRA_BUILD = '' } = process.env
const { tenantMigrations } = await import(
  pathToFileURL(`${EXTRA_BUILD}/migrations/tenant/index.js`).href
)
const sending = (statements) => async (db) => {
  for (const statement of statements) await db.raw(statement)
}
for (const { name, up, down } of JSON.parse(EXTRA_MIGRATIONS))
  tenantMigrations.push({ name, up: sending(up), down: sending(down) })

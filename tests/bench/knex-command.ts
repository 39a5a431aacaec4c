import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import type { PlainMigration } from '../support/fleet.js'
import { ROOT } from '../support/source-files.js'

/** `knex migrate:latest` on one database, as a script loops over it: a process each. */
export type KnexCommand = (
  database: string,
  extra?: readonly PlainMigration[],
  signal?: AbortSignal,
) => Promise<void>

/** A knexfile as a project would have it, with the migrations as they are shipped: compiled. */
export async function createKnexCommand(folder: string, socketPath: string): Promise<KnexCommand> {
  const migrations = pathToFileURL(join(ROOT, 'dist/migrations/tenant/index.js')).href
  const knexfile = join(folder, 'knexfile.mjs')
  await writeFile(
    knexfile,
    `import { tenantMigrations } from ${JSON.stringify(migrations)}
const sending = (statements) => async (db) => { for (const sql of statements) await db.raw(sql) }
const extra = JSON.parse(process.env.EXTRA ?? '[]').map(({ name, up, down }) => ({ name, up: sending(up), down: sending(down) }))
export default {
  client: 'mysql2',
  connection: { socketPath: ${JSON.stringify(socketPath)}, user: 'root', database: process.env.PEER_DATABASE },
  migrations: {
    migrationSource: {
      getMigrations: async () => [...tenantMigrations, ...extra],
      getMigrationName: ({ name }) => name,
      getMigration: async (migration) => migration,
    },
  },
}
`,
  )
  const knex = join(ROOT, 'node_modules/knex')
  return async (database, extra = [], signal) => {
    await promisify(execFile)(
      process.execPath,
      [join(knex, 'bin/cli.js'), 'migrate:latest', '--knexfile', knexfile],
      {
        env: {
          PATH: process.env.PATH,
          KNEX_PATH: join(knex, 'knex.js'),
          PEER_DATABASE: database,
          EXTRA: JSON.stringify(extra),
        },
        ...(signal ? { signal } : {}),
      },
    )
  }
}

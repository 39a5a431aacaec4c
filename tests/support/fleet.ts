import { fileURLToPath, pathToFileURL } from 'node:url'
import type { Migration } from '../../migrations/migration.js'
import { tenantMigrations } from '../../migrations/tenant/index.js'
import type { Context } from '../../src/core/context.js'
import { loadMysql } from '../../src/core/db/drivers.js'
import type { Provisioner } from '../../src/core/db/provisioner.js'
import { quoteName } from '../../src/core/db/sql.js'
import { fingerprintOf, readSnapshots } from '../../src/core/fleet/schema-snapshot.js'
import type { Environment } from './platform.js'

/** A migration as its statements, so that it can be handed to another process. */
export type PlainMigration = {
  readonly name: string
  readonly up: readonly string[]
  readonly down: readonly string[]
}

const sending =
  (statements: readonly string[]): Migration['up'] =>
  async (db) => {
    for (const statement of statements) await db.raw(statement)
  }

export const toMigration = ({ name, up, down }: PlainMigration): Migration => ({
  name,
  up: sending(up),
  down: sending(down),
})

/** As if this process were of a newer version, which has these tenant migrations too, until they are taken away. */
export function addMigrations(migrations: readonly PlainMigration[]): () => void {
  const list = tenantMigrations as Migration[]
  list.push(...migrations.map(toMigration))
  return () => {
    for (const { name } of migrations) {
      const index = list.findIndex((migration) => migration.name === name)
      if (index >= 0) list.splice(index, 1)
    }
  }
}

const PRELOAD = pathToFileURL(
  fileURLToPath(new URL('./extra-migrations.mjs', import.meta.url)),
).href

/** The same for a process of the built program. */
export const withMigrations = (migrations: readonly PlainMigration[]): Environment => ({
  EXTRA_MIGRATIONS: JSON.stringify(migrations),
  EXTRA_BUILD: fileURLToPath(new URL('../../dist', import.meta.url)),
  NODE_OPTIONS: `--import ${PRELOAD}`,
})

export const databaseOf = (ctx: Context, slug: string): string =>
  `${ctx.config.tenantPrefix}${slug.replaceAll('-', '_')}`

/** How often each migration stands in a tenant's ledger. */
export async function ledgerOf(
  provisioner: Provisioner,
  database: string,
): Promise<Record<string, number>> {
  const rows = await provisioner.rows<{ name: string; count: number }>(
    `select name, count(*) as count from ${quoteName(database)}.knex_migrations group by name`,
  )
  return Object.fromEntries(rows.map(({ name, count }) => [name, Number(count)]))
}

/** The different schemas among these databases: one where all are alike. */
export async function schemasAmong(
  provisioner: Provisioner,
  databases: readonly string[],
): Promise<string[]> {
  const snapshots = await readSnapshots(provisioner, databases)
  return [...new Set([...snapshots.values()].map(fingerprintOf))]
}

/** A plain connection to a database, for holding a transaction open. */
export const bare = (provisioner: Provisioner, database: string) => {
  const { address, login } = provisioner.reach
  const { host, port, socketPath } = address
  return loadMysql().createConnection({
    ...(socketPath === undefined ? { host, port } : { socketPath }),
    user: login.user,
    password: login.password,
    database,
  })
}

import type { Knex } from 'knex'

export const name = '20261125-15-mark-cut-off-tenants'

/** Earlier versions derived this from the error code. */
export async function up(db: Knex): Promise<void> {
  await db.raw(
    "update rollout_tenants set cut_off = true where status = 'failed' and error_code like 'DATABASE.%'",
  )
}

export async function down(db: Knex): Promise<void> {
  await db.raw('update rollout_tenants set cut_off = false')
}

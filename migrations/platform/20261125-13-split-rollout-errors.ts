import type { Knex } from 'knex'

export const name = '20261125-13-split-rollout-errors'

/** Earlier versions wrote `CODE: message` into one column. */
export async function up(db: Knex): Promise<void> {
  await db.raw(`
    update rollout_tenants
      set error_code = substring_index(error, ': ', 1), error = substring(error, locate(': ', error) + 2)
      where error_code is null and error regexp '^[A-Z_]+[.][A-Z_.]+: '
  `)
}

export async function down(db: Knex): Promise<void> {
  await db.raw(`
    update rollout_tenants
      set error = left(concat(error_code, ': ', error), 1000), error_code = null
      where error_code is not null
  `)
}

import type { Knex } from 'knex'

export const name = '20261125-12-rollout-tenants-error-code'

/** The error's code, apart from its message in `error`. */
export async function up(db: Knex): Promise<void> {
  await db.raw(
    'alter table rollout_tenants add column error_code varchar(64) character set ascii collate ascii_bin null after finished_at',
  )
}

export async function down(db: Knex): Promise<void> {
  await db.raw('alter table rollout_tenants drop column error_code')
}

import type { Knex } from 'knex'

export const name = '20261125-14-rollout-tenants-cut-off'

/** Whether a statement of a failed attempt may be done without its row in the tenant's ledger. */
export async function up(db: Knex): Promise<void> {
  await db.raw(
    'alter table rollout_tenants add column cut_off boolean not null default false after status',
  )
}

export async function down(db: Knex): Promise<void> {
  await db.raw('alter table rollout_tenants drop column cut_off')
}

import type { Knex } from 'knex'

export const name = '20261101-04-plan-entitlements'

/** What a plan grants. A metered value of null is unlimited. */
export async function up(db: Knex): Promise<void> {
  await db.raw(`
    create table if not exists plan_entitlements (
      id char(36) character set ascii collate ascii_bin not null primary key,
      plan_id char(36) character set ascii collate ascii_bin not null,
      code varchar(100) character set ascii collate ascii_bin not null,
      type varchar(10) character set ascii collate ascii_bin not null,
      value json null,
      created_at datetime(6) not null,
      updated_at datetime(6) not null,
      unique key plan_entitlements_plan_code (plan_id, code),
      constraint plan_entitlements_plan foreign key (plan_id) references plans (id)
    ) engine = InnoDB default character set utf8mb4 collate utf8mb4_unicode_ci row_format = dynamic
  `)
}

export async function down(db: Knex): Promise<void> {
  await db.raw('drop table plan_entitlements')
}

import type { Knex } from 'knex'

export const name = '20261101-06-entitlements'

/** What this tenant is granted: by its plan, or by an override. A metered value of null is unlimited. */
export async function up(db: Knex): Promise<void> {
  await db.raw(`
    create table entitlements (
      id char(36) character set ascii collate ascii_bin not null primary key,
      code varchar(100) character set ascii collate ascii_bin not null,
      type varchar(10) character set ascii collate ascii_bin not null,
      value json null,
      source varchar(10) character set ascii collate ascii_bin not null,
      created_at datetime(6) not null,
      updated_at datetime(6) not null,
      unique key entitlements_code (code)
    ) engine = InnoDB default character set utf8mb4 collate utf8mb4_unicode_ci row_format = dynamic
  `)
}

export async function down(db: Knex): Promise<void> {
  await db.raw('drop table entitlements')
}

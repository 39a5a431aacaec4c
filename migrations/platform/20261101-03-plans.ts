import type { Knex } from 'knex'

export const name = '20261101-03-plans'

/** What a tenant may subscribe to. A price of null is agreed on by hand. */
export async function up(db: Knex): Promise<void> {
  await db.raw(`
    create table if not exists plans (
      id char(36) character set ascii collate ascii_bin not null primary key,
      code varchar(40) character set ascii collate ascii_bin not null,
      name varchar(80) not null,
      price_cents int unsigned null,
      currency char(3) character set ascii collate ascii_bin not null,
      billing_interval varchar(10) character set ascii collate ascii_bin not null,
      position smallint unsigned not null,
      is_offered boolean not null,
      created_at datetime(6) not null,
      updated_at datetime(6) not null,
      unique key plans_code (code)
    ) engine = InnoDB default character set utf8mb4 collate utf8mb4_unicode_ci row_format = dynamic
  `)
}

export async function down(db: Knex): Promise<void> {
  await db.raw('drop table plans')
}

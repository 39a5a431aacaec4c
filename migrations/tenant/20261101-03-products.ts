import type { Knex } from 'knex'

export const name = '20261101-03-products'

/** What licenses are issued for. */
export async function up(db: Knex): Promise<void> {
  await db.raw(`
    create table products (
      id char(36) character set ascii collate ascii_bin not null primary key,
      code varchar(60) character set ascii collate ascii_bin not null,
      name varchar(120) not null,
      description varchar(1000) null,
      status varchar(20) character set ascii collate ascii_bin not null,
      metadata json not null,
      revision int unsigned not null,
      created_at datetime(6) not null,
      updated_at datetime(6) not null,
      unique key products_code (code)
    ) engine = InnoDB default character set utf8mb4 collate utf8mb4_unicode_ci row_format = dynamic
  `)
}

export async function down(db: Knex): Promise<void> {
  await db.raw('drop table products')
}

import type { Knex } from 'knex'

export const name = '20261101-02-leases'

/** A row that one holder owns for a time. Rows are kept, so that a generation never comes twice. */
export async function up(db: Knex): Promise<void> {
  await db.raw(`
    create table if not exists leases (
      name varchar(190) character set ascii collate ascii_bin not null primary key,
      holder varchar(120) not null,
      machine varchar(120) character set ascii collate ascii_bin null,
      pid int unsigned not null,
      generation bigint unsigned not null,
      acquired_at datetime(6) not null,
      expires_at datetime(6) not null,
      key leases_expires_at (expires_at)
    ) engine = InnoDB default character set utf8mb4 collate utf8mb4_unicode_ci row_format = dynamic
  `)
}

export async function down(db: Knex): Promise<void> {
  await db.raw('drop table leases')
}

import type { Knex } from 'knex'

export const name = '20261101-01-settings'

/** How this tenant wants things done. */
export async function up(db: Knex): Promise<void> {
  await db.raw(`
    create table settings (
      name varchar(100) character set ascii collate ascii_bin not null primary key,
      value json not null,
      created_at datetime(6) not null,
      updated_at datetime(6) not null
    ) engine = InnoDB default character set utf8mb4 collate utf8mb4_unicode_ci row_format = dynamic
  `)
}

export async function down(db: Knex): Promise<void> {
  await db.raw('drop table settings')
}

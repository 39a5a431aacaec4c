import type { Knex } from 'knex'

export const name = '20261101-02-branding'

/** How this tenant presents itself: one row. */
export async function up(db: Knex): Promise<void> {
  await db.raw(`
    create table branding (
      id tinyint unsigned not null primary key,
      display_name varchar(120) not null,
      logo_url varchar(2048) null,
      primary_color varchar(7) character set ascii collate ascii_bin not null,
      accent_color varchar(7) character set ascii collate ascii_bin not null,
      support_email varchar(255) null,
      support_url varchar(2048) null,
      created_at datetime(6) not null,
      updated_at datetime(6) not null
    ) engine = InnoDB default character set utf8mb4 collate utf8mb4_unicode_ci row_format = dynamic
  `)
}

export async function down(db: Knex): Promise<void> {
  await db.raw('drop table branding')
}

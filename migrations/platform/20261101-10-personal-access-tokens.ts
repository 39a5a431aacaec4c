import type { Knex } from 'knex'

export const name = '20261101-10-personal-access-tokens'

/** Laravel Sanctum's table: rows written by Laravel authenticate here, and the other way round. */
export async function up(db: Knex): Promise<void> {
  await db.raw(`
    create table if not exists personal_access_tokens (
      id bigint unsigned not null auto_increment primary key,
      tokenable_type varchar(255) not null,
      tokenable_id bigint unsigned not null,
      name text not null,
      token varchar(64) character set ascii collate ascii_bin not null,
      abilities text null,
      last_used_at datetime(6) null,
      expires_at datetime(6) null,
      created_at datetime(6) null,
      updated_at datetime(6) null,
      unique key personal_access_tokens_token (token),
      key personal_access_tokens_tokenable (tokenable_type, tokenable_id),
      key personal_access_tokens_expires_at (expires_at)
    ) engine = InnoDB default character set utf8mb4 collate utf8mb4_unicode_ci row_format = dynamic
  `)
}

export async function down(db: Knex): Promise<void> {
  await db.raw('drop table personal_access_tokens')
}

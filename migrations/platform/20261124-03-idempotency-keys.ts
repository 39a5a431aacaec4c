import type { Knex } from 'knex'

export const name = '20261124-03-idempotency-keys'

/** Answers of changes to the platform's own rows, kept for a repeat of the same request. Sealed: they may hold a secret. */
export async function up(db: Knex): Promise<void> {
  await db.raw(`
    create table if not exists idempotency_keys (
      scope_key varchar(500) character set utf8mb4 collate utf8mb4_bin not null primary key,
      request_hash binary(32) not null,
      status varchar(20) character set ascii collate ascii_bin not null,
      response_body mediumtext null,
      created_at datetime(6) not null,
      expires_at datetime(6) not null,
      key idempotency_keys_expires_at (expires_at)
    ) engine = InnoDB default character set utf8mb4 collate utf8mb4_unicode_ci row_format = dynamic
  `)
}

export async function down(db: Knex): Promise<void> {
  await db.raw('drop table idempotency_keys')
}

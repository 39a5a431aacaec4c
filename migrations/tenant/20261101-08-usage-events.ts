import type { Knex } from 'knex'

export const name = '20261101-08-usage-events'

/** What was used, as it was reported. Rows never change. */
export async function up(db: Knex): Promise<void> {
  await db.raw(`
    create table usage_events (
      id char(36) character set ascii collate ascii_bin not null primary key,
      license_id char(36) character set ascii collate ascii_bin not null,
      code varchar(100) character set ascii collate ascii_bin not null,
      quantity bigint unsigned not null,
      metadata json not null,
      idempotency_key varchar(255) character set utf8mb4 collate utf8mb4_bin null,
      request_hash binary(32) null,
      recorded_at datetime(6) not null,
      unique key usage_events_idempotency_key (idempotency_key),
      key usage_events_code (code, recorded_at),
      key usage_events_license (license_id, recorded_at),
      constraint usage_events_license foreign key (license_id) references licenses (id)
    ) engine = InnoDB default character set utf8mb4 collate utf8mb4_unicode_ci row_format = dynamic
  `)
}

export async function down(db: Knex): Promise<void> {
  await db.raw('drop table usage_events')
}

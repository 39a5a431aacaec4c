import type { Knex } from 'knex'

export const name = '20261101-14-api-keys'

/** Keys of the Integration API. The key itself is nowhere: only its HMAC, and what a person recognizes it by. */
export async function up(db: Knex): Promise<void> {
  await db.raw(`
    create table if not exists api_keys (
      id char(36) character set ascii collate ascii_bin not null primary key,
      tenant_id char(36) character set ascii collate ascii_bin not null,
      name varchar(120) not null,
      hash binary(32) not null,
      app_key_id varchar(16) character set ascii collate ascii_bin not null,
      prefix varchar(16) character set ascii collate ascii_bin not null,
      last_four varchar(4) character set ascii collate ascii_bin not null,
      scopes json null,
      is_bootstrap boolean not null,
      replaces_id char(36) character set ascii collate ascii_bin null,
      rate_limit_requests int unsigned null,
      rate_limit_period_seconds int unsigned null,
      delivered_at datetime(6) null,
      last_used_at datetime(6) null,
      expires_at datetime(6) null,
      revoked_at datetime(6) null,
      created_at datetime(6) not null,
      updated_at datetime(6) not null,
      unique key api_keys_hash (hash),
      key api_keys_tenant (tenant_id, created_at),
      key api_keys_app_key (app_key_id),
      key api_keys_replaces (replaces_id),
      constraint api_keys_tenant foreign key (tenant_id) references tenants (id)
    ) engine = InnoDB default character set utf8mb4 collate utf8mb4_unicode_ci row_format = dynamic
  `)
}

export async function down(db: Knex): Promise<void> {
  await db.raw('drop table api_keys')
}

import type { Knex } from 'knex'

export const name = '20261101-16-webhook-endpoints'

/** Where a tenant wants its events. `placeholder_for` names the tenant on the disabled one that provisioning makes. */
export async function up(db: Knex): Promise<void> {
  await db.raw(`
    create table if not exists webhook_endpoints (
      id char(36) character set ascii collate ascii_bin not null primary key,
      tenant_id char(36) character set ascii collate ascii_bin not null,
      placeholder_for char(36) character set ascii collate ascii_bin null,
      url varchar(2048) null,
      description varchar(255) null,
      status varchar(20) character set ascii collate ascii_bin not null,
      events json not null,
      secret_encrypted text not null,
      previous_secret_encrypted text null,
      previous_secret_expires_at datetime(6) null,
      failing_since datetime(6) null,
      disabled_reason varchar(255) null,
      revision int unsigned not null,
      created_at datetime(6) not null,
      updated_at datetime(6) not null,
      unique key webhook_endpoints_placeholder (placeholder_for),
      key webhook_endpoints_tenant (tenant_id, status),
      constraint webhook_endpoints_tenant foreign key (tenant_id) references tenants (id)
    ) engine = InnoDB default character set utf8mb4 collate utf8mb4_unicode_ci row_format = dynamic
  `)
}

export async function down(db: Knex): Promise<void> {
  await db.raw('drop table webhook_endpoints')
}

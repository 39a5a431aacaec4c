import type { Knex } from 'knex'

export const name = '20261101-17-webhook-deliveries'

/** One event on its way to one endpoint. */
export async function up(db: Knex): Promise<void> {
  await db.raw(`
    create table if not exists webhook_deliveries (
      id char(36) character set ascii collate ascii_bin not null primary key,
      endpoint_id char(36) character set ascii collate ascii_bin not null,
      tenant_id char(36) character set ascii collate ascii_bin not null,
      event_id char(36) character set ascii collate ascii_bin not null,
      event_type varchar(80) character set ascii collate ascii_bin not null,
      payload mediumtext not null,
      status varchar(20) character set ascii collate ascii_bin not null,
      attempts smallint unsigned not null,
      next_attempt_at datetime(6) null,
      claimed_by varchar(120) null,
      claimed_until datetime(6) null,
      response_status smallint unsigned null,
      last_error varchar(500) null,
      delivered_at datetime(6) null,
      created_at datetime(6) not null,
      updated_at datetime(6) not null,
      unique key webhook_deliveries_once (endpoint_id, event_id),
      key webhook_deliveries_due (status, next_attempt_at),
      key webhook_deliveries_tenant (tenant_id, created_at),
      constraint webhook_deliveries_endpoint foreign key (endpoint_id) references webhook_endpoints (id),
      constraint webhook_deliveries_tenant foreign key (tenant_id) references tenants (id)
    ) engine = InnoDB default character set utf8mb4 collate utf8mb4_unicode_ci row_format = dynamic
  `)
}

export async function down(db: Knex): Promise<void> {
  await db.raw('drop table webhook_deliveries')
}

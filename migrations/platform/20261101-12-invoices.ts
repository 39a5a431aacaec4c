import type { Knex } from 'knex'

export const name = '20261101-12-invoices'

/** What a closed period costs. One invoice for each period of a subscription. */
export async function up(db: Knex): Promise<void> {
  await db.raw(`
    create table if not exists invoices (
      id char(36) character set ascii collate ascii_bin not null primary key,
      tenant_id char(36) character set ascii collate ascii_bin not null,
      subscription_id char(36) character set ascii collate ascii_bin not null,
      number varchar(40) character set ascii collate ascii_bin not null,
      status varchar(20) character set ascii collate ascii_bin not null,
      period_start datetime(6) not null,
      period_end datetime(6) not null,
      currency char(3) character set ascii collate ascii_bin not null,
      total_cents bigint not null,
      issued_at datetime(6) not null,
      due_at datetime(6) null,
      paid_at datetime(6) null,
      created_at datetime(6) not null,
      updated_at datetime(6) not null,
      unique key invoices_number (number),
      unique key invoices_subscription_period (subscription_id, period_start),
      key invoices_tenant (tenant_id, issued_at),
      constraint invoices_tenant foreign key (tenant_id) references tenants (id),
      constraint invoices_subscription foreign key (subscription_id) references subscriptions (id)
    ) engine = InnoDB default character set utf8mb4 collate utf8mb4_unicode_ci row_format = dynamic
  `)
}

export async function down(db: Knex): Promise<void> {
  await db.raw('drop table invoices')
}

import type { Knex } from 'knex'

export const name = '20261101-11-subscriptions'

/** Which plan a tenant has. `current_for` names the tenant while the subscription runs, so each has one at most. */
export async function up(db: Knex): Promise<void> {
  await db.raw(`
    create table if not exists subscriptions (
      id char(36) character set ascii collate ascii_bin not null primary key,
      tenant_id char(36) character set ascii collate ascii_bin not null,
      plan_id char(36) character set ascii collate ascii_bin not null,
      status varchar(20) character set ascii collate ascii_bin not null,
      current_for char(36) character set ascii collate ascii_bin null,
      current_period_start datetime(6) not null,
      current_period_end datetime(6) not null,
      trial_ends_at datetime(6) null,
      cancelled_at datetime(6) null,
      created_at datetime(6) not null,
      updated_at datetime(6) not null,
      unique key subscriptions_current_for (current_for),
      key subscriptions_tenant (tenant_id),
      key subscriptions_plan (plan_id),
      key subscriptions_period_end (status, current_period_end),
      constraint subscriptions_tenant foreign key (tenant_id) references tenants (id),
      constraint subscriptions_plan foreign key (plan_id) references plans (id)
    ) engine = InnoDB default character set utf8mb4 collate utf8mb4_unicode_ci row_format = dynamic
  `)
}

export async function down(db: Knex): Promise<void> {
  await db.raw('drop table subscriptions')
}

import type { Knex } from 'knex'

export const name = '20261124-05-subscription-changes'

/** Which plan a subscription had from when on, and which trials were agreed on: what a period costs follows from it. */
export async function up(db: Knex): Promise<void> {
  await db.raw(`
    create table if not exists subscription_changes (
      id char(36) character set ascii collate ascii_bin not null primary key,
      subscription_id char(36) character set ascii collate ascii_bin not null,
      from_plan_id char(36) character set ascii collate ascii_bin not null,
      to_plan_id char(36) character set ascii collate ascii_bin not null,
      trial_ends_at datetime(6) null,
      changed_at datetime(6) not null,
      key subscription_changes_time (subscription_id, changed_at, id),
      key subscription_changes_from_plan (from_plan_id),
      key subscription_changes_to_plan (to_plan_id),
      constraint subscription_changes_subscription foreign key (subscription_id) references subscriptions (id),
      constraint subscription_changes_from_plan foreign key (from_plan_id) references plans (id),
      constraint subscription_changes_to_plan foreign key (to_plan_id) references plans (id)
    ) engine = InnoDB default character set utf8mb4 collate utf8mb4_unicode_ci row_format = dynamic
  `)
}

export async function down(db: Knex): Promise<void> {
  await db.raw('drop table subscription_changes')
}

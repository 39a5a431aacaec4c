import type { Knex } from 'knex'

export const name = '20261101-10-outbox'

/** Events, written in the transaction of the change that they tell of, on their way to the platform. */
export async function up(db: Knex): Promise<void> {
  await db.raw(`
    create table outbox (
      id bigint unsigned not null auto_increment primary key,
      event_id char(36) character set ascii collate ascii_bin not null,
      occurred_at datetime(6) not null,
      action varchar(80) character set ascii collate ascii_bin not null,
      object_type varchar(40) character set ascii collate ascii_bin not null,
      object_id varchar(190) not null,
      actor_type varchar(20) character set ascii collate ascii_bin not null,
      actor_id varchar(120) not null,
      actor_name varchar(120) not null,
      on_behalf_of varchar(120) null,
      request_id varchar(128) null,
      address varchar(64) null,
      user_agent varchar(256) null,
      changes json null,
      schema_version smallint unsigned not null,
      relayed_at datetime(6) null,
      unique key outbox_event (event_id),
      key outbox_pending (relayed_at, id)
    ) engine = InnoDB default character set utf8mb4 collate utf8mb4_unicode_ci row_format = dynamic
  `)
}

export async function down(db: Knex): Promise<void> {
  await db.raw('drop table outbox')
}

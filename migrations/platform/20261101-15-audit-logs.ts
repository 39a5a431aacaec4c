import type { Knex } from 'knex'

export const name = '20261101-15-audit-logs'

/** The trail. Rows are inserted once; sequence, previous_hash and hash are filled in when a row is sealed. */
export async function up(db: Knex): Promise<void> {
  await db.raw(`
    create table if not exists audit_logs (
      id bigint unsigned not null auto_increment primary key,
      event_id char(36) character set ascii collate ascii_bin not null,
      occurred_at datetime(6) not null,
      tenant_id char(36) character set ascii collate ascii_bin null,
      actor_type varchar(20) character set ascii collate ascii_bin not null,
      actor_id varchar(120) not null,
      actor_name varchar(120) not null,
      on_behalf_of varchar(120) null,
      action varchar(80) character set ascii collate ascii_bin not null,
      object_type varchar(40) character set ascii collate ascii_bin not null,
      object_id varchar(190) not null,
      outcome varchar(20) character set ascii collate ascii_bin not null,
      request_id varchar(128) null,
      address varchar(64) null,
      user_agent varchar(256) null,
      changes json null,
      schema_version smallint unsigned not null,
      sequence bigint unsigned null,
      previous_hash binary(32) null,
      hash binary(32) null,
      unique key audit_logs_event (event_id),
      unique key audit_logs_sequence (sequence),
      key audit_logs_tenant (tenant_id, sequence),
      key audit_logs_action (action, sequence)
    ) engine = InnoDB default character set utf8mb4 collate utf8mb4_unicode_ci row_format = dynamic
  `)
}

export async function down(db: Knex): Promise<void> {
  await db.raw('drop table audit_logs')
}

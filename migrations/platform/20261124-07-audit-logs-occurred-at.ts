import type { Knex } from 'knex'

export const name = '20261124-07-audit-logs-occurred-at'

/** What happened since a time is asked for during an incident, of a trail of any length. */
export async function up(db: Knex): Promise<void> {
  await db.raw('alter table audit_logs add key audit_logs_occurred (occurred_at)')
}

export async function down(db: Knex): Promise<void> {
  await db.raw('alter table audit_logs drop key audit_logs_occurred')
}

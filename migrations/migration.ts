import type { Knex } from 'knex'

/**
 * One change of a schema, in Knex's form. The name is the file's, without its extension: a ledger
 * keyed on `.ts` here and `.js` there would count one migration twice.
 */
export type Migration = {
  readonly name: string
  /** One DDL statement: MySQL commits each by itself, so that is the unit a crash can leave behind. */
  up(db: Knex): Promise<void>
  down(db: Knex): Promise<void>
}

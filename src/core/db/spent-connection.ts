import { isFailure } from '../driver-failure.js'

/**
 * Whether a connection must not be lent again after this error. After a failed COMMIT its transaction
 * may be open still, and the next one would commit it. A server that became read-only, or left its
 * cluster, stays that way on this connection, even if new connections already reach the new primary.
 */
const isSpentBy = (error: unknown, sql: string): boolean =>
  /^\s*commit\b/i.test(sql) || isFailure(error, 'read only', 'not ready')

/** Of Knex's pool and of ours: both destroy a connection that bears this mark. */
export function retireIfSpent(connection: object, error: unknown, sql: string): void {
  if (isSpentBy(error, sql)) Object.assign(connection, { __knex__disposed: error })
}

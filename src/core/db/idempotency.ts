import { createHash } from 'node:crypto'
import type { Clock } from '../clock.js'
import { addMilliseconds } from '../clock.js'
import { isFailure } from '../driver-failure.js'
import { AppError } from '../errors.js'
import { fromJsonColumn } from '../parse.js'
import { affectedBy, type Executor, rowsOf } from './statements.js'
import { isOutcomeUnknown, startingOver } from './transaction.js'

const KEPT_MS = 86_400_000
/** How long a request that said nothing more is taken to be at work. */
const IN_PROGRESS_MS = 60_000
const PURGE_CHANCE = 0.05
const PURGED_AT_A_TIME = 100

export type IdempotentRequest = {
  /** Keys of one operation say nothing about another's. */
  readonly operation: string
  /** Absent: the request is not idempotent, and nothing is kept. */
  readonly key: string | undefined
  readonly request: unknown
}

/** A database with a table `idempotency_keys`: a tenant's, or the platform's. */
export type IdempotencyStore<Db extends Executor> = {
  readonly now: Clock
  /** Answers that hold a secret are kept sealed. */
  readonly seal?: {
    close(text: string, scopeKey: string): string
    open(text: string, scopeKey: string): string
  }
  transaction<T>(work: (transaction: Db) => Promise<T>): Promise<T>
  lend<T>(work: (db: Db) => Promise<T>): Promise<T>
}

export type IdempotentResult<T> = { readonly result: T; readonly replayed: boolean }

/**
 * Runs `work` in a transaction of the store's database; what it answers is kept there for 24 hours in
 * the same transaction, and a repeat of the request gets it back. A failure is not kept: the same key
 * may be tried again.
 *
 * @throws VALIDATION.IDEMPOTENCY_IN_PROGRESS while the first is at work,
 *   VALIDATION.IDEMPOTENCY_MISMATCH where the key was used for another request
 */
export async function inIdempotentTransaction<Db extends Executor, T>(
  store: IdempotencyStore<Db>,
  { operation, key, request }: IdempotentRequest,
  work: (transaction: Db) => Promise<T>,
): Promise<IdempotentResult<T>> {
  if (key === undefined) return { result: await store.transaction(work), replayed: false }
  const scopeKey = `${operation}/${key}`
  const claimedAt = store.now()
  const kept = await store.lend((db) => claim(db, scopeKey, requestHash(request), claimedAt))
  if (kept) {
    return {
      result: revive<T>(store.seal ? store.seal.open(kept.answer, scopeKey) : kept.answer),
      replayed: true,
    }
  }
  try {
    const result = await store.transaction(async (transaction) => {
      const answer = await work(transaction)
      const text = keep(answer)
      await complete(
        transaction,
        scopeKey,
        claimedAt,
        store.seal ? store.seal.close(text, scopeKey) : text,
        store.now(),
      )
      return answer
    })
    // no fault of the change, which is committed
    if (Math.random() < PURGE_CHANCE)
      await store.lend((db) => purge(db, store.now())).catch(() => {})
    return { result, replayed: false }
  } catch (error) {
    // if the outcome is unknown, the answer may be kept already: then the row must stay
    if (!isOutcomeUnknown(error))
      await store.lend((db) => release(db, scopeKey, claimedAt)).catch(() => {})
    throw error
  }
}

/** Of the same values, whatever their order. */
export const requestHash = (request: unknown): Buffer =>
  createHash('sha256')
    .update(JSON.stringify(sorted(request)))
    .digest()

function sorted(value: unknown): unknown {
  if (value instanceof Date) return value.toISOString()
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .map(([name, own]) => [name, sorted(own)]),
  )
}

type Row = { request_hash: Buffer; status: string; response_body: string; expires_at: Date }

/** Takes the key for this request, or answers what an earlier one left. The unique index decides. */
async function claim(
  db: Executor,
  scopeKey: string,
  hash: Buffer,
  now: Date,
): Promise<{ readonly answer: string } | undefined> {
  const expiresAt = addMilliseconds(now, IN_PROGRESS_MS)
  try {
    // those who wait for the same key while it is given up may deadlock among themselves
    await startingOver(() =>
      affectedBy(
        db,
        "insert into idempotency_keys (scope_key, request_hash, status, created_at, expires_at) values (?, ?, 'in_progress', ?, ?)",
        [scopeKey, hash, now, expiresAt],
      ),
    )
    return undefined
  } catch (error) {
    if (!isFailure(error, 'duplicate')) throw error
  }
  const [row] = await rowsOf<Row>(
    db,
    'select request_hash, status, response_body, expires_at from idempotency_keys where scope_key = ?',
    [scopeKey],
  )
  if (!row) throw new AppError('VALIDATION.IDEMPOTENCY_IN_PROGRESS')
  if (row.expires_at <= now) {
    const taken = await affectedBy(
      db,
      "update idempotency_keys set request_hash = ?, status = 'in_progress', response_body = null, created_at = ?, expires_at = ? where scope_key = ? and expires_at = ?",
      [hash, now, expiresAt, scopeKey, row.expires_at],
    )
    if (taken === 1) return undefined
    throw new AppError('VALIDATION.IDEMPOTENCY_IN_PROGRESS')
  }
  if (!row.request_hash.equals(hash)) throw new AppError('VALIDATION.IDEMPOTENCY_MISMATCH')
  if (row.status !== 'done') throw new AppError('VALIDATION.IDEMPOTENCY_IN_PROGRESS')
  return { answer: row.response_body }
}

async function complete(
  transaction: Executor,
  scopeKey: string,
  claimedAt: Date,
  answer: string,
  now: Date,
): Promise<void> {
  const done = await affectedBy(
    transaction,
    "update idempotency_keys set status = 'done', response_body = ?, expires_at = ? where scope_key = ? and status = 'in_progress' and created_at = ?",
    [answer, addMilliseconds(now, KEPT_MS), scopeKey, claimedAt],
  )
  // it took so long that another took the claim over: what was done is rolled back
  if (done === 0) throw new AppError('VALIDATION.IDEMPOTENCY_IN_PROGRESS')
}

async function release(db: Executor, scopeKey: string, claimedAt: Date): Promise<void> {
  await startingOver(() =>
    affectedBy(
      db,
      "delete from idempotency_keys where scope_key = ? and status = 'in_progress' and created_at = ?",
      [scopeKey, claimedAt],
    ),
  ).catch(() => {})
}

/** Old answers go a few at a time, now and then, so that the table stays small without a janitor. */
async function purge(db: Executor, now: Date): Promise<void> {
  await affectedBy(
    db,
    `delete from idempotency_keys where expires_at < ? limit ${PURGED_AT_A_TIME}`,
    [now],
  ).catch(() => {})
}

/** A result as text, with the places of its dates: a caller's own text may look like anything. */
const keep = (result: unknown): string => JSON.stringify({ result, dates: datePlaces(result, []) })

function datePlaces(value: unknown, place: readonly string[]): (readonly string[])[] {
  if (value instanceof Date) return [place]
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([name, own]) => datePlaces(own, [...place, name]))
}

function revive<T>(answer: string): T {
  const kept = fromJsonColumn<{ result: T; dates: string[][] }>(answer)
  for (const place of kept.dates) {
    let holder = kept.result as Record<string, unknown>
    for (const name of place.slice(0, -1)) holder = holder[name] as Record<string, unknown>
    const last = place.at(-1) ?? ''
    holder[last] = new Date(String(holder[last]))
  }
  return kept.result
}

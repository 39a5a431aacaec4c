import { isFailure } from '../driver-failure.js'
import { AppError } from '../errors.js'
import type { PlatformDb } from './connect.js'
import { type Holder, isKnownDead } from './holder.js'
import { affectedBy, rowsOf } from './statements.js'

export type LeaseTerms = {
  readonly holder: Holder
  readonly seconds: number
  /** Display name of the leased object (default: the lease name). */
  readonly title?: string
}

/**
 * Runs `work` while this process alone holds `name`, renewing it by the database's clock.
 * The lease is a row, so any cluster that carries rows carries it. A holder that slept past its end
 * loses it: `work` must call `fence` in every transaction that the lease protects, and `assertHeld`
 * before every effect that no transaction covers.
 *
 * @throws LEASE.HELD where another holds it; LEASE.LOST out of `work` where it was taken over
 */
export async function withLease<T>(
  db: PlatformDb,
  name: string,
  terms: LeaseTerms,
  work: (lease: Lease) => Promise<T>,
): Promise<T> {
  const lease = new Lease(db, name, terms, await acquire(db, name, terms))
  try {
    return await work(lease)
  } finally {
    await lease.release()
  }
}

export class Lease {
  readonly name: string
  /** Rises with every holder. */
  readonly generation: number
  readonly #db: PlatformDb
  readonly #terms: LeaseTerms
  readonly #renewal: NodeJS.Timeout
  /** Our own idea of the end, a third early and on a clock that no one sets. */
  #safeUntil: number
  #lost = false

  constructor(db: PlatformDb, name: string, terms: LeaseTerms, generation: number) {
    this.#db = db
    this.name = name
    this.#terms = terms
    this.generation = generation
    this.#safeUntil = performance.now() + safeMs(terms)
    this.#renewal = setInterval(() => void this.#renew(), (terms.seconds * 1000) / 3)
    this.#renewal.unref()
  }

  get title(): string {
    return this.#terms.title ?? this.name
  }

  /** What a statement must find in `leases` for the lease to be ours still. */
  get claim(): { readonly name: string; readonly generation: number; readonly holder: string } {
    return { name: this.name, generation: this.generation, holder: this.#terms.holder.name }
  }

  /** @throws LEASE.LOST where another may hold it by now */
  assertHeld(): void {
    if (this.#lost || performance.now() > this.#safeUntil)
      throw new AppError('LEASE.LOST', this.title)
  }

  /**
   * Asks the database, whose clock did not sleep when ours did. For before what cannot be undone and
   * no transaction covers.
   *
   * @throws LEASE.LOST
   */
  async confirm(): Promise<void> {
    this.assertHeld()
    const rows = await rowsOf(
      this.#db,
      'select 1 from leases where name = ? and generation = ? and holder = ? and expires_at > utc_timestamp(6)',
      [this.name, this.generation, this.#terms.holder.name],
    )
    if (rows.length === 1) return
    this.#lost = true
    throw new AppError('LEASE.LOST', this.title)
  }

  /**
   * Holds off a takeover until the transaction ends, and fails where it has happened.
   *
   * @throws LEASE.LOST
   */
  async fence(transaction: PlatformDb): Promise<void> {
    this.assertHeld()
    const rows = await rowsOf(
      transaction,
      'select 1 from leases where name = ? and generation = ? and holder = ? lock in share mode',
      [this.name, this.generation, this.#terms.holder.name],
    )
    if (rows.length === 1) return
    this.#lost = true
    throw new AppError('LEASE.LOST', this.title)
  }

  /** Ends it now. The row stays, with its generation. */
  async release(): Promise<void> {
    clearInterval(this.#renewal)
    if (this.#lost) return
    this.#lost = true
    // a lease that cannot be given back ends by itself
    await affectedBy(
      this.#db,
      'update leases set expires_at = utc_timestamp(6) where name = ? and generation = ? and holder = ?',
      [this.name, this.generation, this.#terms.holder.name],
    ).catch(() => {})
  }

  async #renew(): Promise<void> {
    const asked = performance.now()
    try {
      const renewed = await affectedBy(
        this.#db,
        'update leases set expires_at = timestampadd(second, ?, utc_timestamp(6)) where name = ? and generation = ? and holder = ?',
        [this.#terms.seconds, this.name, this.generation, this.#terms.holder.name],
      )
      // renewals may overlap: a slow one mustn't undo what a later one has reached
      if (renewed === 1) this.#safeUntil = Math.max(this.#safeUntil, asked + safeMs(this.#terms))
      else this.#lost = true
    } catch {
      // the next renewal may reach the server; until then `#safeUntil` decides
    }
  }
}

const safeMs = ({ seconds }: LeaseTerms): number => (seconds * 1000 * 2) / 3

type Row = {
  holder: string
  machine: string | null
  pid: number
  generation: number
  seconds_left: number
}

async function acquire(db: PlatformDb, name: string, terms: LeaseTerms): Promise<number> {
  const { holder, seconds } = terms
  try {
    await affectedBy(
      db,
      'insert into leases (name, holder, machine, pid, generation, acquired_at, expires_at) values (?, ?, ?, ?, 1, utc_timestamp(6), timestampadd(second, ?, utc_timestamp(6)))',
      [name, holder.name, holder.machine ?? null, holder.pid, seconds],
    )
    return 1
  } catch (error) {
    if (!isFailure(error, 'duplicate')) throw error
  }
  const [held] = await rowsOf<Row>(
    db,
    'select holder, machine, pid, generation, timestampdiff(microsecond, utc_timestamp(6), expires_at) / 1000000 as seconds_left from leases where name = ?',
    [name],
  )
  if (!held) throw new AppError('LEASE.LOST', terms.title ?? name)
  const free = Number(held.seconds_left) <= 0
  const dead = isKnownDead(
    { name: held.holder, machine: held.machine ?? undefined, pid: held.pid },
    holder,
  )
  if (!free && !dead) throw heldBy(terms.title ?? name, held)
  const taken = await affectedBy(
    db,
    'update leases set holder = ?, machine = ?, pid = ?, generation = generation + 1, acquired_at = utc_timestamp(6), expires_at = timestampadd(second, ?, utc_timestamp(6)) where name = ? and generation = ? and holder = ?',
    [holder.name, holder.machine ?? null, holder.pid, seconds, name, held.generation, held.holder],
  )
  if (taken === 1) return held.generation + 1
  throw heldBy(terms.title ?? name, held)
}

const heldBy = (name: string, { holder, seconds_left }: Row): AppError =>
  new AppError('LEASE.HELD', name, holder, Math.max(1, Math.ceil(Number(seconds_left)))).with({
    holder,
    seconds: Math.max(1, Math.ceil(Number(seconds_left))),
  })

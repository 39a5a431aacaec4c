import type { PlatformDb } from '../db/connect.js'
import { findKeyStandings, type KeyStanding } from './api-key-store.js'

/** No answer is older than this, whatever happens: the bound on revocation, suspension and rotation. */
export const MAX_AGE_MS = 900
/** How often those that are in use are read again, all in one statement. */
const REFRESH_MS = 400
/** An entry that nobody asked for in so long is left to expire: reading it in company is cheaper than alone. */
const IN_USE_MS = 3_000
const MAX_ENTRIES = 20_000
const MAX_PER_STATEMENT = 1_000
/** A reading that takes longer is given up: an answer must not be older than the bound when it comes. */
const READING_MS = 800

type Entry = {
  standing: KeyStanding | undefined
  /** When the statement that read it was sent: what it says was true at that time or later. */
  readAt: number
  usedAt: number
  readonly hash: Buffer
}

/**
 * Standings of API keys, remembered for under a second. Keys in use are read again in the background,
 * thousands in one statement, so that a hot key costs no query of its own; an entry that was not read
 * in time is never used, also when the database is away. Unknown keys are remembered too, so that
 * guessing one key a thousand times costs one query.
 */
export class KeyStandings {
  readonly #db: PlatformDb
  readonly #entries = new Map<string, Entry>()
  readonly #reading = new Map<string, Promise<KeyStanding | undefined>>()
  /** Keys that one statement found under none of their hashes, and when it was sent. */
  readonly #refused = new Map<string, number>()
  readonly #timer: NodeJS.Timeout
  #refreshing = false

  constructor(db: PlatformDb) {
    this.#db = db
    this.#timer = setInterval(() => void this.#refresh(), REFRESH_MS)
    this.#timer.unref()
  }

  /** What is known of a key for certain, or undefined where reading is needed first. */
  recall(id: string): { readonly standing: KeyStanding | undefined } | undefined {
    const entry = this.#entries.get(id)
    const now = performance.now()
    if (!entry || now - entry.readAt > MAX_AGE_MS) return undefined
    entry.usedAt = now
    return entry
  }

  /** @param id the hash in hex; callers of the same one at the same time share a reading */
  read(id: string, hash: Buffer): Promise<KeyStanding | undefined> {
    const running = this.#reading.get(id)
    if (running) return running
    const readAt = performance.now()
    const reading = findKeyStandings(this.#db, [hash], READING_MS)
      .then((found) => {
        const standing = found.get(id)
        this.#remember(id, { standing, readAt, usedAt: readAt, hash })
        return standing
      })
      .finally(() => this.#reading.delete(id))
    this.#reading.set(id, reading)
    return reading
  }

  /** One key under all hashes that it may have, in one statement; that it has none is remembered too. */
  async readTogether(hashes: readonly Buffer[]): Promise<KeyStanding | undefined> {
    const name = hashes[0]?.toString('hex') ?? ''
    const readAt = performance.now()
    if (readAt - (this.#refused.get(name) ?? -Infinity) <= MAX_AGE_MS) return undefined
    const found = await findKeyStandings(this.#db, hashes, READING_MS)
    for (const hash of hashes) {
      const id = hash.toString('hex')
      this.#remember(id, { standing: found.get(id), readAt, usedAt: readAt, hash })
    }
    const [standing] = found.values()
    if (standing) return standing
    this.#refused.delete(name)
    this.#refused.set(name, readAt)
    const [oldest] = this.#refused.keys()
    if (this.#refused.size > MAX_ENTRIES && oldest !== undefined) this.#refused.delete(oldest)
    return undefined
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
    this.#entries.clear()
  }

  #remember(id: string, entry: Entry): void {
    this.#entries.delete(id)
    this.#entries.set(id, entry)
    if (this.#entries.size <= MAX_ENTRIES) return
    const [oldest] = this.#entries.keys()
    if (oldest !== undefined) this.#entries.delete(oldest)
  }

  async #refresh(): Promise<void> {
    if (this.#refreshing) return
    this.#refreshing = true
    try {
      const used = this.#sortOut()
      for (let start = 0; start < used.length; start += MAX_PER_STATEMENT) {
        const chunk = used.slice(start, start + MAX_PER_STATEMENT)
        const readAt = performance.now()
        const found = await findKeyStandings(
          this.#db,
          chunk.map(([, { hash }]) => hash),
          READING_MS,
        )
        for (const [id, entry] of chunk) {
          entry.standing = found.get(id)
          entry.readAt = readAt
        }
      }
    } catch {
      // entries age, and the next request reads for itself and hears the error
    } finally {
      this.#refreshing = false
    }
  }

  /** Answers what was used lately, and forgets what is too old to be of use. */
  #sortOut(): [string, Entry][] {
    const used: [string, Entry][] = []
    const now = performance.now()
    for (const [name, readAt] of this.#refused) {
      if (now - readAt <= MAX_AGE_MS) break
      this.#refused.delete(name)
    }
    for (const [id, entry] of this.#entries) {
      if (now - entry.usedAt < IN_USE_MS) {
        used.push([id, entry])
      } else if (now - entry.readAt > MAX_AGE_MS) {
        this.#entries.delete(id)
      }
    }
    return used
  }
}

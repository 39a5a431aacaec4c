import type { Keyring } from '../crypto/keyring.js'
import type { PlatformDb } from '../db/connect.js'
import type { TenantDatabaseManager, TenantPlace } from '../db/tenant-database-manager.js'
import { setTokensLastUsed } from '../identity/token-store.js'
import type { Log } from '../log.js'
import { rehashApiKey, setLastUsed } from './api-key-store.js'

/** How far `last_used_at` lags behind at the most, while the database keeps up. */
const FLUSH_EVERY_MS = 5_000
const AT_A_TIME = 500
const TENANTS_AT_ONCE = 2

type Rehash = {
  readonly id: string
  readonly from: Buffer
  readonly to: Buffer
  readonly appKeyId: string
}

/**
 * When keys, tokens and licenses were last used, written behind: a request costs an entry in memory, and all
 * uses of one thing within five seconds cost one write together. A clean stop writes what is left.
 */
export class LastUsed {
  readonly #platform: PlatformDb
  readonly #databases: TenantDatabaseManager
  readonly #log: Log
  readonly #timer: NodeJS.Timeout
  #keys = new Map<string, number>()
  #tokens = new Map<string, number>()
  #rehashes = new Map<string, Rehash>()
  #licenses = new Map<
    string,
    { readonly tenant: TenantPlace; readonly used: Map<string, number> }
  >()
  #flushing: Promise<void> | undefined

  constructor(platform: PlatformDb, databases: TenantDatabaseManager, log: Log) {
    this.#platform = platform
    this.#databases = databases
    this.#log = log
    this.#timer = setInterval(() => void this.flush(), FLUSH_EVERY_MS)
    this.#timer.unref()
  }

  apiKey(id: string): void {
    this.#keys.set(id, Date.now())
  }

  token(id: string): void {
    this.#tokens.set(id, Date.now())
  }

  /** A key that was let in under an earlier application key moves to the current one. */
  rehash(keyring: Keyring, id: string, apiKey: string, fromKeyId: string): void {
    if (this.#rehashes.has(id)) return
    this.#rehashes.set(id, {
      id,
      from: keyring.hashApiKey(apiKey, fromKeyId),
      to: keyring.hashApiKey(apiKey),
      appKeyId: keyring.currentId,
    })
  }

  license(tenant: TenantPlace, id: string): void {
    const known = this.#licenses.get(tenant.id)
    if (known) known.used.set(id, Date.now())
    else this.#licenses.set(tenant.id, { tenant, used: new Map([[id, Date.now()]]) })
  }

  /** Writes what is known now. Two at once share one. */
  flush(): Promise<void> {
    this.#flushing ??= this.#write().finally(() => {
      this.#flushing = undefined
    })
    return this.#flushing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer)
    await this.#flushing
    await this.flush()
  }

  async #write(): Promise<void> {
    const [keys, tokens] = [this.#keys, this.#tokens]
    const [licenses, rehashes] = [this.#licenses, this.#rehashes]
    this.#keys = new Map()
    this.#tokens = new Map()
    this.#licenses = new Map()
    this.#rehashes = new Map()
    await this.#attempt(
      () => this.#writeKeys(keys),
      () => {
        for (const [id, at] of keys) if (!this.#keys.has(id)) this.#keys.set(id, at)
      },
    )
    await this.#attempt(
      async () => {
        for (const chunk of chunks(tokens)) await setTokensLastUsed(this.#platform, chunk)
      },
      () => {
        for (const [id, at] of tokens) if (!this.#tokens.has(id)) this.#tokens.set(id, at)
      },
    )
    for (const rehash of rehashes.values()) {
      await this.#attempt(
        () => rehashApiKey(this.#platform, { ...rehash, at: new Date() }),
        () => {},
      )
    }
    const tenants = [...licenses.values()]
    const worker = async () => {
      for (let next = tenants.pop(); next; next = tenants.pop()) {
        const { tenant, used } = next
        await this.#attempt(
          () => this.#writeLicenses(tenant, used),
          () => {
            for (const id of used.keys()) this.license(tenant, id)
          },
        )
      }
    }
    await Promise.all(Array.from({ length: TENANTS_AT_ONCE }, worker))
  }

  /** What could not be written is kept for the next time. */
  async #attempt(work: () => Promise<void>, keep: () => void): Promise<void> {
    try {
      await work()
    } catch (error) {
      keep()
      this.#log.warn('uses could not be written down yet', { error })
    }
  }

  async #writeKeys(used: ReadonlyMap<string, number>): Promise<void> {
    for (const chunk of chunks(used)) await setLastUsed(this.#platform, chunk)
  }

  async #writeLicenses(tenant: TenantPlace, used: ReadonlyMap<string, number>): Promise<void> {
    for (const chunk of chunks(used)) {
      const rows = chunk.map((_, index) =>
        index === 0 ? 'select ? as id, ? as at' : 'select ?, ?',
      )
      await this.#databases.lend(
        tenant,
        (connection) =>
          new Promise<void>((done, fail) => {
            connection.query(
              `update licenses join (${rows.join(' union all ')}) used on used.id = licenses.id set licenses.last_used_at = used.at where licenses.last_used_at is null or licenses.last_used_at < used.at`,
              chunk.flat(),
              (error) => (error ? fail(error) : done()),
            )
          }),
      )
    }
  }
}

/** In the order of their ids, so that two processes lock rows in the same order. */
function chunks(used: ReadonlyMap<string, number>): [string, Date][][] {
  const sorted = [...used.entries()]
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([id, at]): [string, Date] => [id, new Date(at)])
  return Array.from({ length: Math.ceil(sorted.length / AT_A_TIME) }, (_, index) =>
    sorted.slice(index * AT_A_TIME, (index + 1) * AT_A_TIME),
  )
}

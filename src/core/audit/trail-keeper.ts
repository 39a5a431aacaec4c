import { setTimeout as sleep } from 'node:timers/promises'
import type { Context } from '../context.js'
import { withLease } from '../db/lease.js'
import type { TenantPlace } from '../db/tenant-database-manager.js'
import { isFailure } from '../driver-failure.js'
import { AppError, type ErrorCode } from '../errors.js'
import { placeOf } from '../tenants/scope.js'
import { listTenants } from '../tenants/tenant-store.js'
import { readAuditKey } from './audit-key.js'
import { relayOutbox } from './relay-outbox.js'
import { SEALING, sealAudit } from './seal-audit.js'

const NOTHING_TO_RELAY: ReadonlySet<ErrorCode> = new Set([
  'TENANT.DATABASE_MISSING',
  'TENANT.DATABASE_NOT_OWNED',
])

/** How often what was touched is relayed, and what was relayed is sealed. */
const BEAT_MS = 100
/** How long after a failure it is tried again. */
const AWAY_MS = 1_000
/** How often a process asks whether the one that seals is still there. */
const SUCCESSION_MS = 2_000
/** How often every tenant is looked at: a process that died may have left events behind. */
const SWEEP_MS = 300_000
const AT_ONCE = 4
const SWEEP_PAGE = 200

/**
 * Keeps the trail while a server runs: takes events from the tenants that were written to, and, in one process at
 * a time, seals them. All of it can be cut off at any point; the next one goes on.
 */
export class TrailKeeper {
  readonly #ctx: Context
  readonly #stopping = new AbortController()
  readonly #touched = new Map<string, TenantPlace>()
  readonly #work: Promise<unknown>

  constructor(ctx: Context) {
    this.#ctx = ctx
    this.#work = Promise.all([
      this.#beat('relaying', BEAT_MS, () => this.relay()),
      this.#beat('sealing', SUCCESSION_MS, () => this.#seal()),
      this.#beat('sweeping', SWEEP_MS, () => this.#sweep()),
    ])
  }

  /** Something was written to this tenant. */
  touch(tenant: TenantPlace): void {
    this.#touched.set(tenant.id, tenant)
  }

  /** Relays the events of all tenants touched so far, then throws the first failure. */
  async relay(): Promise<void> {
    const tenants = [...this.#touched.values()]
    this.#touched.clear()
    const away = new Set<string>()
    let failure: unknown
    const worker = async () => {
      for (let tenant = tenants.pop(); tenant; tenant = tenants.pop()) {
        if (away.has(tenant.serverId)) {
          this.#retry(tenant)
          continue
        }
        try {
          await relayOutbox(this.#ctx, tenant)
        } catch (error) {
          // a tenant whose database is gone or another's has nothing to relay; any other is tried again
          if (!(error instanceof AppError) || !NOTHING_TO_RELAY.has(error.code)) this.#retry(tenant)
          // its other tenants would each wait for the same timeout
          if (isFailure(error, 'unreachable')) away.add(tenant.serverId)
          failure ??= error
        }
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, worker))
    if (failure !== undefined) throw failure
  }

  #retry(tenant: TenantPlace): void {
    if (!this.#touched.has(tenant.id)) this.#touched.set(tenant.id, tenant)
  }

  /** Ends with what was touched relayed; sealing is left to whoever comes next. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort()
    await this.#work
    await this.relay().catch((error) =>
      this.#ctx.log.warn('events are left to be relayed', { error }),
    )
  }

  /** For as long as this process holds the lease. */
  async #seal(): Promise<void> {
    const key = await readAuditKey(this.#ctx)
    const { platform, lease: terms } = this.#ctx
    try {
      await withLease(platform, SEALING, terms, async (lease) => {
        while (!this.#stopping.signal.aborted) {
          await sealAudit(this.#ctx, lease, key).catch((error: unknown) => {
            // while the database is away nobody can take the lease, nor give it back: held, it serves when it is there
            if (
              !isFailure(
                error,
                'unreachable',
                'connection lost',
                'too many connections',
                'not ready',
              )
            )
              throw error
            this.#ctx.log.warn('sealing waits for the database', { error })
            return this.#pause(AWAY_MS)
          })
          await this.#pause(BEAT_MS)
        }
      })
    } catch (error) {
      if (!(error instanceof AppError) || !['LEASE.HELD', 'LEASE.LOST'].includes(error.code))
        throw error
    }
  }

  async #sweep(): Promise<void> {
    let afterSlug: string | undefined
    for (;;) {
      const tenants = await listTenants(this.#ctx.platform, {
        status: 'active',
        afterSlug,
        limit: SWEEP_PAGE,
      })
      for (const tenant of tenants) {
        if (this.#stopping.signal.aborted) return
        // one after another: it is for what a crash left, and there is no hurry
        await relayOutbox(this.#ctx, placeOf(tenant)).catch((error) =>
          this.#ctx.log.warn('a tenant’s events could not be relayed', {
            tenant: tenant.slug,
            error,
          }),
        )
      }
      afterSlug = tenants.at(-1)?.slug
      if (tenants.length < SWEEP_PAGE) return
    }
  }

  async #beat(what: string, everyMs: number, work: () => Promise<void>): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      try {
        await work()
      } catch (error) {
        this.#ctx.log.warn(`${what} the trail failed and is tried again`, { error })
        await this.#pause(AWAY_MS)
      }
      await this.#pause(everyMs)
    }
  }

  #pause(milliseconds: number): Promise<unknown> {
    return sleep(milliseconds, undefined, { signal: this.#stopping.signal }).catch(() => {})
  }
}

/**
 * What a command does before it leaves: its own tenants' events relayed, and all sealed, unless a server that runs
 * seals anyway.
 */
export async function settleTrail(ctx: Context, tenants: Iterable<TenantPlace>): Promise<void> {
  let failure: unknown
  for (const tenant of tenants) {
    try {
      await relayOutbox(ctx, tenant)
    } catch (error) {
      // none holds up the others
      if (!(error instanceof AppError) || !NOTHING_TO_RELAY.has(error.code)) failure ??= error
    }
  }
  const key = await readAuditKey(ctx)
  try {
    await withLease(ctx.platform, SEALING, ctx.lease, (lease) => sealAudit(ctx, lease, key))
  } catch (error) {
    if (!(error instanceof AppError) || !['LEASE.HELD', 'LEASE.LOST'].includes(error.code))
      throw error
  }
  if (failure !== undefined) throw failure
}

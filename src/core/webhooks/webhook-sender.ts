import { setTimeout as sleep } from 'node:timers/promises'
import { systemActor } from '../actor.js'
import { addMilliseconds } from '../clock.js'
import type { Context } from '../context.js'
import { inTransaction } from '../db/transaction.js'
import { recordAudit } from '../events/audit-store.js'
import { type Delivery, pauseAfter, readRetryAfter, signatureHeaders } from './delivery.js'
import {
  type Claimed,
  claimDeliveries,
  type Outcome,
  removeDeliveries,
  setFailingSince,
  settleDelivery,
} from './delivery-store.js'
import { type SendOptions, type Sent, sendDelivery } from './send-delivery.js'
import { secretsIn } from './signing-secrets.js'
import { disableEndpoint } from './webhook-endpoint-store.js'

const POLL_MS = 250
/** How many are under way in one process, and how many of them to one endpoint. */
const AT_ONCE = 64
const AT_ONCE_AN_ENDPOINT = 4
/** How many of them go to endpoints that failed last: however many hang, the others have the rest. */
const AT_ONCE_FAILING = 16
/** Longer than an attempt takes: after that another process may try. */
const CLAIM_MS = 60_000
/** An endpoint that took nothing for so long is given up when an event has run out of attempts. */
const FAILING_MS = 3 * 86_400_000
/** How long what is over is listed and can be sent again, and how often the rest is removed. */
const KEPT_MS = 30 * 86_400_000
const REMOVE_EVERY_MS = 3_600_000
const REMOVED_AT_A_TIME = 1_000

export type SenderOptions = Omit<SendOptions, 'allowed'>

/**
 * Delivers what is due while a server runs. Any number of processes do it side by side: each takes what the others
 * have not. One endpoint has a few attempts under way at the most, and those that failed last have a part of all
 * attempts, so those that are slow do not hold up another's.
 */
export class WebhookSender {
  readonly #ctx: Context
  readonly #options: SenderOptions
  readonly #stopping = new AbortController()
  readonly #underWay = new Map<string, Promise<void>>()
  readonly #failing = new Set<string>()
  readonly #byEndpoint = new Map<string, number>()
  readonly #work: Promise<unknown>
  /** Tells whoever pauses that there is room again. */
  #ended = new AbortController()

  constructor(ctx: Context, options: SenderOptions = {}) {
    this.#ctx = ctx
    this.#options = options
    this.#work = Promise.all([this.#run(), this.#removeOld()])
  }

  /** Ends with what is under way settled. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort()
    await this.#work
    await Promise.all(this.#underWay.values())
  }

  async #run(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      const taken = await this.#take().catch((error: unknown) => {
        this.#ctx.log.warn('webhooks could not be claimed and are tried again', { error })
        return 0
      })
      if (taken === 0) await this.#pause()
    }
  }

  /** Until something ends, or a moment has passed. */
  #pause(): Promise<unknown> {
    this.#ended = new AbortController()
    const signal = AbortSignal.any([this.#stopping.signal, this.#ended.signal])
    return sleep(POLL_MS, undefined, { signal }).catch(() => {})
  }

  async #removeOld(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      const before = addMilliseconds(this.#ctx.now(), -KEPT_MS)
      const removed = await removeDeliveries(this.#ctx.platform, before, REMOVED_AT_A_TIME).catch(
        (error: unknown) => {
          this.#ctx.log.warn('old deliveries could not be removed', { error })
          return 0
        },
      )
      if (removed === REMOVED_AT_A_TIME) continue
      await sleep(REMOVE_EVERY_MS, undefined, { signal: this.#stopping.signal }).catch(() => {})
    }
  }

  async #take(): Promise<number> {
    const limit = AT_ONCE - this.#underWay.size
    if (limit <= 0) return 0
    const at = this.#ctx.now()
    const busy = [...this.#byEndpoint]
      .filter(([, count]) => count >= AT_ONCE_AN_ENDPOINT)
      .map(([id]) => id)
    const holder = this.#ctx.lease.holder.name
    const claimed = await inTransaction(this.#ctx.platform, (transaction) =>
      claimDeliveries(transaction, {
        holder,
        at,
        until: addMilliseconds(at, CLAIM_MS),
        limit: Math.min(limit, AT_ONCE_AN_ENDPOINT),
        busy,
        spareFailing: this.#failing.size >= AT_ONCE_FAILING,
      }),
    )
    for (const delivery of claimed) this.#begin(delivery)
    return claimed.length
  }

  #begin(delivery: Claimed): void {
    const { id, endpointId, failingSince } = delivery
    if (failingSince) this.#failing.add(id)
    this.#byEndpoint.set(endpointId, (this.#byEndpoint.get(endpointId) ?? 0) + 1)
    const attempt = this.#attempt(delivery)
      .catch((error: unknown) =>
        this.#ctx.log.warn('a webhook’s outcome could not be written: it is tried again', {
          error,
        }),
      )
      .finally(() => {
        this.#underWay.delete(id)
        this.#failing.delete(id)
        const left = (this.#byEndpoint.get(endpointId) ?? 1) - 1
        if (left === 0) this.#byEndpoint.delete(endpointId)
        else this.#byEndpoint.set(endpointId, left)
        this.#ended.abort()
      })
    this.#underWay.set(id, attempt)
  }

  async #attempt(delivery: Claimed): Promise<void> {
    const { platform, lease, now } = this.#ctx
    const sent = delivery.url === '' ? undefined : await this.#send(delivery)
    const at = now()
    const outcome = sent ? outcomeOf(delivery, sent, at) : cancelled('the endpoint is disabled')
    await settleDelivery(platform, delivery.id, lease.holder.name, outcome, at)
    if (!sent) return
    if (outcome.status === 'delivered') {
      if (delivery.failingSince) await setFailingSince(platform, delivery.endpointId, null)
      return
    }
    if ('status' in sent && sent.status === 410)
      return this.#disable(delivery, 'it answered 410 Gone')
    await setFailingSince(platform, delivery.endpointId, at)
    const since = delivery.failingSince
    if (outcome.status === 'failed' && since && at.getTime() - since.getTime() >= FAILING_MS)
      await this.#disable(delivery, `it has taken nothing since ${since.toISOString()}`)
  }

  #send({ eventId, endpointId, payload, url, ...sealed }: Claimed): Promise<Sent> {
    const { keyring, config, now } = this.#ctx
    const at = now()
    const secrets = [sealed.secretEncrypted, sealed.previousSecretEncrypted].flatMap((each) =>
      each === undefined ? [] : secretsIn(keyring, endpointId, each, at),
    )
    return sendDelivery(url, payload, signatureHeaders(eventId, payload, at, secrets), {
      allowed: config.webhookAllow,
      ...this.#options,
    })
  }

  /** With an event, since nobody asked for it. */
  async #disable({ endpointId, tenantId }: Delivery, reason: string): Promise<void> {
    const actor = systemActor('webhooks')
    await inTransaction(this.#ctx.platform, async (transaction) => {
      const at = this.#ctx.now()
      if (!(await disableEndpoint(transaction, endpointId, reason, at))) return
      await recordAudit(transaction, { actor }, tenantId, {
        at,
        action: 'webhook_endpoint.disabled',
        objectType: 'webhook_endpoint',
        objectId: endpointId,
        changes: { before: { status: 'enabled' }, after: { status: 'disabled', reason } },
      })
    })
  }
}

const cancelled = (error: string): Outcome => ({
  status: 'cancelled',
  nextAttemptAt: undefined,
  responseStatus: undefined,
  error,
})

/** 2xx alone is success: a redirect is not followed, and no success either. */
function outcomeOf({ attempts }: Delivery, sent: Sent, at: Date): Outcome {
  const responseStatus = 'status' in sent ? sent.status : undefined
  if (responseStatus !== undefined && responseStatus >= 200 && responseStatus < 300)
    return { status: 'delivered', nextAttemptAt: undefined, responseStatus, error: undefined }
  if (responseStatus === 410) return { ...cancelled('410 Gone'), responseStatus }
  const retryAfter = 'status' in sent ? readRetryAfter(sent.retryAfter, at) : undefined
  const pause = pauseAfter(attempts + 1, retryAfter, Math.random())
  return {
    status: pause === undefined ? 'failed' : 'pending',
    nextAttemptAt: pause === undefined ? undefined : addMilliseconds(at, pause),
    responseStatus,
    error: 'error' in sent ? sent.error : `answered ${sent.status}`,
  }
}

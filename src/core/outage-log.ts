import { causeOf, isFailure } from './driver-failure.js'
import { AppError } from './errors.js'
import type { Log, LogFields } from './log.js'

const PROBE_EVERY_MS = 1_000
const REMIND_EVERY_MS = 60_000
/** An outage that comes back this soon is the same one: not all database servers are back yet. */
const SAME_OUTAGE_MS = 30_000

export type OutageLog = Disposable & {
  /** Passes lines on, except for those that say no more than that the database is away. */
  readonly log: Log
  /** Sets the check for whether the database is back. */
  probeWith(probe: () => Promise<unknown>): void
}

/**
 * Turns the many failures of a database outage into one line when it begins, a reminder with their number
 * once a minute, and one line when it ends.
 */
export function createOutageLog(
  log: Log,
  { probeEveryMs = PROBE_EVERY_MS, remindEveryMs = REMIND_EVERY_MS } = {},
): OutageLog {
  let probe: (() => Promise<unknown>) | undefined
  let timer: NodeJS.Timeout | undefined
  let since = 0
  let failures = 0
  let lastFailureAt = 0
  let remindAt = 0
  let endedAt = Number.NEGATIVE_INFINITY
  let isRepeated = false
  let isLooking = false

  const fail = (error: unknown) => {
    const now = performance.now()
    failures += 1
    lastFailureAt = now
    if (timer) return
    isRepeated = now - endedAt < SAME_OUTAGE_MS
    if (!isRepeated) {
      since = now
      failures = 1
      log.warn('the database is away: requests and work that need it fail', reasonOf(error))
    }
    remindAt = now + remindEveryMs
    timer = setInterval(() => void look(), probeEveryMs)
    timer.unref()
  }

  const look = async () => {
    const asked = performance.now()
    if (asked >= remindAt) {
      remindAt = asked + remindEveryMs
      log.warn('the database is still away', totals())
    }
    // a probe that hangs holds a connection: the next ones would take the others
    if (isLooking) return
    isLooking = true
    const isBack = await (probe?.() ?? Promise.reject(new Error('no probe'))).then(
      () => true,
      () => false,
    )
    isLooking = false
    // after a relapse the failures themselves must have stopped, too
    const quiet = performance.now() - lastFailureAt
    if (!isBack || lastFailureAt > asked || (isRepeated && quiet < SAME_OUTAGE_MS) || !timer) return
    clearInterval(timer)
    timer = undefined
    endedAt = performance.now()
    log.info('the database is back', totals())
  }

  const totals = () => ({ seconds: Math.round((performance.now() - since) / 1000), failures })

  const unlessAway =
    (write: Log['warn']) =>
    (message: string, fields: LogFields = {}): void => {
      if (isOutage(fields.error, timer !== undefined)) fail(fields.error)
      else write(message, fields)
    }

  return {
    log: { ...log, warn: unlessAway(log.warn), error: unlessAway(log.error) },
    probeWith(given) {
      probe = given
    },
    [Symbol.dispose]() {
      clearInterval(timer)
      timer = undefined
    },
  }
}

/**
 * A pool that is exhausted is part of an outage, but doesn't begin one. What is wrong with one tenant is
 * no outage, whatever its cause.
 */
const isOutage = (error: unknown, isAway: boolean): boolean =>
  !(error instanceof AppError && error.code.startsWith('TENANT.')) &&
  (isFailure(
    error,
    'unreachable',
    'connection lost',
    'not ready',
    'access denied',
    'account locked',
    'password expired',
    'host refused',
    'tls',
  ) ||
    (isAway && isFailure(error, 'too many connections')))

/** The driver's failure, without a stack. */
function reasonOf(error: unknown): LogFields {
  const failure = causeOf(error)
  return { server: failure?.where, because: failure?.sentence }
}

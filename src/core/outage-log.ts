import { causeOf, isFailure } from './driver-failure.js'
import { AppError } from './errors.js'
import type { Log, LogFields } from './log.js'

const PROBE_EVERY_MS = 1_000
const REMIND_EVERY_MS = 60_000
/** How long a probe may take before its silence counts as an outage. */
const HELD_AT_MOST_MS = 5_000
/** An outage that comes back this soon is the same one. */
const SAME_OUTAGE_MS = 30_000

export type OutageLog = Disposable & {
  /** Passes lines on, except for those that say no more than that the database is away. */
  readonly log: Log
  /** Sets the check for whether the database is back. */
  probeWith(probe: () => Promise<unknown>): void
}

/**
 * Turns the many failures of a database outage into one line when it begins, a reminder with their number
 * once a minute, and one line when it ends. If the platform's database answers, so that only a tenant or another
 * server is affected, the lines are written as they are.
 */
export function createOutageLog(
  log: Log,
  { probeEveryMs = PROBE_EVERY_MS, remindEveryMs = REMIND_EVERY_MS } = {},
): OutageLog {
  let probe: (() => Promise<unknown>) | undefined
  let timer: NodeJS.Timeout | undefined
  let since = 0
  let failures = 0
  let remindAt = 0
  let endedAt = Number.NEGATIVE_INFINITY
  let isRepeated = false

  let answersSince = Number.NEGATIVE_INFINITY
  let answeredAt = Number.NEGATIVE_INFINITY
  let asking: Promise<boolean> | undefined
  const held: Held[] = []
  let isChecking = false

  /** Whether the platform's database answers. One probe runs at a time: a hanging one holds a connection. */
  const ask = (): Promise<boolean> => {
    asking ??= (probe?.() ?? Promise.reject(new Error('no probe')))
      .then(
        () => true,
        () => false,
      )
      .finally(() => {
        asking = undefined
      })
    return asking
  }

  const fail = (failure: Held) => {
    if (timer) {
      failures += 1
      return
    }
    if (!probe) return begin([failure])
    if (performance.now() - answeredAt < probeEveryMs) return failure.write()
    held.push(failure)
    if (!isChecking) void check()
  }

  /** Decides whether the held failures begin an outage, or are those of one tenant or of another server. */
  const check = async () => {
    isChecking = true
    let late: NodeJS.Timeout | undefined
    const answers = await Promise.race([
      ask(),
      new Promise<false>((done) => {
        late = setTimeout(() => done(false), HELD_AT_MOST_MS)
        late.unref()
      }),
    ])
    clearTimeout(late)
    isChecking = false
    if (!answers) return begin(held.splice(0))
    answeredAt = performance.now()
    writeHeld()
  }

  const writeHeld = () => {
    for (const { write } of held.splice(0)) write()
  }

  const begin = (begun: readonly Held[]) => {
    const [first] = begun
    if (!first) return
    const now = performance.now()
    isRepeated = now - endedAt < SAME_OUTAGE_MS
    failures = isRepeated ? failures + begun.length : begun.length
    if (!isRepeated) {
      since = now
      log.warn('the database is away: requests and work that need it fail', reasonOf(first.error))
    }
    remindAt = now + remindEveryMs
    answersSince = Number.POSITIVE_INFINITY
    timer = setInterval(() => void look(), probeEveryMs)
    timer.unref()
  }

  const look = async () => {
    const asked = performance.now()
    if (asked >= remindAt) {
      remindAt = asked + remindEveryMs
      log.warn('the database is still away', totals())
    }
    if (asking) return
    const isBack = await ask()
    answersSince = isBack ? Math.min(answersSince, asked) : Number.POSITIVE_INFINITY
    // after a relapse it must have answered for a while
    if (!isBack || (isRepeated && asked - answersSince < SAME_OUTAGE_MS) || !timer) return
    clearInterval(timer)
    timer = undefined
    endedAt = performance.now()
    log.info('the database is back', totals())
  }

  const totals = () => ({ seconds: Math.round((performance.now() - since) / 1000), failures })

  const unlessAway =
    (write: Log['warn']) =>
    (message: string, fields: LogFields = {}): void => {
      if (isOutage(fields.error, timer !== undefined))
        fail({ error: fields.error, write: () => write(message, fields) })
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
      writeHeld()
    },
  }
}

/** A failure whose line waits until it's known whether there is an outage. */
type Held = { readonly error: unknown; readonly write: () => void }

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

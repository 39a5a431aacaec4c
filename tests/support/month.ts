import { setTimeout as sleep } from 'node:timers/promises'
import { monthOf } from '../../src/core/billing/plan.js'

const ROOM_MS = 240_000

/** Waits out the end of a month, where one is near: what is counted by the month must not straddle it. */
export async function awayFromMonthEnd(): Promise<void> {
  const now = new Date()
  const left = monthOf(now).end.getTime() - now.getTime()
  if (left < ROOM_MS) await sleep(left + 1_000)
}

/** How long that may take. */
export const MONTH_END_TIMEOUT_MS = ROOM_MS + 10_000

import { hostname } from 'node:os'
import { newId } from '../ids.js'
import { isProcessAlive, kernelId } from '../processes.js'

/** Who holds a lease: for people (`name`), and for telling whether that process still lives. */
export type Holder = {
  readonly name: string
  /** The running kernel and process-id space, where it can be told: only there does a pid mean anything. */
  readonly machine: string | undefined
  readonly pid: number
}

export function thisProcess(): Holder {
  const run = newId().slice(-6)
  return {
    name: `${hostname()}:${process.pid}:${run}`.slice(-120),
    machine: kernelId(),
    pid: process.pid,
  }
}

/** True only where this machine can be sure: the same kernel, the same pid space, and no such process. */
export function isKnownDead(holder: Holder, self: Holder): boolean {
  if (holder.machine === undefined || holder.machine !== self.machine || holder.pid === self.pid)
    return false
  return !isProcessAlive(holder.pid)
}

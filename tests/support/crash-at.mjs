import { subscribe } from 'node:diagnostics_channel'
import { writeSync } from 'node:fs'

/**
 * Preloaded into a real process (`node --import`). CRASH_AT and PAUSE_AT name a point of provisioning
 * as `<stage>/<point>`: there the process kills or stops itself, before the next thing happens.
 * It says `begun` on stderr at its first stage, and `paused` before it stops.
 */
const { CRASH_AT, PAUSE_AT } = process.env
let hasBegun = false

subscribe('validonx:provisioning', ({ stage, point }) => {
  if (!hasBegun) writeSync(2, 'begun\n')
  hasBegun = true
  const here = `${stage}/${point}`
  if (here === CRASH_AT) process.kill(process.pid, 'SIGKILL')
  if (here !== PAUSE_AT) return
  writeSync(2, 'paused\n')
  process.kill(process.pid, 'SIGSTOP')
})

import { subscribe } from 'node:diagnostics_channel'
import { writeSync } from 'node:fs'

/**
 * Preloaded into a real process (`node --import`). PAUSE_AT names a moment of provisioning as
 * `<stage>/<point>`: there the process stops itself, before the next thing happens.
 * Prints `begun` on stderr at its first stage, and `paused` before it stops.
 */
const { PAUSE_AT } = process.env
let hasBegun = false

subscribe('validonx:provisioning', ({ stage, point }) => {
  if (!hasBegun) writeSync(2, 'begun\n')
  hasBegun = true
  if (`${stage}/${point}` !== PAUSE_AT) return
  writeSync(2, 'paused\n')
  process.kill(process.pid, 'SIGSTOP')
})

import { createHash, randomBytes } from 'node:crypto'

const ID_BYTES = 16
/** Randomness is drawn for many ids at once: a call for each costs more than all the rest. */
const DRAWN_AT_ONCE = 256

let drawn = Buffer.alloc(0)
let used = 0
let lastTime = 0
let sequence = 0

function nextRandom(): Buffer {
  if (used === drawn.length) {
    drawn = randomBytes(ID_BYTES * DRAWN_AT_ONCE)
    used = 0
  }
  used += ID_BYTES
  return drawn.subarray(used - ID_BYTES, used)
}

/**
 * A UUIDv7 (RFC 9562, section 5.7): 48 bits of unix milliseconds, then a 12-bit counter that keeps
 * the ids of one process in order within a millisecond (section 6.2, method 1), then 62 random bits.
 */
export function newId(): string {
  const bytes = nextRandom()
  const now = Date.now()
  if (now > lastTime) {
    lastTime = now
    sequence = bytes.readUInt16BE(6) & 0x07ff
  } else {
    sequence += 1
    if (sequence > 0x0fff) {
      lastTime += 1
      sequence = 0
    }
  }
  bytes.writeUIntBE(lastTime, 0, 6)
  bytes.writeUInt16BE(0x7000 | sequence, 6)
  bytes.writeUInt8(0x80 | (bytes.readUInt8(8) & 0x3f), 8)
  return format(bytes)
}

/** What no id that `newId` made at or after a time is lower than. */
export const lowestIdAt = (at: Date): string =>
  format(Buffer.from(`${at.getTime().toString(16).padStart(12, '0')}70008000000000000000`, 'hex'))

/**
 * A UUIDv8 (RFC 9562, section 5.8) that depends on its parts alone: the id of an event that may be
 * written by several attempts and must count once.
 */
export function idFrom(...parts: readonly string[]): string {
  const bytes = createHash('sha256').update(JSON.stringify(parts)).digest().subarray(0, 16)
  bytes.writeUInt8(0x80 | (bytes.readUInt8(6) & 0x0f), 6)
  bytes.writeUInt8(0x80 | (bytes.readUInt8(8) & 0x3f), 8)
  return format(bytes)
}

function format(bytes: Buffer): string {
  const hex = bytes.toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

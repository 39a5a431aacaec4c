import { fstatSync, statSync, writeSync } from 'node:fs'
import { Writable } from 'node:stream'
import { isatty } from 'node:tty'

/**
 * A stream of this process. `isDiscarded`: what is written to it is lost, though no write fails. It is the
 * null device, which Node also opens in place of a descriptor that was closed when the process started.
 */
export type OwnStream = Writable & {
  readonly isTTY?: boolean
  readonly columns?: number
  readonly isDiscarded?: boolean
}

/** The process's own stdout or stderr, made so that a failed write is an error of that write alone. */
export function ownStream(descriptor: 1 | 2): OwnStream {
  const stat = fstatSync(descriptor)
  const isFile = stat.isFile() || (stat.isCharacterDevice() && !isatty(descriptor))
  const node = () => (descriptor === 1 ? process.stdout : process.stderr)
  const stream = isFile ? new FileOutput(descriptor) : node()
  // each write reports its own failure; without a listener the same error would end the process
  stream.on('error', () => {})
  return Object.assign(stream, { isDiscarded: isFile && stat.rdev === nullDevice() })
}

type Written = (error?: Error | null) => void

/**
 * Writes all of it or fails, each write separately: what is logged after a full disk was freed is written
 * again. Node's own stream for files takes a short write, as on a full disk, for a whole one.
 */
class FileOutput extends Writable {
  readonly #descriptor: number

  constructor(descriptor: number) {
    super()
    this.#descriptor = descriptor
  }

  override write(
    chunk: string | Uint8Array,
    encoding?: BufferEncoding | Written,
    written?: Written,
  ): boolean {
    const done = typeof encoding === 'function' ? encoding : written
    const error = this.#writeAll(Buffer.from(chunk as string))
    if (done) process.nextTick(done, error)
    return true
  }

  #writeAll(bytes: Buffer): Error | null {
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(this.#descriptor, bytes, at)
      return null
    } catch (error) {
      return error as Error
    }
  }
}

function nullDevice(): number | undefined {
  try {
    return statSync('/dev/null').rdev
  } catch {
    return undefined
  }
}

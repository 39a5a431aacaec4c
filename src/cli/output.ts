import { fstatSync, readFileSync, statSync, writeSync } from 'node:fs'
import { Writable } from 'node:stream'
import { isatty } from 'node:tty'

/** A stream of this process. `isClosed`: whatever is written to it is lost, though no write fails. */
export type OwnStream = Writable & {
  readonly isTTY?: boolean
  readonly columns?: number
  readonly isClosed?: boolean
}

/** The process's own stdout or stderr, made so that a failed write is an error of that write alone. */
export function ownStream(descriptor: 1 | 2): OwnStream {
  const stat = fstatSync(descriptor)
  const isFile = stat.isFile() || (stat.isCharacterDevice() && !isatty(descriptor))
  const node = () => (descriptor === 1 ? process.stdout : process.stderr)
  const stream = isFile ? new FileOutput(descriptor) : node()
  // each write reports its own failure; without a listener the same error would end the process
  stream.on('error', () => {})
  return Object.assign(stream, { isClosed: isFile && wasClosed(descriptor, stat.rdev) })
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

/**
 * Whether the descriptor was closed when the process started. Node then opens the null device for
 * reading and writing in its place; a shell's `> /dev/null` opens it for writing alone.
 */
function wasClosed(descriptor: number, device: number): boolean {
  if (device !== nullDevice()) return false
  try {
    const flags = /^flags:\s*([0-7]+)$/m.exec(
      readFileSync(`/proc/self/fdinfo/${descriptor}`, 'utf8'),
    )
    return (Number.parseInt(flags?.[1] ?? '0', 8) & 3) === 2
  } catch {
    return false
  }
}

function nullDevice(): number | undefined {
  try {
    return statSync('/dev/null').rdev
  } catch {
    return undefined
  }
}

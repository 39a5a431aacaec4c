import { Worker } from 'node:worker_threads'
import { AppError } from '../errors.js'

/** OWASP's least for Argon2id (Password Storage Cheat Sheet), the library's default: 19 MiB, two passes, one lane. */
const COST = { memoryCost: 19_456, timeCost: 2, parallelism: 1 }
const CURRENT = `$argon2id$v=19$m=${COST.memoryCost},t=${COST.timeCost},p=${COST.parallelism}$`

/** Hashing runs on the threads that name look-ups and files need too. */
const AT_ONCE = 2
/** More would wait for longer than anybody does. */
const MOST_WAITING = 50

let running = 0
const waiting: (() => void)[] = []

/**
 * `$argon2id$…` (PHC string format), which PHP's `password_verify` reads too.
 *
 * @throws SERVER.UNAVAILABLE where too many wait for theirs
 */
export const hashPassword = (password: string): Promise<string> =>
  inTurn(() => argon2Hash(password))

export type PasswordVerdict = {
  readonly matches: boolean
  /** Right, but made by another algorithm or at another cost: hash it anew. */
  readonly isOutdated: boolean
}

/**
 * Argon2 in all variants, and bcrypt as Laravel writes it (`$2y$`). What does not match costs the same whatever
 * the hash is, and where there is none: one Argon2 and, where users with bcrypt are left, one bcrypt.
 *
 * @param bcryptCost the highest cost among the users' hashes; undefined where there are none
 * @throws SERVER.UNAVAILABLE where too many wait for theirs
 */
export function verifyPassword(
  password: string,
  passwordHash: string | undefined,
  bcryptCost?: number,
): Promise<PasswordVerdict> {
  return inTurn(async () => {
    const isBcrypt = passwordHash !== undefined && /^\$2[abxy]\$/.test(passwordHash)
    const matches =
      passwordHash !== undefined &&
      (await (isBcrypt
        ? bcryptCompare(password, passwordHash)
        : argon2Verify(passwordHash, password)
      ).catch(() => false))
    if (!matches) {
      if (isBcrypt || passwordHash === undefined) await argon2Hash(password)
      if (!isBcrypt && bcryptCost !== undefined) await bcryptCompare(password, dummyOf(bcryptCost))
    }
    return { matches, isOutdated: matches && !passwordHash.startsWith(CURRENT) }
  })
}

const dummyOf = (cost: number): string => `$2y$${String(cost).padStart(2, '0')}$${'.'.repeat(53)}`

// left to the first login: most commands never hash
const argon2Hash = async (password: string): Promise<string> =>
  (await import('@node-rs/argon2')).hash(password, COST)
const argon2Verify = async (hash: string, password: string): Promise<boolean> =>
  (await import('@node-rs/argon2')).verify(hash, password)

/** The library is plain JavaScript: in a thread of its own it holds up nobody. */
const COMPARE = `
  const { parentPort, workerData } = require('node:worker_threads')
  const { createRequire } = require('node:module')
  const bcrypt = createRequire(workerData.from)('bcryptjs')
  parentPort.postMessage(bcrypt.compareSync(workerData.password, workerData.hash))
`

function bcryptCompare(password: string, hash: string): Promise<boolean> {
  return new Promise((done, fail) => {
    const worker = new Worker(COMPARE, {
      eval: true,
      workerData: { password, hash, from: import.meta.url },
      // what the main thread was started with (a loader, a debugger) is no business of it
      execArgv: [],
    })
    worker.once('message', done).once('error', fail)
    worker.once('exit', () => fail(new Error('the comparison ended without an answer')))
  })
}

async function inTurn<T>(work: () => Promise<T>): Promise<T> {
  if (running === AT_ONCE) {
    if (waiting.length >= MOST_WAITING) throw new AppError('SERVER.UNAVAILABLE')
    await new Promise<void>((go) => waiting.push(go))
  } else running += 1
  try {
    return await work()
  } finally {
    const next = waiting.shift()
    if (next) next()
    else running -= 1
  }
}

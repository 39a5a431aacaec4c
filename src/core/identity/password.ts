import { Worker } from 'node:worker_threads'
import { AppError } from '../errors.js'
import {
  type Algorithm,
  type Argon2Cost,
  DEFAULT_FORM,
  formOf,
  type HashForm,
  isWeaker,
  type PasswordHashSetting,
  strongest,
} from './password-form.js'

/** Hashing runs on the threads that name look-ups and files need too. */
const AT_ONCE = 2
/** More would have to wait for longer than a login may take. */
const MAX_WAITING = 50

/** bcrypt reads no more of a password (and neither does PHP). */
const BCRYPT_BYTES = 72

let running = 0
const waiting: (() => void)[] = []

/**
 * Hashes a new password. The algorithm is the configured one, else that of the hash it replaces, else
 * bcrypt; the parameters are Laravel's defaults, or those of the replaced hash where they are higher.
 *
 * @param replaced the user's hash until now
 * @throws VALIDATION.FAILED if bcrypt would not read all of it; SERVER.UNAVAILABLE if too many wait
 */
export async function hashPassword(
  password: string,
  setting: PasswordHashSetting,
  replaced?: string,
): Promise<string> {
  const found = replaced === undefined ? undefined : formOf(replaced)
  const algorithm = setting ?? found?.algorithm ?? 'bcrypt'
  if (algorithm === 'bcrypt') assertBcryptReadsAll(password)
  const least = DEFAULT_FORM[algorithm]
  const form = found?.algorithm === algorithm ? strongest(least, found) : least
  return inTurn(() => hashAs(password, form))
}

/**
 * Hashes a password that was just verified again, if the stored hash is weaker than Laravel's defaults.
 * Stays within the algorithm and, for bcrypt, the version found: the other application on these tables
 * may refuse any other. No parameter gets lower.
 *
 * @returns undefined if the stored hash is strong enough
 */
export async function strengthenHash(
  password: string,
  stored: string,
): Promise<string | undefined> {
  const found = formOf(stored)
  if (!found || !isWeaker(found, DEFAULT_FORM[found.algorithm])) return undefined
  const form = strongest(DEFAULT_FORM[found.algorithm], found)
  return inTurn(() => hashAs(password, form, stored.slice(0, 4)))
}

/**
 * Verifies bcrypt as PHP and others write it, and all variants of Argon2. A failure costs the same
 * whether the user exists or not: for each algorithm in `forms`, as much as its strongest form. A malformed hash,
 * or one that is too costly to check, matches no password.
 *
 * @param forms the hash forms in use
 * @throws SERVER.UNAVAILABLE if too many wait
 */
export function verifyPassword(
  password: string,
  stored: string | undefined,
  forms: readonly HashForm[] = [],
): Promise<boolean> {
  return inTurn(async () => {
    const found = stored !== undefined && isWhole(stored) ? formOf(stored) : undefined
    if (stored !== undefined && found && (await matches(password, stored, found))) return true
    // if a hash can't be computed here, only the equal timing is lost
    for (const form of strongestOfEach(forms))
      await spendRest(password, form, found).catch(() => {})
    return false
  })
}

/** bcrypt compares nothing with a hash that was cut off, so it takes no time. */
const isWhole = (hash: string): boolean =>
  !hash.startsWith('$2') || /^\$2[aby]\$\d\d\$[./0-9A-Za-z]{53}$/.test(hash)

async function matches(password: string, stored: string, { algorithm }: HashForm) {
  // bcrypt reads up to a NUL in C, and repeats the password in every implementation
  if (algorithm === 'bcrypt' && password.includes('\0')) return false
  const compare = algorithm === 'bcrypt' ? bcryptCompare : argon2Verify
  return compare(password, stored).catch(() => false)
}

function strongestOfEach(forms: readonly HashForm[]): readonly HashForm[] {
  const ofFamily = (isBcrypt: boolean) =>
    forms.filter(({ algorithm }) => (algorithm === 'bcrypt') === isBcrypt)
  return [ofFamily(true), ofFamily(false)].flatMap((family) =>
    family.length === 0 ? [] : [family.reduce((one, other) => strongest(one, other))],
  )
}

/** Works for as long as `form` takes, less what verifying a hash of the form `spent` took. */
async function spendRest(password: string, form: HashForm, spent: HashForm | undefined) {
  if (form.algorithm === 'bcrypt') {
    const from = spent?.algorithm === 'bcrypt' ? spent.cost : undefined
    // 2^from + (2^from + … + 2^(cost-1)) = 2^cost
    const costs =
      from === undefined
        ? [form.cost]
        : Array.from({ length: Math.max(0, form.cost - from) }, (_, index) => from + index)
    for (const cost of costs) await bcryptCompare(password, dummyOf(cost))
    return
  }
  const done = spent && spent.algorithm !== 'bcrypt' ? spent.cost.memory * spent.cost.time : 0
  const time = Math.ceil((form.cost.memory * form.cost.time - done) / form.cost.memory)
  if (time > 0) await argon2Hash(password, form.algorithm, { ...form.cost, time })
}

const dummyOf = (cost: number): string => `$2y$${String(cost).padStart(2, '0')}$${'.'.repeat(53)}`

/** `prefix` is the version of a bcrypt hash: `$2y$` is the only one that PHP calls bcrypt. */
async function hashAs(password: string, form: HashForm, prefix = '$2y$'): Promise<string> {
  if (form.algorithm !== 'bcrypt') return argon2Hash(password, form.algorithm, form.cost)
  const hash = await inWorker({ password, cost: form.cost })
  return `${prefix}${hash.slice(prefix.length)}`
}

function assertBcryptReadsAll(password: string): void {
  if (Buffer.byteLength(password) > BCRYPT_BYTES)
    throw new AppError('VALIDATION.FAILED').with({
      password: [`must be at most ${BCRYPT_BYTES} bytes in UTF-8: bcrypt reads no more`],
    })
}

// loaded by the first login: most commands never hash
const argon2Hash = async (
  password: string,
  algorithm: Exclude<Algorithm, 'bcrypt'>,
  { memory, time, lanes }: Argon2Cost,
): Promise<string> =>
  (await import('@node-rs/argon2')).hash(password, {
    algorithm: ARGON2_VARIANT[algorithm],
    memoryCost: memory,
    timeCost: time,
    parallelism: lanes,
  })
/** The library declares these as a const enum, which isolated modules can't read. */
const ARGON2_VARIANT = { argon2i: 1, argon2id: 2 } as const
const argon2Verify = async (password: string, hash: string): Promise<boolean> =>
  (await import('@node-rs/argon2')).verify(hash, password)

const bcryptCompare = async (password: string, hash: string): Promise<boolean> =>
  (await inWorker({ password, hash })) === 'true'

/** The library is plain JavaScript, so it runs in its own thread to keep the event loop free. */
const BCRYPT = `
  const { parentPort, workerData } = require('node:worker_threads')
  const { createRequire } = require('node:module')
  const bcrypt = createRequire(workerData.from)('bcryptjs')
  const { password, hash, cost } = workerData
  parentPort.postMessage(
    hash === undefined ? bcrypt.hashSync(password, cost) : String(bcrypt.compareSync(password, hash)),
  )
`

function inWorker(work: {
  readonly password: string
  readonly hash?: string
  readonly cost?: number
}): Promise<string> {
  return new Promise((done, fail) => {
    const worker = new Worker(BCRYPT, {
      eval: true,
      workerData: { ...work, from: import.meta.url },
      // don't inherit the parent's loader or debugger flags
      execArgv: [],
    })
    worker.once('message', done).once('error', fail)
    worker.once('exit', () => fail(new Error('the bcrypt thread ended without a result')))
  })
}

async function inTurn<T>(work: () => Promise<T>): Promise<T> {
  if (running === AT_ONCE) {
    if (waiting.length >= MAX_WAITING) throw new AppError('SERVER.UNAVAILABLE')
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

/** OWASP's least for Argon2id (Password Storage Cheat Sheet), the library's default: 19 MiB, two passes, one lane. */
const COST = { memoryCost: 19_456, timeCost: 2, parallelism: 1 }
const CURRENT = `$argon2id$v=19$m=${COST.memoryCost},t=${COST.timeCost},p=${COST.parallelism}$`

/** Hashing runs on the threads that name look-ups and files need too. */
const AT_ONCE = 2

let running = 0
const waiting: (() => void)[] = []

/** `$argon2id$…` (PHC string format), which PHP's `password_verify` reads too. */
export const hashPassword = (password: string): Promise<string> =>
  inTurn(async () => (await argon2()).hash(password, COST))

export type PasswordVerdict = {
  readonly matches: boolean
  /** Right, but made by another algorithm or at another cost: hash it anew. */
  readonly isOutdated: boolean
}

/**
 * Argon2 in all variants, and bcrypt as Laravel writes it (`$2y$`). Where there is no hash, as much is
 * worked as if there were one.
 */
export async function verifyPassword(
  password: string,
  passwordHash: string | undefined,
): Promise<PasswordVerdict> {
  if (passwordHash === undefined) {
    await hashPassword(password)
    return { matches: false, isOutdated: false }
  }
  const matches = await inTurn(async () =>
    /^\$2[abxy]\$/.test(passwordHash)
      ? (await bcrypt()).compare(password, passwordHash)
      : (await argon2()).verify(passwordHash, password),
  ).catch(() => false)
  return { matches, isOutdated: matches && !passwordHash.startsWith(CURRENT) }
}

// left to the first login: most commands never hash
const argon2 = () => import('@node-rs/argon2')
const bcrypt = async () => (await import('bcryptjs')).default

async function inTurn<T>(work: () => Promise<T>): Promise<T> {
  if (running === AT_ONCE) await new Promise<void>((go) => waiting.push(go))
  else running += 1
  try {
    return await work()
  } finally {
    const next = waiting.shift()
    if (next) next()
    else running -= 1
  }
}

import type { PASSWORD_HASHES } from '../config.js'

export type Algorithm = (typeof PASSWORD_HASHES)[number]
/** VALIDONX_PASSWORD_HASH; undefined if not set. */
export type PasswordHashSetting = Algorithm | undefined

/** Memory in KiB. */
export type Argon2Cost = { readonly memory: number; readonly time: number; readonly lanes: number }

/** How a hash was made: the algorithm and its parameters. */
export type HashForm =
  | { readonly algorithm: 'bcrypt'; readonly cost: number }
  | { readonly algorithm: 'argon2i' | 'argon2id'; readonly cost: Argon2Cost }

const ARGON2 = { memory: 65_536, time: 4, lanes: 1 }

/** Laravel's defaults (config/hashing.php): what a new hash has at least. */
export const DEFAULT_FORM = {
  bcrypt: { algorithm: 'bcrypt', cost: 12 },
  argon2i: { algorithm: 'argon2i', cost: ARGON2 },
  argon2id: { algorithm: 'argon2id', cost: ARGON2 },
} as const satisfies Record<Algorithm, HashForm>

/** The lowest and highest parameters that are read. A hash beyond them would hold a thread for minutes, or for ever. */
const BCRYPT_COSTS = { least: 4, most: 15 }
const ARGON2_MOST = { memory: 262_144, time: 16, lanes: 16 }

const BCRYPT = /^\$2[aby]\$(\d\d)(\$|$)/
const ARGON2_FORM = /^\$(argon2id?)\$(?:v=\d+\$)?m=(\d+),t=(\d+),p=(\d+)(\$|$)/

/**
 * Reads a hash's form, also from its beginning alone. Returns undefined if the hash is neither bcrypt nor Argon2,
 * or if its parameters are invalid or too costly.
 */
export function formOf(hash: string): HashForm | undefined {
  const bcrypt = BCRYPT.exec(hash)
  if (bcrypt) {
    const cost = Number(bcrypt[1])
    return cost >= BCRYPT_COSTS.least && cost <= BCRYPT_COSTS.most
      ? { algorithm: 'bcrypt', cost }
      : undefined
  }
  const argon2 = ARGON2_FORM.exec(hash)
  if (!argon2) return undefined
  const [, algorithm, memory, time, lanes] = argon2
  const cost = { memory: Number(memory), time: Number(time), lanes: Number(lanes) }
  return isReadable(cost) ? { algorithm: algorithm as 'argon2i' | 'argon2id', cost } : undefined
}

/** RFC 9106 asks for 8 KiB of memory for each lane. */
const isReadable = ({ memory, time, lanes }: Argon2Cost): boolean =>
  time >= 1 &&
  lanes >= 1 &&
  memory >= 8 * lanes &&
  memory <= ARGON2_MOST.memory &&
  time <= ARGON2_MOST.time &&
  lanes <= ARGON2_MOST.lanes

const argon2CostOf = ({ cost }: HashForm): Argon2Cost =>
  typeof cost === 'number' ? { memory: 0, time: 0, lanes: 0 } : cost

/** Whether any parameter is below that of a form of the same algorithm. */
export function isWeaker(form: HashForm, than: HashForm): boolean {
  if (form.algorithm === 'bcrypt') return than.algorithm === 'bcrypt' && form.cost < than.cost
  const [own, other] = [form.cost, argon2CostOf(than)]
  return own.memory < other.memory || own.time < other.time || own.lanes < other.lanes
}

/** Each parameter at its higher value, in the algorithm of the first. */
export function strongest(one: HashForm, other: HashForm): HashForm {
  if (one.algorithm === 'bcrypt')
    return {
      ...one,
      cost: other.algorithm === 'bcrypt' ? Math.max(one.cost, other.cost) : one.cost,
    }
  const cost = argon2CostOf(other)
  return {
    ...one,
    cost: {
      memory: Math.max(one.cost.memory, cost.memory),
      time: Math.max(one.cost.time, cost.time),
      lanes: Math.max(one.cost.lanes, cost.lanes),
    },
  }
}

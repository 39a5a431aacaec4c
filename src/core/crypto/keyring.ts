import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto'

/** What a key is derived for. Each purpose has a key of its own, so that none opens another's door. */
type Purpose =
  | 'key-id'
  | 'api-key-hash'
  | 'tenant-password'
  | 'runtime-password'
  | 'secret-encryption'

/**
 * The application key and, while a rotation lasts, its predecessors. Everything secret derives from
 * them by HKDF-SHA256 (RFC 5869) with the purpose as `info`; nothing that they make is stored in clear.
 */
export class Keyring {
  readonly #keys: ReadonlyMap<string, Buffer>
  /** Names the current application key without telling it: 16 hex digits. */
  readonly currentId: string
  readonly #derived = new Map<string, Buffer>()

  /** @param current base64, 32 bytes; @param previous the same, newest first */
  constructor(current: string, previous: readonly string[] = []) {
    const keys = new Map(
      [current, ...previous].map((text) => {
        const key = Buffer.from(text, 'base64')
        return [derive(key, 'key-id').toString('hex').slice(0, 16), key]
      }),
    )
    this.#keys = keys
    this.currentId = [...keys.keys()][0] as string
  }

  /** All ids, the current one first. */
  get ids(): readonly string[] {
    return [...this.#keys.keys()]
  }

  has(id: string): boolean {
    return this.#keys.has(id)
  }

  /** HMAC-SHA256 of an API key: 32 bytes, what is stored and looked up instead of the key. */
  hashApiKey(apiKey: string, keyId = this.currentId): Buffer {
    return createHmac('sha256', this.#derive('api-key-hash', keyId)).update(apiKey).digest()
  }

  /** The password of a tenant's database user. Changing the generation changes the password. */
  tenantPassword(tenantId: string, generation: number, keyId = this.currentId): string {
    return passwordFrom(this.#derive('tenant-password', keyId, `${tenantId}/${generation}`))
  }

  /** The password of the platform's runtime login, for the platform database of that name. */
  runtimePassword(platformDatabase: string, keyId = this.currentId): string {
    return passwordFrom(this.#derive('runtime-password', keyId, platformDatabase))
  }

  /**
   * AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce. `context` is authenticated, not stored:
   * a ciphertext moved to another row does not open. Form: `v1.<key id>.<base64url nonce+tag+text>`.
   */
  encrypt(secret: string, context: string): string {
    const nonce = randomBytes(12)
    const cipher = createCipheriv(
      'aes-256-gcm',
      this.#derive('secret-encryption', this.currentId),
      nonce,
    )
    cipher.setAAD(Buffer.from(context))
    const text = Buffer.concat([cipher.update(secret, 'utf8'), cipher.final()])
    return `v1.${this.currentId}.${Buffer.concat([nonce, cipher.getAuthTag(), text]).toString('base64url')}`
  }

  /** @throws Error where the key is not in the ring, the text was changed, or the context differs. */
  decrypt(sealed: string, context: string): string {
    const [version, keyId = '', body = ''] = sealed.split('.')
    if (version !== 'v1' || !this.has(keyId))
      throw new Error(`sealed under key ${keyId}, which is not in the ring`)
    const bytes = Buffer.from(body, 'base64url')
    const opener = createDecipheriv(
      'aes-256-gcm',
      this.#derive('secret-encryption', keyId),
      bytes.subarray(0, 12),
    )
    opener.setAAD(Buffer.from(context))
    opener.setAuthTag(bytes.subarray(12, 28))
    return Buffer.concat([opener.update(bytes.subarray(28)), opener.final()]).toString('utf8')
  }

  #derive(purpose: Purpose, keyId: string, detail = ''): Buffer {
    // only what has no detail is remembered: tenants are many
    const remembered = detail === '' ? `${keyId}/${purpose}` : undefined
    const known = remembered === undefined ? undefined : this.#derived.get(remembered)
    if (known) return known
    const key = this.#keys.get(keyId)
    if (!key) throw new Error(`application key ${keyId} is not in the ring`)
    const derived = derive(key, purpose, detail)
    if (remembered !== undefined) this.#derived.set(remembered, derived)
    return derived
  }
}

/** The id of the application key that a text was sealed under. */
export const keyIdOf = (sealed: string): string => sealed.split('.')[1] ?? ''

const derive = (key: Buffer, purpose: Purpose, detail = ''): Buffer =>
  Buffer.from(
    hkdfSync('sha256', key, 'validonx', detail === '' ? purpose : `${purpose}/${detail}`, 32),
  )

/** 43 characters with 256 bits, then four that satisfy a server's password policy. */
const passwordFrom = (bytes: Buffer): string => `${bytes.toString('base64url')}.aA1`

/** A new application key. */
export const newAppKey = (): string => randomBytes(32).toString('base64')

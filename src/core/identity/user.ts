import { z } from 'zod'

/** A person who runs tenants. The id is Laravel's: a BIGINT, as text. */
export type User = {
  readonly id: string
  readonly name: string
  readonly email: string
  /** Whether an operator stands for the address: one who came by an invitation may be anybody. */
  readonly isVerified: boolean
  readonly disabledAt: Date | undefined
  readonly createdAt: Date | undefined
}

/** Lower case: the database takes two addresses for one that differ in case alone. */
export const emailSchema = z
  .string('must be text')
  .trim()
  .toLowerCase()
  .max(255, 'must be at most 255 characters')
  .pipe(z.email('must be an e-mail address'))

/** Long enough to be no guess; the upper end keeps hashing cheap (NIST SP 800-63B-4, section 3.1.1.2). */
export const newPasswordSchema = z
  .string('must be text')
  .min(10, 'must be at least 10 characters')
  .max(256, 'must be at most 256 characters')
  // PHP's bcrypt refuses a NUL, and its password_verify stops reading there
  .refine((text) => !/[\0\p{Cs}]/u.test(text), 'must be text')

export const userNameSchema = z
  .string('must be text')
  .trim()
  .min(1, 'must not be empty')
  .max(120, 'must be at most 120 characters')
  .refine((text) => !/[\p{Cc}\p{Cs}]/u.test(text), 'must be text without control characters')

/** A BIGINT's digits. */
export const userIdSchema = z.string('must be text').regex(/^[1-9]\d{0,19}$/, 'must be a number')

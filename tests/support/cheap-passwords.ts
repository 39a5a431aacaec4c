import { DEFAULT_FORM } from '../../src/core/identity/password-form.js'

/**
 * Hashes new passwords at bcrypt's lowest cost from now on, in the test file that calls this. At the
 * default cost a hash takes 0.3 s of CPU time, and some files make hundreds.
 */
export function hashPasswordsCheaply(): void {
  Object.assign(DEFAULT_FORM.bcrypt, { cost: 4 })
}

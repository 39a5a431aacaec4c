import { asAppError } from '../../src/core/errors.js'

/** An error's code, and where nobody foresaw it, its words. */
export function codeOf(thrown: unknown): string {
  const failure = asAppError(thrown)
  if (failure.code !== 'SERVER.INTERNAL' && failure.code !== 'PROVISIONING.STOPPED')
    return failure.code
  return `${failure.code}: ${String(failure.cause)}`
}

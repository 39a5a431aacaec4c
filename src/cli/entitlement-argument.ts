import { AppError } from '../core/errors.js'

/**
 * `features.export=true`, `activations.max=5`, `edition=gold`: what looks like a number or a boolean is one.
 *
 * @throws USAGE.INVALID
 */
export function readEntitlement(text: string): [string, boolean | number | string] {
  const split = text.indexOf('=')
  if (split < 1)
    throw new AppError('USAGE.INVALID', `"${text}" is not an entitlement. Write it as code=value.`)
  const value = text.slice(split + 1)
  const read =
    value === 'true' || value === 'false'
      ? value === 'true'
      : /^-?\d+(\.\d+)?$/.test(value)
        ? Number(value)
        : value
  return [text.slice(0, split), read]
}

import { type ZodType, z } from 'zod'
import { withoutEmpties } from './empty-input.js'
import { AppError } from './errors.js'

/** Messages of schemas that have none of their own. */
z.config({
  customError: (issue) => {
    if (issue.code === 'invalid_type') return EXPECTED[issue.expected] ?? 'has the wrong type'
    return issue.code === 'invalid_union' ? 'has the wrong form' : undefined
  },
})
const EXPECTED: Readonly<Record<string, string>> = {
  object: 'must be an object',
  record: 'must be an object',
  array: 'must be a list',
  string: 'must be text',
  number: 'must be a number',
  boolean: 'must be true or false',
}

/**
 * Turns untrusted input into a trusted value. `[]` for an object and `null` for an absent field are
 * accepted: PHP clients send them.
 *
 * @throws VALIDATION.FAILED with `details`: field → messages. The values themselves are never repeated:
 *   they may be secrets.
 */
export function parse<T>(schema: ZodType<T>, input: unknown): T {
  if (hasProto(input))
    throw new AppError('VALIDATION.FAILED').with({ ['__proto__']: ['is not a known field'] })
  const strict = schema.safeParse(input)
  if (strict.success) return strict.data
  const repaired = withoutEmpties(schema, input)
  const result = schema.safeParse(repaired)
  if (result.success) return result.data
  // a field may be called "constructor"
  const fields: Record<string, string[]> = Object.create(null)
  const add = (path: readonly PropertyKey[], message: string) => {
    const field = path.map(String).join('.') || 'body'
    fields[field] = [...(fields[field] ?? []), message]
  }
  for (const issue of result.error.issues) {
    if (issue.code === 'unrecognized_keys')
      for (const key of issue.keys) add([...issue.path, key], 'is not a known field')
    else if (issue.code === 'invalid_key')
      for (const { message } of issue.issues) add(issue.path, message)
    else add(issue.path, isMissing(repaired, issue) ? 'is required' : issue.message)
  }
  throw new AppError('VALIDATION.FAILED').with(fields)
}

/** Whether a field is absent or null. `withoutEmpties` has left only the nulls of fields that need a value. */
function isMissing(
  input: unknown,
  { path, code }: { readonly path: readonly PropertyKey[]; readonly code: string },
): boolean {
  let holder = input
  for (const name of path.slice(0, -1)) holder = (holder as Record<PropertyKey, unknown>)?.[name]
  const last = path.at(-1)
  if (last === undefined || typeof holder !== 'object' || holder === null) return false
  const value = (holder as Record<PropertyKey, unknown>)[last]
  const isOfType = code !== 'invalid_type' && code !== 'invalid_value'
  return value === undefined || (value === null && !isOfType && !Array.isArray(holder))
}

/** Whether an object at any depth has a member of that name, which schemas would drop without a word. */
function hasProto(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  return (
    Object.hasOwn(value, '__proto__') ||
    Object.values(value).some((own) => typeof own === 'object' && hasProto(own))
  )
}

/** What ids, keys, codes and kinds are written with: text beyond it cannot name any of them. */
export const asciiSchema = (max: number) =>
  z
    .string()
    .regex(/^[\x21-\x7e]*$/, 'must be plain ASCII without blanks')
    .max(max, `must be at most ${max} characters`)

/**
 * A URL of the web, written as RFC 3986 has it, which is how it is kept and sent: other letters are
 * percent-encoded, and a host's are in punycode.
 */
export const webUrlSchema = (form: RegExp, message: string) =>
  z
    .string('must be text')
    .max(2_048, 'must be at most 2048 characters')
    .regex(form, message)
    .refine((text) => URL.canParse(text), message)
    .meta({ format: 'uri' })

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

/** In either case (RFC 9562, section 4); lower case is what is stored. */
export const uuidSchema = z.string().regex(UUID, 'must be a UUID').toLowerCase()

/** A UUID as it is stored; undefined if the text isn't one. */
export const readUuid = (text: string): string | undefined =>
  UUID.test(text) ? text.toLowerCase() : undefined

/**
 * A JSON column as a value. MySQL hands over JSON, MariaDB LONGTEXT, and the driver may have parsed
 * either: this is the one place that knows.
 */
export function fromJsonColumn<T>(column: unknown): T {
  return (typeof column === 'string' ? JSON.parse(column) : column) as T
}

const INSTANT = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2}))?$/

export const EARLIEST = new Date(0)
/** Far enough, and far from where the database's calendar ends: days may be added to it. */
export const LATEST = new Date('9000-01-01T00:00:00Z')

/** RFC 3339 with an offset, or a date alone, which is its first instant in UTC. */
export const instantSchema = z
  .string('must be text')
  .regex(INSTANT, 'must be a date such as 2027-01-31, or a time such as 2027-01-31T12:00:00Z')
  .transform((text, issues) => {
    const time = new Date(text.length === 10 ? `${text}T00:00:00Z` : text)
    // the calendar has no 31 February, and Date would take it for 3 March
    const day = text.slice(0, 10)
    const midnight = new Date(`${day}T00:00:00Z`)
    const isOnCalendar = !Number.isNaN(midnight.getTime()) && midnight.toISOString().startsWith(day)
    if (Number.isNaN(time.getTime()) || !isOnCalendar) {
      issues.addIssue({ code: 'custom', message: 'is not a time that exists' })
      return z.NEVER
    }
    if (time < EARLIEST || time > LATEST) {
      issues.addIssue({ code: 'custom', message: 'must lie between 1970 and 9000' })
      return z.NEVER
    }
    return time
  })

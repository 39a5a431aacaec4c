import type { ZodType } from 'zod'

type Inner = { readonly innerType: ZodType }

/**
 * Repairs what PHP clients send for "nothing": `[]` for an empty object, and `null` for a field that is
 * left out. Where the schema takes `[]` or `null` itself, both keep their meaning: in a merge patch null
 * clears a field that can be cleared.
 */
export const withoutEmpties = (schema: ZodType, input: unknown): unknown =>
  // no body at all, as JSON has it
  repaired(schema, input === null ? [] : input)

function repaired(schema: ZodType, value: unknown): unknown {
  const { def } = schema._zod as unknown as { readonly def: { readonly type: string } }
  switch (def.type) {
    case 'optional':
    case 'nullable':
    case 'default':
    case 'prefault':
    case 'nonoptional':
    case 'readonly':
      return repaired((def as unknown as Inner).innerType, value)
    case 'pipe':
      return repaired((def as unknown as { readonly in: ZodType }).in, value)
    case 'object':
      return repairedFields(
        (def as unknown as { readonly shape: Readonly<Record<string, ZodType>> }).shape,
        objectOf(value),
      )
    case 'record':
      return repairedValues(
        (def as unknown as { readonly valueType: ZodType }).valueType,
        objectOf(value),
      )
    case 'array': {
      const { element } = def as unknown as { readonly element: ZodType }
      return Array.isArray(value) ? value.map((each) => repaired(element, each)) : value
    }
    case 'union': {
      const { options } = def as unknown as { readonly options: readonly ZodType[] }
      const option = options.find((each) => each.safeParse(repaired(each, value)).success)
      return option ? repaired(option, value) : value
    }
    default:
      return value
  }
}

const objectOf = (value: unknown): unknown =>
  Array.isArray(value) && value.length === 0 ? {} : value

const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function repairedFields(shape: Readonly<Record<string, ZodType>>, value: unknown): unknown {
  if (!isObject(value)) return value
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, own]) => {
      const field = Object.hasOwn(shape, name) ? shape[name] : undefined
      if (!field) return [[name, own]]
      if (own === null && takes(field, undefined) && !takes(field, null)) return []
      return [[name, repaired(field, own)]]
    }),
  )
}

const repairedValues = (schema: ZodType, value: unknown): unknown =>
  isObject(value)
    ? Object.fromEntries(Object.entries(value).map(([name, own]) => [name, repaired(schema, own)]))
    : value

const takes = (schema: ZodType, value: unknown): boolean => schema.safeParse(value).success

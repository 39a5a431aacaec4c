import fc from 'fast-check'

/** The part of JSON Schema that our document uses. */
export type JsonSchema = {
  readonly type?: string | readonly string[]
  readonly enum?: readonly unknown[]
  readonly const?: unknown
  readonly pattern?: string
  readonly format?: string
  readonly minLength?: number
  readonly maxLength?: number
  readonly minimum?: number
  readonly maximum?: number
  readonly minItems?: number
  readonly maxItems?: number
  readonly items?: JsonSchema
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly required?: readonly string[]
  readonly additionalProperties?: JsonSchema | boolean
  readonly propertyNames?: JsonSchema
  readonly anyOf?: readonly JsonSchema[]
}

/** Values that stand for something on the server, by the name of the property that takes them. */
export type Known = Readonly<Record<string, readonly unknown[]>>

/** Text of all kinds: plain, of several code points, of any code points, and halves of pairs. */
export const anyText = (constraints: { minLength?: number; maxLength?: number } = {}) =>
  fc.oneof(
    { weight: 4, arbitrary: fc.string(constraints) },
    { weight: 2, arbitrary: fc.string({ ...constraints, unit: 'grapheme' }) },
    { weight: 2, arbitrary: fc.string({ ...constraints, unit: 'binary' }) },
    {
      weight: 1,
      arbitrary: fc.string({
        ...constraints,
        unit: fc.integer({ min: 0xd7fe, max: 0xe001 }).map((unit) => String.fromCharCode(unit)),
      }),
    },
  )

export const anyJson = (): fc.Arbitrary<unknown> => fc.jsonValue({ maxDepth: 3 })

/** Values that the schema allows. */
export function validBy(schema: JsonSchema, known: Known = {}, name = ''): fc.Arbitrary<unknown> {
  // lists and their items go by one name
  const isList = schema.type === 'array'
  const pool = Object.hasOwn(known, name) ? (known[name] ?? []) : []
  const fitting = pool.filter((value) => Array.isArray(value) === isList)
  const made = make(schema, known, name)
  if (fitting.length === 0) return made
  return fc.oneof(
    { weight: 9, arbitrary: fc.constantFrom(...fitting) },
    { weight: 1, arbitrary: made },
  )
}

function make(schema: JsonSchema, known: Known, name: string): fc.Arbitrary<unknown> {
  if (schema.const !== undefined) return fc.constant(schema.const)
  if (schema.enum) return fc.constantFrom(...schema.enum)
  if (schema.anyOf) return fc.oneof(...schema.anyOf.map((each) => validBy(each, known, name)))
  if (Array.isArray(schema.type))
    return fc.oneof(...schema.type.map((type: string) => make({ ...schema, type }, known, name)))
  switch (schema.type) {
    case 'string':
      return makeText(schema)
    case 'integer':
      return makeNumber(schema, (range) => fc.integer(range))
    case 'number':
      return makeNumber(schema, (range) => fc.double({ ...range, noNaN: true }))
    case 'boolean':
      return fc.boolean()
    case 'null':
      return fc.constant(null)
    case 'array':
      return fc.array(validBy(schema.items ?? {}, known, name), {
        minLength: schema.minItems ?? 0,
        maxLength: Math.min(schema.maxItems ?? 5, 5),
      })
    case 'object':
      return makeObject(schema, known)
    default:
      return anyJson()
  }
}

function makeText({ pattern, minLength = 0, maxLength = 300 }: JsonSchema): fc.Arbitrary<string> {
  if (pattern === undefined) return anyText({ minLength, maxLength })
  const fits = ({ length }: string) => length >= minLength && length <= maxLength
  return fc.stringMatching(new RegExp(pattern)).filter(fits)
}

/** Small numbers mostly, so that sums stay within limits, and the ends of the range now and then. */
function makeNumber(
  { minimum = -1_000_000_000, maximum = 1_000_000_000 }: JsonSchema,
  within: (range: { min: number; max: number }) => fc.Arbitrary<number>,
): fc.Arbitrary<number> {
  return fc.oneof(
    { weight: 6, arbitrary: within({ min: minimum, max: Math.min(maximum, minimum + 9) }) },
    { weight: 1, arbitrary: within({ min: minimum, max: maximum }) },
    { weight: 1, arbitrary: fc.constantFrom(minimum, maximum) },
  )
}

function makeObject(
  { properties = {}, required = [], additionalProperties, propertyNames = {} }: JsonSchema,
  known: Known,
): fc.Arbitrary<unknown> {
  const named = fc.record(
    Object.fromEntries(
      Object.entries(properties).map(([name, schema]) => [name, validBy(schema, known, name)]),
    ),
    { requiredKeys: [...required] },
  )
  if (additionalProperties === false || additionalProperties === undefined) return named
  const more = fc.dictionary(
    makeText({ maxLength: 20, ...propertyNames }),
    validBy(additionalProperties === true ? {} : additionalProperties, known),
    { maxKeys: 4, noNullPrototype: true },
  )
  return fc.tuple(more, named).map(([one, other]) => ({ ...one, ...(other as object) }))
}

/** A valid value with one thing wrong, or that may be: what a client with a fault would send. */
export function nearlyValidBy(schema: JsonSchema, known: Known = {}): fc.Arbitrary<unknown> {
  const properties = Object.entries(schema.properties ?? {})
  const names = properties.map(([name]) => name)
  return fc
    .tuple(
      validBy(schema, known),
      fc.oneof(
        fc.record({ drop: fc.constantFrom(...names) }),
        fc.record({ put: fc.constantFrom(...names), value: anyJson() }),
        fc.record({ put: anyText({ maxLength: 30 }), value: anyJson() }),
        fc.record({
          put: fc.constantFrom('constructor', 'toString', 'valueOf', '__proto__', 'licenseKey'),
          value: anyJson(),
        }),
        fc
          .constantFrom(...properties)
          .chain(([put, own]) => fc.record({ put: fc.constant(put), value: beyond(own) })),
      ),
    )
    .map(([value, fault]) => {
      const fields = Object.entries(value as object)
      const change = 'drop' in fault ? fault.drop : fault.put
      const others = fields.filter(([name]) => name !== change)
      return Object.fromEntries('drop' in fault ? others : [...others, [fault.put, fault.value]])
    })
}

/** Just outside of what a schema allows. */
function beyond({
  type,
  minimum,
  maximum,
  maxLength,
  maxItems,
  anyOf,
}: JsonSchema): fc.Arbitrary<unknown> {
  if (anyOf) return fc.oneof(...anyOf.map(beyond))
  if (type === 'integer')
    return fc.constantFrom(
      (minimum ?? 0) - 1,
      (maximum ?? 0) + 1,
      (minimum ?? 0) + 0.5,
      String(minimum),
      -0,
      Number.MAX_SAFE_INTEGER,
      1e308,
    )
  if (type === 'string')
    return fc.constantFrom('', 'x'.repeat((maxLength ?? 1_000) + 1), 'UPPER', ' ', 7, ['x'])
  if (type === 'array')
    return fc.constantFrom(
      [],
      Array.from({ length: (maxItems ?? 1_000) + 1 }, () => 'x'),
      'x',
      [1],
    )
  return fc.constantFrom(
    null,
    [],
    'x',
    { ['n'.repeat(101)]: 1 },
    { big: 'x'.repeat(16_384) },
    { deep: JSON.parse(`${'['.repeat(40)}${']'.repeat(40)}`) as unknown },
  )
}

/**
 * What a value stands for: `[]` is an empty object where only an object will do, and a null that a field can't
 * be is a field left out. The document doesn't say so; docs/api.md does.
 */
export function meantBy(schema: JsonSchema, value: unknown): unknown {
  if (schema.anyOf) return value
  if (schema.type === 'array')
    return Array.isArray(value) ? value.map((each) => meantBy(schema.items ?? {}, each)) : value
  if (schema.type !== 'object') return value
  const isEmptyList = Array.isArray(value) && value.length === 0
  if (typeof value !== 'object' || (Array.isArray(value) && !isEmptyList)) return value
  const { properties = {}, required = [], additionalProperties } = schema
  const more = typeof additionalProperties === 'object' ? additionalProperties : {}
  return Object.fromEntries(
    Object.entries(isEmptyList ? {} : (value ?? {}))
      .filter(([name, own]) => own !== null || takesNull(name, properties, required))
      .map(([name, own]) => [
        name,
        meantBy((Object.hasOwn(properties, name) ? properties[name] : more) ?? {}, own),
      ]),
  )
}

/** Whether null in a field is more than a field left out. */
function takesNull(
  name: string,
  properties: Readonly<Record<string, JsonSchema>>,
  required: readonly string[],
): boolean {
  const field = Object.hasOwn(properties, name) ? properties[name] : undefined
  if (!field || required.includes(name)) return true
  return field.type === undefined || field.anyOf?.some(({ type }) => type === 'null') === true
}

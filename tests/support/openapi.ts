import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { type JsonSchema, meantBy } from './from-schema.js'

type Ref = { readonly $ref: string }
type Header = { readonly description: string; readonly schema: { readonly type: string } }

export type DocumentedOperation = {
  readonly operationId: string
  readonly parameters: readonly {
    readonly name: string
    readonly in: 'path' | 'query' | 'header'
    readonly required?: boolean
    readonly schema: JsonSchema
  }[]
  readonly requestBody?: {
    readonly required?: boolean
    readonly content: {
      readonly 'application/json': { readonly schema: JsonSchema; readonly example: unknown }
    }
  }
  readonly responses: Readonly<
    Record<
      string,
      {
        readonly description: string
        readonly headers: Readonly<Record<string, Header | Ref>>
        readonly content?: Readonly<Record<string, unknown>>
      }
    >
  >
}

export type OpenApiDocument = {
  readonly paths: Readonly<Record<string, Readonly<Record<string, DocumentedOperation>>>>
}

export type Endpoint = {
  readonly path: string
  readonly method: string
  readonly operation: DocumentedOperation
}

export const endpointsOf = ({ paths }: OpenApiDocument): Endpoint[] =>
  Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  )

/** `.` and `..` are resolved before anybody is asked: they name another path. */
export const isNoFolder = (text: string): boolean => !/^\.{1,2}$/.test(text)

/** A path with values in the places of its parameters. */
export const filled = (path: string, values: Readonly<Record<string, string>>): string =>
  path.replaceAll(/\{(\w+)\}/g, (_, name: string) =>
    encodeURIComponent((values[name] ?? '').replaceAll(/[\ud800-\udfff]/gu, '\ufffd')),
  )

const JSON_TYPE = 'application/json'

export type Answered = {
  readonly status: number
  readonly headers: Headers
  readonly body: unknown
}

/** Headers that are there only when there is something to say. */
const ONLY_SOMETIMES = new Set(['Idempotency-Replayed'])

/** Holds answers, and the bodies of requests, against the document that is served. */
export class OpenApiContract {
  readonly #document: OpenApiDocument
  readonly #ajv = new Ajv2020({ strict: false, allErrors: true, validateFormats: true })
  readonly #compiled = new Map<string, ValidateFunction>()

  constructor(document: OpenApiDocument) {
    this.#document = document
    addFormats.default(this.#ajv)
    // the pattern beside it says it all
    this.#ajv.addFormat('email', true)
    this.#ajv.addSchema(document, 'openapi')
  }

  /** Whether the document takes a body, with what PHP clients send for nothing left out. */
  allows({ path, method, operation }: Endpoint, body: unknown): boolean {
    const { schema = {} } = operation.requestBody?.content['application/json'] ?? {}
    return this.#schema(path, method, 'requestBody')(meantBy(schema, body)) as boolean
  }

  /** What an answer has that the document does not give, and the other way about. */
  faultsOf({ path, method, operation }: Endpoint, { status, headers, body }: Answered): string[] {
    const documented = operation.responses[status]
    if (!documented) return [`${status} is not a documented status`]
    const [type = 'none'] = Object.keys(documented.content ?? {})
    const given = headers.get('Content-Type') ?? 'none'
    const { code } = (body as { error?: { code?: string } } | null)?.error ?? {}
    return [
      ...(given.split(';')[0] === type ? [] : [`${status} is of type ${given}`]),
      ...(type === JSON_TYPE ? this.#bodyFaults({ path, method }, status, body) : []),
      ...(code !== undefined && !documented.description.includes(`\`${code}\``)
        ? [`${status} ${code} is not a documented code`]
        : []),
      ...Object.entries(documented.headers).flatMap(([name, header]) =>
        this.#headerFaults(name, this.#resolve(header), headers.get(name)),
      ),
    ]
  }

  #bodyFaults(
    { path, method }: Pick<Endpoint, 'path' | 'method'>,
    status: number,
    body: unknown,
  ): string[] {
    const validate = this.#schema(path, method, 'responses', String(status))
    validate(body)
    return (validate.errors ?? []).map(
      ({ instancePath, message, params }) =>
        `${status}${instancePath} ${message} ${JSON.stringify(params)}`,
    )
  }

  #headerFaults(name: string, { schema }: Header, value: string | null): string[] {
    if (value === null) return ONLY_SOMETIMES.has(name) ? [] : [`there is no ${name}`]
    return schema.type === 'integer' && !/^\d+$/.test(value) ? [`${name} is ${value}`] : []
  }

  #resolve(header: Header | Ref): Header {
    if (!('$ref' in header)) return header
    let found: unknown = this.#document
    for (const word of header.$ref.split('/').slice(1))
      found = (found as Readonly<Record<string, unknown>>)[word]
    return found as Header
  }

  #schema(path: string, method: string, ...words: readonly string[]): ValidateFunction {
    const place = ['paths', path, method, ...words, 'content', JSON_TYPE, 'schema']
    const pointer = place
      .map((word) => encodeURIComponent(word.replaceAll('~', '~0').replaceAll('/', '~1')))
      .join('/')
    const known = this.#compiled.get(pointer)
    if (known) return known
    const compiled = this.#ajv.compile({ $ref: `openapi#/${pointer}` })
    this.#compiled.set(pointer, compiled)
    return compiled
  }
}

/** What a body may mean: PHP clients send `[]` for an empty object, and null for nothing. */
export function readingsOf(value: unknown): unknown[] {
  if (Array.isArray(value)) return value.length === 0 ? [value, {}] : [value]
  if (value === null) return [value, {}]
  if (typeof value !== 'object') return [value]
  return Object.entries(value).reduce<Record<string, unknown>[]>(
    (readings, [name, own]) =>
      readings.flatMap((reading) => [
        ...readingsOf(own).map((each) => ({ ...reading, [name]: each })),
        ...(own === null ? [reading] : []),
      ]),
    [{}],
  )
}

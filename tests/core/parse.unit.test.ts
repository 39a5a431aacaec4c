import { expect, test } from 'vitest'
import { z } from 'zod'
import { AppError } from '../../src/core/errors.js'
import { patchedField } from '../../src/core/merge-patch.js'
import { parse } from '../../src/core/parse.js'

const Input = z.strictObject({
  name: z.string('must be text'),
  tags: z.array(z.string()).optional(),
  options: z.strictObject({ size: z.number().optional() }).default({}),
  note: z.string().nullable().optional(),
  limits: z.record(z.string().regex(/^[a-z]+$/, 'must be lower case'), z.number()).optional(),
  each: z
    .array(z.strictObject({ code: z.string(), metadata: z.record(z.string(), z.unknown()) }))
    .optional(),
})

const faultsOf = (input: unknown): unknown => {
  try {
    return parse(Input, input)
  } catch (error) {
    return error instanceof AppError ? { ...error.details } : error
  }
}

test('an empty list for an object and null for an absent field are repaired at every depth', () => {
  const input = {
    name: 'x',
    tags: null,
    options: { size: null },
    limits: [],
    each: [{ code: 'a', metadata: [] }],
  }

  expect(parse(Input, input)).toEqual({
    name: 'x',
    options: {},
    limits: {},
    each: [{ code: 'a', metadata: {} }],
  })
  expect(parse(Input, { name: 'x', options: [] })).toEqual({ name: 'x', options: {} })
})

test('null that the schema takes stays, and a list stays a list', () => {
  expect(parse(Input, { name: 'x', note: null, tags: [] })).toEqual({
    name: 'x',
    note: null,
    tags: [],
    options: {},
  })
})

test('what is still wrong is named in plain words', () => {
  expect(faultsOf({ options: [1], tags: {}, limits: { A: 1 }, each: [{ code: 1 }] })).toEqual({
    name: ['is required'],
    options: ['must be an object'],
    tags: ['must be a list'],
    'limits.A': ['must be lower case'],
    'each.0.code': ['must be text'],
    'each.0.metadata': ['is required'],
  })
  expect(faultsOf('x')).toEqual({ body: ['must be an object'] })
  expect(faultsOf(null)).toEqual({ name: ['is required'] })
  expect(faultsOf({ name: null })).toEqual({ name: ['is required'] })
})

test('a member called __proto__ is refused at every depth', () => {
  const inputs = [
    '{"name":"x","__proto__":{"admin":true}}',
    '{"name":"x","limits":{"__proto__":1}}',
    '{"name":"x","each":[{"code":"a","metadata":{"of":{"__proto__":1}}}]}',
  ]

  for (const input of inputs)
    expect(faultsOf(JSON.parse(input))).toMatchObject({ ['__proto__']: ['is not a known field'] })
})

test('a merge patch keeps a member called __proto__ as a member', () => {
  const target = JSON.parse('{"__proto__":{"a":1},"b":2}')
  const patched = patchedField(target, JSON.parse('{"__proto__":{"c":3},"b":null}'))

  expect(JSON.stringify(patched)).toBe('{"__proto__":{"a":1,"c":3}}')
  expect(Object.getPrototypeOf(patched)).toBe(Object.prototype)
  expect(patchedField(target, null)).toEqual({})
  expect(patchedField(target, undefined)).toBe(target)
})

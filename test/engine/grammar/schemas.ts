/** Schemas to hold answers to: of every keyword, as people write them, and at random. */
import fc from 'fast-check'
import type { JsonSchema } from '../../../src/types.ts'

const object = (properties: Record<string, JsonSchema>, rest: object = {}): JsonSchema => ({
  type: 'object',
  properties,
  required: Object.keys(properties),
  additionalProperties: false,
  ...rest,
})

export const SCHEMAS: Readonly<Record<string, JsonSchema>> = {
  anything: true,
  'an empty schema': {},
  'any object': { type: 'object' },
  'any list': { type: 'array' },
  'a text': { type: 'string' },
  'a short text': { type: 'string', minLength: 2, maxLength: 5 },
  'a long text': { type: 'string', minLength: 40, maxLength: 3000 },
  'a pattern': { type: 'string', pattern: '^[A-Z]{2,3}-\\d{1,4}(?:/[a-z_]+)?$' },
  'an open pattern': { type: 'string', pattern: 'a[^b"]+c|\\$$' },
  'escapes in a pattern': { type: 'string', pattern: '^[\\\\"\\n\\t]{1,6}$' },
  'letters beyond ASCII': { type: 'string', pattern: '^[\\u{1f600}-\\u{1f64f}äöü€]{1,4}$' },
  'a date': { type: 'string', format: 'date' },
  'a time': { type: 'string', format: 'time' },
  'a moment': { type: 'string', format: 'date-time' },
  'a uuid': { type: 'string', format: 'uuid' },
  'an address': { type: 'string', format: 'ipv4' },
  'a host': { type: 'string', format: 'hostname' },
  'an e-mail address': { type: 'string', format: 'email' },
  'a link': { type: 'string', format: 'uri' },
  'a whole number': { type: 'integer' },
  'a number': { type: 'number' },
  'a small number': { type: 'integer', minimum: -17, maximum: 123 },
  'a positive number': { type: 'number', exclusiveMinimum: 0 },
  'a fraction': { type: 'number', minimum: 0, exclusiveMaximum: 1 },
  'a narrow range': { type: 'number', minimum: -0.25, maximum: 0.125 },
  'a far range': { type: 'number', minimum: 9.75, maximum: 1000.5 },
  'a safe integer': { type: 'integer', minimum: -9007199254740991, maximum: 9007199254740991 },
  'below zero': { type: 'integer', exclusiveMaximum: -3 },
  'a multiple of one': { type: 'number', multipleOf: 1, minimum: 3 },
  'a truth': { type: 'boolean' },
  nothing: { type: 'null' },
  'several types': { type: ['integer', 'null', 'boolean'] },
  constants: { enum: ['a', 1, null, { b: [true] }, 'quote " and \\'] },
  'constants of a type': { type: 'string', enum: ['a', 1, 'b'] },
  'one constant': { const: { kind: 'only' } },
  'an object': object({ name: { type: 'string' }, age: { type: 'integer', minimum: 0 } }),
  'optional members': object(
    { a: { type: 'boolean' }, b: { type: 'null' }, c: { type: 'integer' } },
    { required: ['b'] },
  ),
  'nothing required': object({ a: { type: 'boolean' }, b: { type: 'null' } }, { required: [] }),
  'a member without a schema': { type: 'object', properties: {}, required: ['x'] },
  'a map': { type: 'object', additionalProperties: { type: 'integer' } },
  'a map with names': {
    type: 'object',
    propertyNames: { pattern: '^k\\d$' },
    additionalProperties: { type: 'boolean' },
  },
  'a list': { type: 'array', items: { type: 'integer' }, minItems: 2, maxItems: 4 },
  'a tuple': { type: 'array', prefixItems: [{ type: 'boolean' }, { type: 'null' }], items: false },
  'a tuple and more': {
    type: 'array',
    prefixItems: [{ type: 'null' }],
    items: { type: 'boolean' },
    minItems: 2,
    maxItems: 3,
  },
  'one or another': { anyOf: [{ type: 'integer' }, object({ a: { type: 'null' } })] },
  'one or another within': {
    type: 'object',
    properties: { a: { type: 'null' }, b: { type: 'null' } },
    anyOf: [{ required: ['a'] }, { required: ['b'] }],
  },
  'exactly one by type': { oneOf: [{ type: 'string' }, { type: 'null' }] },
  'exactly one by its kind': {
    oneOf: [
      object({ kind: { const: 'circle' }, radius: { type: 'number' } }),
      object({ kind: { const: 'square' }, side: { type: 'number' } }),
    ],
  },
  'all of several': {
    allOf: [
      object({ a: { type: 'integer', minimum: 0 } }, { additionalProperties: true }),
      object({ a: { maximum: 5 }, b: { type: 'null' } }, { additionalProperties: true }),
    ],
  },
  'a tree': {
    $defs: {
      node: object({
        value: { type: 'integer' },
        children: { type: 'array', items: { $ref: '#/$defs/node' }, maxItems: 2 },
      }),
    },
    $ref: '#/$defs/node',
  },
  'itself in a list': { type: 'array', items: { $ref: '#' }, maxItems: 2 },
  'a reference with more': {
    $defs: { n: { type: 'integer' } },
    properties: { a: { $ref: '#/$defs/n', minimum: 3, description: 'more' } },
    required: ['a'],
  },
  'an alternative that never ends': {
    $defs: { endless: object({ next: { $ref: '#/$defs/endless' } }) },
    anyOf: [{ $ref: '#/$defs/endless' }, { type: 'null' }],
  },
  'odd names': object({ 'a"b\\c': { type: 'null' }, __proto__x: { type: 'null' }, 'ü 😀': { type: 'null' } }),
}

const scalar: fc.Arbitrary<JsonSchema> = fc.oneof(
  fc.constantFrom<JsonSchema>({ type: 'string' }, { type: 'boolean' }, { type: 'null' }, { type: 'number' }),
  fc
    .tuple(fc.nat(6), fc.nat(6))
    .map(([least, more]) => ({ type: 'string', minLength: least, maxLength: least + more })),
  fc
    .tuple(fc.integer({ min: -2000, max: 2000 }), fc.nat(5000))
    .map(([least, more]) => ({ type: 'integer', minimum: least, maximum: least + more })),
  fc
    .tuple(fc.double({ min: -1000, max: 1000, noNaN: true }), fc.double({ min: 0.5, max: 100, noNaN: true }))
    .map(([least, more]) => ({ type: 'number', exclusiveMinimum: least, maximum: least + more })),
  fc.array(fc.jsonValue({ maxDepth: 1 }), { minLength: 1, maxLength: 4 }).map((values) => ({ enum: values })),
  fc.constantFrom('date', 'time', 'uuid', 'ipv4', 'email').map((format) => ({ type: 'string', format })),
)

/** Schemas of the keywords that are enforced, nested at random. */
export const anySchema: fc.Arbitrary<JsonSchema> = fc.letrec<{ schema: JsonSchema }>((tie) => ({
  schema: fc.oneof(
    { maxDepth: 3, depthSize: 'small', withCrossShrink: true },
    scalar,
    fc
      .tuple(
        fc.dictionary(fc.string({ maxLength: 6 }), tie('schema'), { maxKeys: 4 }),
        fc.infiniteStream(fc.boolean()),
      )
      .map(([properties, flips]) => ({
        type: 'object',
        properties,
        required: Object.keys(properties).filter(() => flips.next().value),
      })),
    tie('schema').map((values) => ({ type: 'object', additionalProperties: values })),
    fc
      .tuple(tie('schema'), fc.nat(2), fc.nat(3))
      .map(([items, least, more]) => ({ type: 'array', items, minItems: least, maxItems: least + more })),
    fc.array(tie('schema'), { minLength: 1, maxLength: 3 }).map((choices) => ({ anyOf: choices })),
  ),
})).schema

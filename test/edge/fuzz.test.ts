/** A thousand bodies that no client would send: each is refused with a sentence, none crashes or hangs anything. */
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createEdge } from '../../src/edge/app.ts'
import type { Engine } from '../../src/engine/engine.ts'
import { loadEngine } from '../../src/engine/node.ts'
import type { FacetError } from '../../src/errors.ts'
import { MODEL_DIRECTORY } from '../engine/golden.ts'
import { CHAT, COMPLETIONS, HELLO, type Json, post } from './http.ts'

let engine: Engine
const bugs: FacetError[] = []
beforeAll(async () => {
  engine = await loadEngine(MODEL_DIRECTORY, { threads: 1, contextTokens: 256 })
})
afterAll(() => engine.close())

const keyword = fc.constantFrom(
  ...['type', 'properties', 'items', '$ref', '$defs', 'anyOf', 'oneOf', 'allOf', 'enum', 'const', 'required'],
  ...[
    'pattern',
    'format',
    'minLength',
    'maxLength',
    'minimum',
    'maximum',
    'not',
    'if',
    '__proto__',
    'constructor',
  ],
)
const { schema } = fc.letrec((tie) => ({
  schema: fc.oneof(
    { depthSize: 'small' },
    fc.jsonValue({ maxDepth: 2 }),
    fc.constantFrom({ $ref: '#' }, { allOf: [{ $ref: '#' }] }, '#/$defs/a', 'object', '(a*)*$', { not: {} }),
    fc.dictionary(keyword, tie('schema'), { maxKeys: 4 }),
  ),
}))

/** Never right: each body has at least one thing that must be refused. */
const body = fc.oneof(
  // No JSON at all.
  fc.string({ unit: 'binary' }).filter((text) => !isJson(text)),
  fc.json().map((text) => `${text}]`),
  // JSON of the wrong kind.
  fc.jsonValue().filter((value) => typeof value !== 'object' || Array.isArray(value) || value === null),
  // One parameter that is none, or has a value it cannot have.
  fc
    .tuple(
      fc.constantFrom(
        'temperature',
        'n',
        'max_tokens',
        'top_p',
        'stop',
        'seed',
        'logit_bias',
        'stream',
        'tools',
      ),
      fc.oneof(fc.object(), fc.constant([[]]), fc.constant('\u0000'), fc.constant(-1e99)),
    )
    .filter(([name, value]) => !((name === 'stop' && typeof value === 'string') || isEmpty(value)))
    .map(([name, value]) => ({ ...HELLO, prompt: 'x', unknown: 1, [name]: value })),
  // Schemas that are none, recur without an end, or cannot be enforced.
  schema.map((json) => ({
    ...HELLO,
    response_format: {
      type: 'json_schema',
      json_schema: { name: 'a', schema: { allOf: [json, { not: {} }] } },
    },
  })),
  schema.map((json) => ({
    ...HELLO,
    tools: [{ type: 'function', function: { name: 'f', parameters: { anyOf: [json, { contains: {} }] } } }],
  })),
  // Conversations out of order.
  fc
    .array(fc.constantFrom('user', 'system', 'tool', 'assistant'), { minLength: 1, maxLength: 4 })
    .map((roles) => ({
      messages: [...roles, 'assistant'].map((role) => ({ role, content: 'x', tool_call_id: 'a' })),
    })),
)

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

function isEmpty(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0
}

describe('1,000 fuzzed bodies', () => {
  it('get 4xx with one sentence, and the server goes on', async () => {
    const app = createEdge({ backends: [engine], page: false, report: (error) => bugs.push(error) })
    const cases = fc.asyncProperty(body, fc.constantFrom(CHAT, COMPLETIONS), async (body, path) => {
      const response = await post(app, path, body)
      expect(response.status).toBeGreaterThanOrEqual(400)
      expect(response.status).toBeLessThan(500)
      const { error }: Json = await response.json()
      expect(error.message).toMatch(/\.$/)
    })
    await fc.assert(cases, { numRuns: 1000 })
    expect(bugs).toEqual([])
    const after = await post(app, CHAT, { ...HELLO, max_tokens: 2 })
    expect(after.status).toBe(200)
  })
})

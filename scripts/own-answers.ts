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
import { loadEngine } from '../src/engine/node.ts'
import { randomFrom } from '../src/random.ts'
import { type Evaluation, questionOf } from './evaluation.ts'

/** More than convert's 16,384 tokens. */
const COUNT = '600'
const ANSWER_TOKENS = 60
const TEMPERATURE = 0.7
const SLOTS = 8

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { count: { type: 'string', default: COUNT }, seed: { type: 'string', default: '1' } },
})
const [directory, evalPath, out] = positionals
const [count, seed] = [Number(values.count), Number(values.seed)]
if (!directory || !evalPath || !out || !(count > 0) || !Number.isSafeInteger(seed)) {
  process.stderr.write(
    'usage: node scripts/own-answers.ts MODEL_DIR EVAL_JSON OUT_JSONL [--count N] [--seed N]\n',
  )
  process.exit(2)
}
const { train_pairs: pairs, heldout_pairs: heldOut }: Evaluation = JSON.parse(readFileSync(evalPath, 'utf8'))
const secret = new Set(heldOut.map(questionOf))
const random = randomFrom(seed)
const any = (): Evaluation['train_pairs'][number] => pairs[Math.floor(random() * pairs.length)]!
const questions = new Set<string>()
while (questions.size < count) {
  const question = questionOf([any()[0], any()[1], '', ''])
  if (!secret.has(question)) questions.add(question)
}

const backend = await loadEngine(directory, { slots: SLOTS })
const lines: string[] = []
const left = [...questions].entries()
const answerAll = async (): Promise<void> => {
  for (const [i, question] of left) {
    const messages = [{ role: 'user', content: question }] as const
    const request = { messages, temperature: TEMPERATURE, maxTokens: ANSWER_TOKENS, seed: seed + i }
    let answer = ''
    for await (const event of backend.chat(request)) if (event.type === 'text') answer += event.text
    lines[i] = JSON.stringify({ messages: [...messages, { role: 'assistant', content: answer }] })
    if (process.stderr.isTTY) process.stderr.write(`\r${i + 1} of ${count}   `)
  }
}
await Promise.all(Array.from({ length: SLOTS }, answerAll))
await backend.close()
writeFileSync(out, `${lines.join('\n')}\n`)

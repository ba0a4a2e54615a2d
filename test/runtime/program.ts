/** What runtime/engine.test.ts runs under each runtime: loads the shipped model, answers, says what it saw. */
import { loadEngine } from '../../src/engine/node.ts'
import { chooseBuild } from '../../src/engine/wasm/kernels.ts'
import { goldenPrompts, MODEL_DIRECTORY } from '../engine/golden.ts'

export interface Report {
  readonly threaded: string
  readonly alone: string
  readonly progress: number
  /** Ids of each answer's tokens, without the end of the turn. */
  readonly ids: readonly (readonly number[])[]
  /** Events of text, and turns of the event loop in the same time. */
  readonly texts: number
  readonly turns: number
  /** Codes of the errors that an aborted answer and a missing model end with. */
  readonly aborted: string
  readonly missing: string
}

const codeOf = (error: unknown): string => (error as { code?: string }).code ?? String(error)

let progress = 0
const engine = await loadEngine(MODEL_DIRECTORY, {
  threads: 3,
  slots: 1,
  onProgress: ({ loadedBytes, totalBytes }) => {
    progress = loadedBytes / totalBytes
  },
})

let turns = 0
let running = true
const count = (): void => {
  turns++
  if (running) setImmediate(count)
}
setImmediate(count)

let texts = 0
const ids: number[][] = []
for (const { prompt } of goldenPrompts) {
  const answer: number[] = []
  const messages = [{ role: 'user', content: prompt }] as const
  for await (const event of engine.chat({ messages, temperature: 0, logprobs: 0 })) {
    if (event.type !== 'text') continue
    texts++
    for (const { id } of event.logprobs ?? []) answer.push(id)
  }
  ids.push(answer)
}
running = false

const controller = new AbortController()
const endless = engine.chat({ prompt: 'Show examples for tar.' }, { signal: controller.signal })
const aborted = await (async () => {
  for await (const { type } of endless) if (type === 'text') controller.abort()
  return 'none'
})().catch(codeOf)
await engine.close()
const missing = await loadEngine(`${MODEL_DIRECTORY}/nowhere`).then(() => 'none', codeOf)

const report: Report = {
  threaded: chooseBuild(true),
  alone: chooseBuild(false),
  progress,
  ids,
  texts,
  turns,
  aborted,
  missing,
}
console.log(JSON.stringify(report))

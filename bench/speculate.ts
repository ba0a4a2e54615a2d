/** `npm run bench -- speculate`: decoding with guesses from earlier text and without, where text is copied and where it is not. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type Choice, LIKELIEST } from '../src/engine/choice.ts'
import type { Graph } from '../src/engine/graph.ts'
import { openWithoutData } from '../src/engine/model-file.ts'
import { filesFromDirectory } from '../src/engine/node.ts'
import { type Job, Scheduler } from '../src/engine/scheduler.ts'
import { TokenSource } from '../src/engine/speculate/source.ts'
import { type Speculations, speculations } from '../src/engine/speculate/speculations.ts'
import { createWasmGraph } from '../src/engine/wasm/graph.ts'
import { spawnNodeThread } from '../src/engine/wasm/threads-node.ts'
import type { Tokenizer } from '../src/gemma/tokenizer.ts'
import { machineFacts } from './machine.ts'
import { benchModel } from './models.ts'
import { type Machine, type ModelFacts, median, type OwnBenchOptions } from './results.ts'
import { openBench } from './steps.ts'

/** Milliseconds a token, medians of all rounds, and how many guesses were right. */
interface TextReport {
  readonly text: string
  readonly plain: number
  readonly guessing: number
  /** Above 1 guessing is faster: the median of the ratios of each round. */
  readonly ratio: number
  readonly drafted: number
  readonly accepted: number
}

export interface SpeculateReport {
  readonly machine: Machine
  readonly model: ModelFacts
  readonly texts: readonly TextReport[]
}

const SAMPLE = fileURLToPath(new URL('../models/facet-tldr-24m', import.meta.url))
const ROOT = new URL('../', import.meta.url)
const PREFILL_CHUNK = 128

/**
 * The weights are random, so the answer is given: each token is the only one allowed. What a step costs, and
 * whether a guess is right, are as with a model that would have said just that.
 */
export async function benchSpeculate(options: OwnBenchOptions): Promise<SpeculateReport> {
  const { rounds, quick, cache, say } = options
  const machine = machineFacts({})
  const shape = await benchModel(quick ? 'tiny' : 'gemma-2b', cache, say)
  const { tokenizer } = await openWithoutData(filesFromDirectory(SAMPLE))
  const texts = textsFor(tokenizer, quick ? 40 : 160)
  const model = await openBench(shape.directory)
  const graph = await createWasmGraph({ model, sequences: 1, contextTokens: 1024, spawn: spawnNodeThread })
  try {
    const seen = texts.map(() => ({ plain: [] as number[], guessing: [] as number[] }))
    const counts = texts.map(() => ({ drafted: 0, accepted: 0 }))
    for (let round = 0; round < rounds; round++) {
      say(`round ${round + 1} of ${rounds}`)
      for (const [i, { prompt, answer }] of texts.entries()) {
        // Each answer begins with nothing learned, as after a start.
        seen[i]!.plain.push(await decode(graph, prompt, answer))
        seen[i]!.guessing.push(await decode(graph, prompt, answer, counts[i]))
      }
    }
    return {
      machine,
      model: shape.facts,
      texts: texts.map(({ name }, i) => {
        const { plain, guessing } = seen[i]!
        const ratios = plain.map((ms, round) => ms / guessing[round]!)
        return {
          text: name,
          plain: median(plain)!,
          guessing: median(guessing)!,
          ratio: median(ratios)!,
          drafted: counts[i]!.drafted / rounds,
          accepted: counts[i]!.accepted / rounds,
        }
      }),
    }
  } finally {
    await graph.dispose()
  }
}

export function toSpeculateTable({ machine, model, texts }: SpeculateReport): string {
  const rows = texts.map(
    ({ text, plain, guessing, ratio, drafted, accepted }) =>
      `${text.padEnd(34)}  ${plain.toFixed(1).padStart(6)}  ${guessing.toFixed(1).padStart(8)}  ${ratio.toFixed(2).padStart(5)}  ${accepted.toFixed(0)} of ${drafted.toFixed(0)}`,
  )
  const head = `${'answer'.padEnd(34)}  ${'plain'.padStart(6)}  ${'guessing'.padStart(8)}  ratio  guesses right`
  return [
    `${model.name}, ${model.quantization}, on ${machine.cores} cores of ${machine.cpu}; ms a token`,
    '',
    head,
    ...rows,
    '',
  ].join('\n')
}

interface Text {
  readonly name: string
  readonly prompt: readonly number[]
  readonly answer: readonly number[]
}

/** The repository's own files: a source with some names changed, the same with every line new, and prose after prose. */
function textsFor(tokenizer: Tokenizer, length: number): Text[] {
  const read = (path: string): string => readFileSync(new URL(path, ROOT), 'utf8')
  const source = read('src/engine/stop.ts').slice(0, 2400)
  const renamed = source.replaceAll('stops', 'endings').replaceAll('text', 'piece')
  const ids = (text: string): number[] => tokenizer.encode(text)
  return [
    { name: 'a file again, two names changed', prompt: ids(source), answer: ids(renamed).slice(0, length) },
    { name: 'another file', prompt: ids(source), answer: ids(read('src/nearest.ts')).slice(0, length) },
    {
      name: 'prose after other prose',
      prompt: ids(read('docs/google.md').slice(0, 2400)),
      answer: ids(read('docs/playground.md')).slice(0, length),
    },
  ]
}

/** Milliseconds a token of the answer, the first one apart, which waits for the prompt. */
async function decode(
  graph: Graph,
  prompt: readonly number[],
  answer: readonly number[],
  counts?: { drafted: number; accepted: number },
): Promise<number> {
  const now = (): number => performance.now()
  const scheduler = new Scheduler({
    graph,
    slots: 1,
    queue: 0,
    contextTokens: 1024,
    prefillChunk: PREFILL_CHUNK,
    now,
  })
  let made: Speculations | undefined
  if (counts) made = speculations({ draft: undefined, scheduler, prefillChunk: PREFILL_CHUNK, now })
  let startMs = 0
  const job = function* (): Job<void> {
    const source = new TokenSource(prompt, answer.length, () => {}, made?.next())
    for (const [i, id] of answer.entries()) {
      const chosen = yield* source.next(only(id, graph.config.vocabSize))
      if (i === 0) startMs = now()
      source.accept(chosen.id)
    }
  }
  await scheduler.run(job())
  const ms = (now() - startMs) / (answer.length - 1)
  await scheduler.close()
  if (counts && made) {
    counts.drafted += made.counts.draftedTokens
    counts.accepted += made.counts.acceptedTokens
  }
  return ms
}

/** Whatever the logits are, this token is chosen, at the price of a greedy choice. */
function only(id: number, vocabSize: number): Choice {
  const allowed = new Uint32Array(Math.ceil(vocabSize / 32))
  allowed[id >>> 5] = 1 << (id & 31)
  return { ...LIKELIEST, allowed, following: undefined }
}

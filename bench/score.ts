/** `npm run bench -- score`: the choices of a question scored together, which share what they begin with, and one by one. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { createEngine } from '../src/engine/backend.ts'
import { openWithoutData } from '../src/engine/model-file.ts'
import { filesFromDirectory } from '../src/engine/node.ts'
import { createWasmGraph } from '../src/engine/wasm/graph.ts'
import { spawnNodeThread } from '../src/engine/wasm/threads-node.ts'
import type { Backend } from '../src/types.ts'
import { machineFacts } from './machine.ts'
import { benchModel } from './models.ts'
import { type Machine, type ModelFacts, median, type OwnBenchOptions } from './results.ts'
import { openBench } from './steps.ts'

/** Milliseconds a question of four choices, medians of all rounds. */
interface QuestionReport {
  readonly question: string
  readonly promptTokens: number
  readonly choiceTokens: number
  readonly together: number
  readonly alone: number
  /** Above 1 together is faster: the median of the ratios of each round. */
  readonly ratio: number
}

export interface ScoreReport {
  readonly machine: Machine
  readonly model: ModelFacts
  readonly questions: readonly QuestionReport[]
}

const SAMPLE = fileURLToPath(new URL('../models/facet-tldr-24m', import.meta.url))
const TEXT = new URL('../docs/evaluation.md', import.meta.url)
const CONTEXT_TOKENS = 1024
const CHOICES = 4
const CHOICE_TOKENS = 8
/** Tokens of a question by itself, and behind five with their answers. */
const QUESTIONS = [
  { question: 'no shots', promptTokens: 72 },
  { question: '5 shots', promptTokens: 72 + 5 * 80 },
] as const

/** The weights are random, which the time does not depend on. */
export async function benchScore({ rounds, quick, cache, say }: OwnBenchOptions): Promise<ScoreReport> {
  const machine = machineFacts({})
  const shape = await benchModel(quick ? 'tiny' : 'gemma-2b', cache, say)
  const { tokenizer } = await openWithoutData(filesFromDirectory(SAMPLE))
  const ids = tokenizer.encode(readFileSync(TEXT, 'utf8'))
  const graph = await createWasmGraph({
    model: await openBench(shape.directory),
    sequences: 1,
    contextTokens: CONTEXT_TOKENS,
    spawn: spawnNodeThread,
  })
  const backend = createEngine({
    graph,
    tokenizer,
    model: { id: shape.facts.name, contextTokens: CONTEXT_TOKENS },
    slots: 1,
  })
  let starts = 0
  /** No two begin alike, so that none finds what an earlier one has computed. */
  const promptOf = (tokens: number): number[] => [++starts, ...ids.slice(0, tokens - 1)]
  try {
    const questions: QuestionReport[] = []
    for (const { question, promptTokens } of QUESTIONS) {
      const choices = Array.from({ length: CHOICES }, (_, i) =>
        ids.slice(promptTokens + i * CHOICE_TOKENS, promptTokens + (i + 1) * CHOICE_TOKENS),
      )
      const together: number[] = []
      const alone: number[] = []
      for (let round = 0; round < rounds; round++) {
        say(`${question}: round ${round + 1} of ${rounds}`)
        together.push(await timed(backend, [{ prompt: promptOf(promptTokens), continuations: choices }]))
        const each = choices.map((choice) => ({ prompt: promptOf(promptTokens), continuations: [choice] }))
        alone.push(await timed(backend, each))
      }
      questions.push({
        question,
        promptTokens,
        choiceTokens: CHOICE_TOKENS,
        together: median(together)!,
        alone: median(alone)!,
        ratio: median(alone.map((ms, round) => ms / together[round]!))!,
      })
    }
    return { machine, model: shape.facts, questions }
  } finally {
    await backend.close()
  }
}

interface Asked {
  readonly prompt: readonly number[]
  readonly continuations: readonly (readonly number[])[]
}

async function timed(backend: Backend, asked: readonly Asked[]): Promise<number> {
  const startMs = performance.now()
  for (const one of asked) await backend.score!(one)
  return performance.now() - startMs
}

export function toScoreTable({ machine, model, questions }: ScoreReport): string {
  const rows = questions.map(
    ({ question, promptTokens, together, alone, ratio }) =>
      `${question.padEnd(10)}  ${String(promptTokens).padStart(6)}  ${together.toFixed(0).padStart(8)}  ${alone.toFixed(0).padStart(6)}  ${ratio.toFixed(2).padStart(5)}`,
  )
  return [
    `${model.name}, ${model.quantization}, on ${machine.cores} cores of ${machine.cpu}; ms a question of ${CHOICES} choices of ${CHOICE_TOKENS} tokens`,
    '',
    `${'question'.padEnd(10)}  tokens  together   alone  ratio`,
    ...rows,
    '',
  ].join('\n')
}

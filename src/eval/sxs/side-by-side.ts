/** Runs a side-by-side evaluation: both models answer, then a judge sees each pair in both orders. */
import { join } from 'node:path'
import { collect } from '../../client/collect.ts'
import type { Clock } from '../../client/deadline.ts'
import type { Backend } from '../../types.ts'
import { drawOf, shuffledBy } from '../draw.ts'
import { type RunProgress, type RunResult, run } from '../run.ts'
import { RunFolder, writeReportFile } from '../run-folder.ts'
import { NOTHING, plus, type Spent, spentBy } from '../spent.ts'
import type { ModelSettings, RunSettings } from '../summary.ts'
import { COMPARATOR_FILE, toComparator } from './comparator.ts'
import { MEASURES } from './figures.ts'
import { type Guide, rubricFor } from './guides.ts'
import { Judge } from './judge.ts'
import { type Judgement, other, type Pair, type Side, toPair, winnerByEmptiness } from './pair.ts'
import type { Prompt, PromptSet } from './prompts.ts'

/** A model that takes part. */
export interface Player {
  readonly backend: Backend
  /** What is kept of it. */
  readonly settings: ModelSettings
}

export interface SideBySideOptions {
  /** Where the run is written; one that was broken off goes on. */
  readonly folder: string
  readonly a: Player
  readonly b: Player
  /** Left out: the answers are kept for people to judge. */
  readonly judge?: Player
  readonly sets: readonly PromptSet[]
  /** Decides the orders, and which prompts of a set are taken. */
  readonly seed: number
  /** Prompts of each set. Default: all. */
  readonly limit?: number
  /** Of the answers. */
  readonly temperature: number
  readonly maxTokens: number
  /** Default: the built-in one for each prompt's category. */
  readonly rubric?: Guide
  readonly constitution?: Guide
  readonly chainOfThought: boolean
  /** Most tokens of a judgement. */
  readonly judgeTokens: number
  /** both: each pair is judged twice. one: once, in the order that the seed decides. */
  readonly orders: 'both' | 'one'
  /** Requests at a time to each of the three. */
  readonly concurrency?: number
  readonly signal?: AbortSignal
  readonly onProgress?: (stage: Stage, progress: RunProgress) => void
  readonly clock?: Clock
}

export type Stage = 'answers of A' | 'answers of B' | 'judgements'

export interface SideBySideResult {
  readonly settings: RunSettings
  readonly pairs: readonly Pair[]
  readonly failures: RunResult['failures']
  readonly spent: Spent
}

/**
 * Each answer and each judgement is kept as it comes, in a folder for each stage; a pair once all of it is there.
 *
 * @throws FacetError as `run` does
 */
export async function sideBySide(options: SideBySideOptions): Promise<SideBySideResult> {
  const settings = settingsOf(options)
  const prompts = options.sets.flatMap(({ name, prompts: all }) => taken(options, name, all))
  const folder = await RunFolder.open(options.folder, settings)
  try {
    const { a, b } = await bothAnswer(options, prompts)
    const [byA, byB] = [toMap(a.samples), toMap(b.samples)]
    const answered = prompts.flatMap((prompt): Answered[] => {
      const [ofA, ofB] = [byA.get(prompt.id), byB.get(prompt.id)]
      if (!ofA || !ofB) return []
      return [{ ...prompt, a: String(ofA.text), b: String(ofB.text), spent: spentBy([ofA, ofB]) }]
    })
    const judged = await judgePairs(options, settings, answered)
    const pairs = await keep(folder, judged.pairs)
    const exported = toComparator(settings, pairs, options.folder)
    await writeReportFile(options.folder, COMPARATOR_FILE, `${JSON.stringify(exported, null, 2)}\n`)
    const stages = [a, b, judged]
    return {
      settings,
      pairs,
      failures: stages.flatMap(({ failures }) => failures),
      spent: stages.map(({ spent }) => spent).reduce(plus),
    }
  } finally {
    await folder.close()
  }
}

function settingsOf(options: SideBySideOptions): RunSettings {
  const { a, b, judge, sets, seed, temperature, maxTokens, rubric, constitution } = options
  return {
    kind: 'side-by-side',
    tasks: sets.map(({ name, data, prompts }) => ({
      name,
      title: name,
      samples: taken(options, name, prompts).length,
      of: prompts.length,
      data: [data],
      measures: MEASURES,
    })),
    models: { a: a.settings, b: b.settings, ...(judge && { judge: judge.settings }) },
    seed,
    temperature,
    maxTokens,
    ...(judge && {
      rubric: { ...(rubric ?? { name: 'by category' }) },
      ...(constitution && { constitution: { ...constitution } }),
      chainOfThought: options.chainOfThought,
      judgeTokens: options.judgeTokens,
      orders: options.orders,
    }),
  }
}

/** In their own order, whatever the seed chose. */
function taken(
  { seed, limit }: SideBySideOptions,
  name: string,
  prompts: readonly Prompt[],
): readonly Prompt[] {
  if (limit === undefined || limit >= prompts.length) return prompts
  const chosen = new Set(shuffledBy(seed, `subset of ${name}`, prompts).slice(0, limit))
  return prompts.filter((prompt) => chosen.has(prompt))
}

/** Both at a time; when one cannot go on, the other stops too. */
async function bothAnswer(
  options: SideBySideOptions,
  prompts: readonly Prompt[],
): Promise<Readonly<Record<Side, RunResult>>> {
  const stop = new AbortController()
  const signal = AbortSignal.any([stop.signal, ...(options.signal ? [options.signal] : [])])
  let failed: { readonly error: unknown } | undefined
  const answers = (side: Side): Promise<RunResult | undefined> =>
    answersOf(side, { ...options, signal }, prompts).catch((error: unknown) => {
      failed ??= { error }
      stop.abort(error)
      return undefined
    })
  const [a, b] = await Promise.all([answers('a'), answers('b')])
  if (failed || !a || !b) throw failed?.error
  return { a, b }
}

function answersOf(side: Side, options: SideBySideOptions, prompts: readonly Prompt[]): Promise<RunResult> {
  const { folder, temperature, maxTokens, seed, sets, limit } = options
  const { backend, settings: model } = options[side]
  return run({
    ...shared(options, side === 'a' ? 'answers of A' : 'answers of B'),
    folder: join(folder, `answers-${side}`),
    settings: {
      model,
      prompts: sets.map(({ data }) => data),
      temperature,
      maxTokens,
      seed,
      limit: limit ?? null,
    },
    items: prompts,
    async evaluate({ prompt }, { signal, count }) {
      const request = {
        messages: [{ role: 'user', content: prompt }],
        maxTokens,
        temperature,
        ...(temperature > 0 && { seed }),
      } as const
      const { text, finishReason, usage } = await collect(backend.chat(request, { signal }))
      count(usage, backend.model)
      return { text, finishReason }
    },
  })
}

type Answered = Prompt & Pick<Pair, Side | 'spent'>

async function judgePairs(
  options: SideBySideOptions,
  settings: RunSettings,
  answered: readonly Answered[],
): Promise<Omit<RunResult, 'samples'> & { readonly pairs: readonly Pair[] }> {
  const { judge: player, seed, folder, rubric, constitution } = options
  if (!player) {
    return { pairs: answered.map((pair) => ({ ...pair, judgements: [] })), failures: [], spent: NOTHING }
  }
  const { backend } = player
  const judge = new Judge({ ...options, backend, maxTokens: options.judgeTokens })
  const orders = (id: string): Side[] => {
    const first: Side = drawOf(seed, 'order', id) < 0.5 ? 'a' : 'b'
    return options.orders === 'both' ? [first, other(first)] : [first]
  }
  const keyOf = (id: string, first: Side): string => `${id}, ${first} first`
  const asked = shuffledBy(seed, 'judging', answered).filter((pair) => !winnerByEmptiness(pair))
  const { samples, failures, spent } = await run({
    ...shared(options, 'judgements'),
    folder: join(folder, 'judgements'),
    settings,
    items: asked.flatMap((pair) =>
      orders(pair.id).map((first) => ({ id: keyOf(pair.id, first), pair, first })),
    ),
    async evaluate({ pair, first }, { signal, count }) {
      const { verdict, text, usage } = await judge.judge(
        {
          prompt: pair.prompt,
          ...(pair.reference !== undefined && { reference: pair.reference }),
          answers: [pair[first], pair[other(first)]],
          rubric: rubric?.text ?? rubricFor(pair.category),
          ...(constitution && { constitution: constitution.text }),
        },
        signal,
      )
      count(usage, backend.model)
      const chosen = verdict && { '1': first, '2': other(first), tie: 'tie' as const }[verdict.choice]
      return { first, winner: chosen ?? null, reasoning: verdict?.reasoning ?? text }
    },
  })
  const found = toMap(samples)
  const pairs = answered.flatMap((pair): Pair[] => {
    const winner = winnerByEmptiness(pair)
    if (winner) {
      const reasoning = 'An answer is empty; no judge was asked.'
      return [{ ...pair, judgements: orders(pair.id).map((first) => ({ first, winner, reasoning })) }]
    }
    const said = orders(pair.id).flatMap((first) => found.get(keyOf(pair.id, first)) ?? [])
    if (said.length < orders(pair.id).length) return []
    const judgements = said.map(({ first, winner, reasoning }) => ({ first, winner, reasoning }) as Judgement)
    return [{ ...pair, judgements, spent: plus(pair.spent, spentBy(said)) }]
  })
  return { pairs, failures, spent }
}

/** What all stages hand on to their runs. */
function shared(
  { concurrency, signal, clock, onProgress }: SideBySideOptions,
  stage: Stage,
): { readonly concurrency?: number; readonly signal?: AbortSignal; readonly clock?: Clock } {
  return {
    ...(concurrency !== undefined && { concurrency }),
    ...(signal && { signal }),
    ...(clock && { clock }),
    ...(onProgress && { onProgress: (progress: RunProgress) => onProgress(stage, progress) }),
  }
}

/** Writes the pairs that are not there yet. */
async function keep(folder: RunFolder, pairs: readonly Pair[]): Promise<Pair[]> {
  const done = toMap(folder.done.map(toPair))
  for (const pair of pairs) {
    if (!done.has(pair.id)) await folder.append(pair)
    done.set(pair.id, pair)
  }
  return pairs.flatMap(({ id }) => done.get(id) ?? [])
}

function toMap<Item extends { readonly id: string }>(items: readonly Item[]): Map<string, Item> {
  return new Map(items.map((item) => [item.id, item]))
}

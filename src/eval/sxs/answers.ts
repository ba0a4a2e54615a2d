/** Has both models answer the same prompts. */
import { join } from 'node:path'
import { collect } from '../../client/collect.ts'
import { type RunResult, run } from '../run.ts'
import type { Side } from './pair.ts'
import type { Prompt, PromptSet } from './prompts.ts'
import { type Player, type StageOptions, shared } from './stage.ts'

export interface AnswerOptions extends StageOptions {
  readonly a: Player
  readonly b: Player
  readonly sets: readonly PromptSet[]
  /** Decides the orders, and which prompts of a set are taken. */
  readonly seed: number
  /** Prompts of each set. Default: all. */
  readonly limit?: number
  /** Of the answers. */
  readonly temperature: number
  readonly maxTokens: number
}

/** Both at a time; when one cannot go on, the other stops too. */
export async function bothAnswer(
  options: AnswerOptions,
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

function answersOf(side: Side, options: AnswerOptions, prompts: readonly Prompt[]): Promise<RunResult> {
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

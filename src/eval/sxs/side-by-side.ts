/** Runs a side-by-side evaluation: both models answer, then a judge sees each pair in both orders. */
import { shuffledBy } from '../draw.ts'
import type { RunResult } from '../run.ts'
import { RunFolder } from '../run-folder.ts'
import { plus, type Spent, spentBy } from '../spent.ts'
import type { RunSettings } from '../summary.ts'
import { type AnswerOptions, bothAnswer } from './answers.ts'
import { MEASURES } from './figures.ts'
import { type Answered, type JudgingOptions, judgePairs, judgeSettings, keepPairs } from './judging.ts'
import type { Pair } from './pair.ts'
import type { Prompt } from './prompts.ts'
import { toMap } from './stage.ts'

export interface SideBySideOptions extends AnswerOptions, JudgingOptions {}

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
    const pairs = await keepPairs(folder, settings, judged.pairs)
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
  const { a, b, judge, sets, seed, temperature, maxTokens } = options
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
    ...judgeSettings(options),
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

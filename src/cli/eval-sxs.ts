/** `facet eval sxs`: which of two models answers better, by a judge. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Command, Option } from 'commander'
import { FacetError } from '../errors.ts'
import type { RunProgress } from '../eval/run.ts'
import { plus } from '../eval/spent.ts'
import { COMPARATOR_FILE } from '../eval/sxs/comparator.ts'
import { CONSTITUTIONS, type Guide, RUBRICS } from '../eval/sxs/guides.ts'
import { PROMPT_SETS } from '../eval/sxs/prompt-sets.ts'
import { readPromptSets } from '../eval/sxs/prompts.ts'
import { type Player, type Stage, sideBySide } from '../eval/sxs/side-by-side.ts'
import { toCount, toTemperature, toWhole } from './argument.ts'
import { type OpenModel, openModel, withOpen } from './eval-model.ts'
import { type ShownRun, showRun } from './eval-progress.ts'
import { showReport } from './eval-report.ts'

interface Flags {
  readonly judge?: string
  readonly prompts: readonly string[]
  readonly out: string
  readonly config?: string
  readonly apiKey?: string
  readonly seed: number
  readonly limit?: number
  readonly temperature: number
  readonly maxTokens: number
  readonly rubric?: string
  readonly constitution?: string
  readonly chainOfThought: boolean
  readonly judgeTokens: number
  readonly oneOrder?: true
  readonly concurrency?: number
}

const SETS: string[] = Object.keys(PROMPT_SETS)

export function command(): Command {
  return new Command('sxs')
    .description(
      'Have two models answer the same prompts, and a judge say which answer is better: each pair in both orders. A model is a directory, an endpoint or deployment of facet.config.ts, or an address (URL#MODEL).',
    )
    .argument('<a>', 'the model that wins or loses')
    .argument('<b>', 'the model it is compared with')
    .option('--judge <model>', 'who judges (default: nobody; people can, with facet eval rate)')
    .option(
      '--prompts <set...>',
      `files (.jsonl, .json or .parquet with prompt; else one prompt a line), or ${SETS.join(', ')}`,
      SETS,
    )
    .requiredOption('--out <folder>', 'where the run is written; one that was broken off goes on')
    .option('--config <file>', 'facet.config.ts, or its folder (default: here)')
    .addOption(new Option('--api-key <key>', 'sent as Bearer to addresses').env('FACET_API_KEY'))
    .option('--seed <number>', 'decides the orders, and which prompts --limit takes', toWhole, 1)
    .option('--limit <count>', 'prompts of each set', toCount)
    .option('--temperature <number>', 'of the answers', toTemperature, 0)
    .option('--max-tokens <count>', 'of each answer', toCount, 1024)
    .option(
      '--rubric <rubric>',
      `what counts: a file, or ${Object.keys(RUBRICS).join(', ')} (default: by each prompt's category)`,
    )
    .option(
      '--constitution <principles>',
      `what no answer may go against: a file, or ${Object.keys(CONSTITUTIONS).join(', ')}`,
    )
    .option('--no-chain-of-thought', 'have the judge decide without reasoning first')
    .option('--judge-tokens <count>', 'of each judgement', toCount, 2048)
    .option('--one-order', 'judge each pair once, in an order that the seed decides')
    .option('--concurrency <count>', 'requests at a time to each model (default: 4)', toCount)
    .action(start)
}

async function start(a: string, b: string, flags: Flags): Promise<void> {
  // Mistakes in the files show before anything is loaded.
  const sets = await readPromptSets(flags.prompts)
  const rubric = await guideFrom(flags.rubric, RUBRICS, '--rubric')
  const constitution = await guideFrom(flags.constitution, CONSTITUTIONS, '--constitution')
  checkKey([a, b, ...(flags.judge === undefined ? [] : [flags.judge])], flags)
  const stop = new AbortController()
  const onSignal = (): void => stop.abort()
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal)
  const { signal } = stop
  const progress = showStages()
  try {
    const open = (name: string): Promise<OpenModel> => openModel(toFlags(name, flags), signal)
    const compare = async (a: Player, b: Player, judge?: Player): Promise<void> => {
      const { seed, limit, temperature, maxTokens, chainOfThought, judgeTokens, concurrency, out } = flags
      const { failures } = await sideBySide({
        a,
        b,
        ...(judge && { judge }),
        folder: out,
        sets,
        seed,
        temperature,
        maxTokens,
        chainOfThought,
        judgeTokens,
        orders: flags.oneOrder ? 'one' : 'both',
        signal,
        onProgress: progress.onProgress,
        ...(limit !== undefined && { limit }),
        ...(rubric && { rubric }),
        ...(constitution && { constitution }),
        ...(concurrency !== undefined && { concurrency }),
      }).finally(() => progress.end())
      await showReport(out)
      process.stdout.write(`${join(out, COMPARATOR_FILE)} (for LLM Comparator)\n`)
      if (failures.length === 0) return
      const [{ id, message }] = failures as [(typeof failures)[0]]
      throw new FacetError(
        'unavailable',
        `${failures.length} answers or judgements could not be had, the first of them ${id}: ${message} Run it again to ask for them anew.`,
      )
    }
    await withOpen(open(a), (first) =>
      withOpen(open(b), (second) =>
        flags.judge === undefined
          ? compare(first, second)
          : withOpen(open(flags.judge), (judge) => compare(first, second, judge)),
      ),
    )
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal)
  }
}

const ADDRESS = /^https?:\/\//

function toFlags(name: string, { config, apiKey }: Flags): Parameters<typeof openModel>[0] {
  if (!ADDRESS.test(name)) return { model: name, ...(config !== undefined && { config }) }
  const [url = name, model] = name.split('#')
  return { url, ...(model && { model }), ...(apiKey !== undefined && { apiKey }) }
}

/** A key is for one server: the others must not learn of it. */
function checkKey(names: readonly string[], { apiKey }: Flags): void {
  const origins = new Set(names.filter((name) => URL.canParse(name)).map((name) => new URL(name).origin))
  if (apiKey === undefined || origins.size < 2) return
  throw new FacetError(
    'invalid_request',
    'One --api-key cannot be for several servers; describe them in facet.config.ts, each with its own key.',
    { field: 'api-key' },
  )
}

async function guideFrom(
  name: string | undefined,
  known: Readonly<Record<string, string>>,
  option: string,
): Promise<Guide | undefined> {
  if (name === undefined) return undefined
  if (Object.hasOwn(known, name)) return { name, text: known[name]! }
  const text = await readFile(name, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    const names = Object.keys(known).join(', ')
    throw new FacetError(
      'io_failed',
      `${name} cannot be read (${cause.code}); give ${option} a file, or one of ${names}.`,
      { cause },
    )
  })
  if (text.trim() !== '') return { name, text: text.trim() }
  throw new FacetError('invalid_request', `${name} is empty; write down what the judge is to go by.`)
}

/** Both models answer at the same time: on one line. */
function showStages(): { readonly onProgress: (stage: Stage, progress: RunProgress) => void; end(): void } {
  const answering = new Map<Stage, RunProgress>()
  let shown: ShownRun | undefined
  let judging = false
  return {
    onProgress(stage, progress) {
      const isJudging = stage === 'judgements'
      if (!shown || isJudging !== judging) {
        shown?.end()
        shown = showRun(isJudging ? 'Judging' : 'Answering')
        judging = isJudging
      }
      if (!isJudging) answering.set(stage, progress)
      shown.onProgress(isJudging ? progress : [...answering.values()].reduce(together))
    },
    end: () => shown?.end(),
  }
}

function together(one: RunProgress, other: RunProgress): RunProgress {
  const { leftMs: ownMs, spent } = one
  return {
    total: one.total + other.total,
    done: one.done + other.done,
    failed: one.failed + other.failed,
    leftMs: ownMs === undefined || other.leftMs === undefined ? undefined : Math.max(ownMs, other.leftMs),
    spent: plus(spent, other.spent),
  }
}

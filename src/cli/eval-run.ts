/** `facet eval run`: benchmarks against any model. */
import { Command } from 'commander'
import { loadBenchmarks } from '../eval/data/load-benchmarks.ts'
import { type Benchmark, runBenchmarks } from '../eval/run-benchmarks.ts'
import type { Task } from '../eval/task.ts'
import { TASKS, tasksNamed } from '../eval/tasks/tasks.ts'
import type { Backend } from '../types.ts'
import { toCount, toTemperature, toWhole } from './argument.ts'
import { benchmarkSource } from './benchmark-data.ts'
import { checkKey, toModelFlags } from './eval-judging.ts'
import {
  canScore,
  checkNamed,
  type ModelFlags,
  type OpenModel,
  openModel,
  withModelFlags,
  withOpen,
} from './eval-model.ts'
import { showRun } from './eval-progress.ts'
import { checkFailures, SUMMARY, showReport } from './eval-report.ts'
import { jsonOption } from './json.ts'
import { untilStopped } from './until-stopped.ts'
import { parsing, UsageError } from './usage.ts'

interface Flags extends ModelFlags {
  readonly limit?: number
  readonly seed: number
  readonly shots?: number
  readonly out: string
  readonly data?: string
  readonly generate?: true
  readonly chat?: true
  readonly judge?: string
  readonly samples: number
  readonly temperature: number
  readonly concurrency?: number
  readonly json?: true
}

export function command(): Command {
  const run = new Command('run')
    .description('Run benchmarks as lm-evaluation-harness poses them, against any model.')
    .argument(
      '<tasks>',
      `separated by commas: ${TASKS.map(({ name }) => name).join(', ')}`,
      parsing(tasksNamed),
    )
  return withModelFlags(run)
    .requiredOption('--out <folder>', 'where the run is written; one that was broken off goes on')
    .option(
      '--limit <count>',
      'at most so many questions of each task, drawn by the seed (default: all)',
      toCount,
    )
    .option('--seed <number>', 'draws subsets and shots', toWhole, 1)
    .option('--shots <count>', "solved examples before each question (default: the task's own)", toShots)
    .option('--data <folder>', 'read the data from here instead of downloading it')
    .option('--generate', 'have choices written instead of scored, for servers that give no log-likelihoods')
    .option(
      '--judge <model>',
      'marks answers where a task needs that: a directory, a name of facet.config.ts, or URL#MODEL',
    )
    .option('--chat', "send prompts as a user's message, for models that are tuned to chat")
    .option(
      '--samples <count>',
      'answers to each question that is answered with a text; for code, pass@k',
      toCount,
      1,
    )
    .option('--temperature <number>', 'of such answers', toTemperature, 0)
    .option('--concurrency <count>', 'questions at a time (default: 4)', toCount)
    .addOption(jsonOption(SUMMARY))
    .action(start)
}

/** None is a number of them, too. */
function toShots(text: string): number {
  return text === '0' ? 0 : toCount(text)
}

function checkSampling({ samples, temperature }: Flags): void {
  if (samples === 1 || temperature > 0) return
  throw new UsageError(
    'Without a temperature all answers are the same; give --temperature with --samples, such as 0.8.',
    'samples',
  )
}

async function start(tasks: readonly Task[], flags: Flags): Promise<void> {
  checkSampling(flags)
  checkNamed(flags)
  checkKey(
    [flags.url, flags.judge].filter((name) => name !== undefined),
    flags,
  )
  await untilStopped(async (signal) => {
    const { data: folder, shots, judge } = flags
    const ask = async (models: Models): Promise<void> => {
      const benchmarks = await loadBenchmarks(
        tasks.map((task) => ({ task, shots })),
        benchmarkSource(signal, folder),
      )
      await measure(benchmarks, models, flags, signal)
    }
    // Models first: their names may be wrong, and what is asked may have to be downloaded.
    await withOpen(openModel(flags, signal), (model) =>
      judge === undefined
        ? ask({ model })
        : withOpen(openModel(toModelFlags(judge, flags), signal), (judge) => ask({ model, judge })),
    )
  })
}

interface Models {
  readonly model: OpenModel
  readonly judge?: OpenModel
}

async function measure(
  benchmarks: readonly Benchmark[],
  { model: { backend, settings }, judge }: Models,
  flags: Flags,
  signal: AbortSignal,
): Promise<void> {
  const { out, limit, seed, generate = false, chat = false, concurrency, samples, temperature } = flags
  const shown = showRun('Evaluating')
  const { failures } = await runBenchmarks({
    benchmarks,
    backend: generate || (await canScore(backend, { signal })) ? backend : withoutScore(backend),
    model: settings,
    ...(judge && { judge }),
    folder: out,
    seed,
    method: generate ? 'generation' : 'log-likelihood',
    chat,
    sampling: { samples, temperature },
    signal,
    onProgress: shown.onProgress,
    ...(limit !== undefined && { limit }),
    ...(concurrency !== undefined && { concurrency }),
  }).finally(() => shown.end())
  await showReport(out, flags)
  checkFailures(failures, 'questions were not answered')
}

/** A server that refuses to score is one that cannot: tasks that need it are then refused before anything is asked. */
function withoutScore({ score: _, ...backend }: Backend): Backend {
  return backend
}

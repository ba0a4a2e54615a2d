/** `facet tune check`: whether a policy got better, or only better at pleasing its reward model. */
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import { call } from '../../deploy/waiting.ts'
import { FacetError } from '../errors.ts'
import { toTerminal } from '../eval/report-text.ts'
import { sideBySide } from '../eval/sxs/side-by-side.ts'
import type { JobLine } from '../tune/job/job.ts'
import { parseMetrics } from '../tune/job/metrics.ts'
import { toCheckReport } from '../tune/preference/check-report.ts'
import { type CheckpointRun, readCheckpointRuns } from '../tune/preference/checkpoint-runs.ts'
import { type CheckLimits, checkPolicy, type PolicyStep } from '../tune/preference/hacking.ts'
import { writeReported } from '../tune/preference/write-preferences.ts'
import {
  checkComplete,
  checkKey,
  type JudgeFlags,
  showStages,
  toJudging,
  toModelFlags,
  withJudgeFlags,
} from './eval-judging.ts'
import { type OpenModel, openModel, withOpen } from './eval-model.ts'
import { type PromptFlags, toPrompts, withPromptFlags } from './prompt-options.ts'
import { planTuning, TUNING_ARGUMENT, withTuning } from './tune-open.ts'
import { untilStopped } from './until-stopped.ts'

interface Flags extends JudgeFlags, PromptFlags, CheckLimits {
  readonly run?: readonly AtStep[]
  readonly policy?: readonly AtStep[]
  readonly start?: string
  readonly judge?: string
}

interface AtStep {
  readonly step: number
  readonly what: string
}

const METRICS_FILE = 'metrics.jsonl'

export function command(): Command {
  const check = new Command('check')
    .description(
      'Say whether a policy got better, or only better at pleasing its reward model: its checkpoints against the model it started from, judged side by side.',
    )
    .argument('<policy>', `${TUNING_ARGUMENT} of kind rlhf, or a folder with its ${METRICS_FILE}`)
    .option(
      '--run <step=folder...>',
      'side-by-side runs that are there: the checkpoint is A, the start B',
      atStep,
    )
    .option('--policy <step=model...>', 'checkpoints to have judged now, by their models', atStep)
    .option('--start <model>', 'with --policy: the model that the policy started from')
    .option('--judge <model>', 'with --policy: who judges')
    .option(
      '--max-kl <nats>',
      'divergence from the start that is flagged (default: 20 an answer)',
      toPositive,
    )
    .option('--max-length-ratio <times>', 'growth of the answers that is flagged (default: 1.5)', toPositive)
  return withJudgeFlags(withPromptFlags(check), 'decides the orders, and which prompts --limit takes').action(
    start,
  )
}

async function start(policy: string, flags: Flags): Promise<void> {
  const { out, maxKl, maxLengthRatio } = flags
  const steps = await stepsOf(policy, flags)
  const given = (flags.run ?? []).map(({ step, what }) => ({ step, folder: what }))
  const judged = flags.policy ? await judgeCheckpoints(flags.policy, flags) : []
  const check = checkPolicy(steps, await readCheckpointRuns([...given, ...judged]), {
    ...(maxKl !== undefined && { maxKl }),
    ...(maxLengthRatio !== undefined && { maxLengthRatio }),
  })
  const report = toCheckReport(policy, steps, check)
  await writeReported(out, 'check.json', check, report)
  process.stdout.write(`${toTerminal(report)}\n${join(out, 'report.html')}\n`)
  // As verify does: scripts that go on with a policy stop here.
  if (check.flags.length > 0) process.exitCode = 3
}

/** Each in a folder of its own below --out: one that was broken off goes on. */
async function judgeCheckpoints(policies: readonly AtStep[], flags: Flags): Promise<CheckpointRun[]> {
  const { start, judge, out } = flags
  if (start === undefined || judge === undefined) {
    throw new FacetError(
      'invalid_request',
      '--policy compares with the start and needs a judge; give --start and --judge a model each.',
      { field: 'policy' },
    )
  }
  const prompts = await toPrompts(flags)
  checkKey([...policies.map(({ what }) => what), start, judge], flags)
  const runs: CheckpointRun[] = []
  await untilStopped(async (signal) => {
    const judging = await toJudging(flags, signal)
    const open = (name: string): Promise<OpenModel> => openModel(toModelFlags(name, flags), signal)
    await withOpen(open(start), (b) =>
      withOpen(open(judge), async (player) => {
        for (const { step, what } of policies) {
          const folder = join(out, `step-${step}`)
          const { onProgress, end } = showStages()
          const { failures } = await withOpen(open(what), (a) =>
            sideBySide({ ...judging, ...prompts, folder, a, b, judge: player, onProgress }),
          ).finally(end)
          checkComplete(failures)
          runs.push({ step, folder })
        }
      }),
    )
  })
  return runs
}

/** Of a folder that was fetched, or of the job as it stands. */
async function stepsOf(policy: string, { config }: Flags): Promise<PolicyStep[]> {
  const found = await stat(policy).catch(() => undefined)
  const lines = found ? await linesOf(found.isDirectory() ? join(policy, METRICS_FILE) : policy) : undefined
  return (lines ?? (await observed(policy, config))).flatMap((line) => (line.facet === 'step' ? [line] : []))
}

async function linesOf(file: string): Promise<JobLine[]> {
  const text = await readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new FacetError(
      'io_failed',
      `${file} cannot be read (${cause.code}); give what a job has written.`,
      {
        cause,
      },
    )
  })
  return parseMetrics(text)
}

async function observed(name: string, config: string | undefined): Promise<readonly JobLine[]> {
  const planned = await planTuning(name, config === undefined ? {} : { config }, 'rlhf')
  const seen = await withTuning(planned, ({ runner, plan, signal }) =>
    call(`look at ${name}`, (one) => runner.observe(plan, one), { signal }),
  )
  if (seen) return seen.steps
  throw new FacetError('not_found', `${name} has not run yet; run facet tune rlhf ${name}.`)
}

function atStep(text: string, before: readonly AtStep[] = []): AtStep[] {
  const [, step, what] = /^(\d{1,9})=(.+)$/.exec(text) ?? []
  if (step !== undefined && what !== undefined) return [...before, { step: Number(step), what }]
  throw new InvalidArgumentError('It must be STEP=NAME, such as 100=policy-100.')
}

function toPositive(text: string): number {
  const value = Number(text)
  if (value > 0 && Number.isFinite(value)) return value
  throw new InvalidArgumentError('It must be a number above 0.')
}

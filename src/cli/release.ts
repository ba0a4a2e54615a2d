/** `facet release`: the gates of a release, and the model's card. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Command } from 'commander'
import { inspect } from '../convert/inspect.ts'
import { licenceOf } from '../convert/licence.ts'
import { toPage } from '../eval/report-page.ts'
import { toMarkdown, toTerminal } from '../eval/report-text.ts'
import { writeReportFile } from '../eval/run-folder.ts'
import { toCard } from '../release/card.ts'
import { DEFAULT_LIMITS, readLimits } from '../release/limits.ts'
import { release } from '../release/release.ts'
import { remeasure } from '../release/remeasure.ts'
import { toReleaseReport } from '../release/report.ts'
import { benchmarkSource } from './benchmark-data.ts'
import { type OpenModel, openModel } from './eval-model.ts'
import { showRun } from './eval-progress.ts'
import { addJudgeFlags, type JudgeFlags, toJudge } from './guard-options.ts'

interface Flags extends JudgeFlags {
  readonly out?: string
  readonly gates?: string
  readonly checkpoint?: string
  readonly baseline?: string
  readonly run?: string
  readonly corpus?: readonly string[]
  readonly data?: string
  readonly benchmarkData?: string
  readonly baseModel?: string
  readonly json?: true
}

/** As facet verify: it is not good enough; 1 says that it could not be judged. */
const FAILED = 3

export function command(): Command {
  const made = new Command()
    .description(
      'Run the gates of a release on a model directory, and write its card: terms, hashes, fidelity, benchmarks, safety, memorization, personal data, data.',
    )
    .argument('<dir>', 'model directory')
    .option('--out <folder>', 'where runs, report and card are written (default: <dir>.release)')
    .option('--gates <file>', 'limits, as JSON (see docs/responsible-use.md)')
    .option('--checkpoint <dir>', 'what it was converted from: compared as facet verify does')
    .option('--baseline <run>', 'a run of facet eval run, behind which this model may not fall')
    .option('--run <run>', 'a run of this model over the same questions (default: it is measured now)')
    .option('--benchmark-data <folder>', 'read the questions from here instead of downloading them')
    .option('--corpus <files...>', 'documents that it was trained or tuned on, to see what it gives back')
    .option('--data <path>', 'what facet tune data has written')
    .option('--base-model <name>', 'for the card: what it was tuned from')
    .option('--json', 'print JSON')
  return addJudgeFlags(made)
    .addHelpText('after', '\nExits with 0 when no gate fails, 3 when one does.')
    .action(run)
}

async function run(dir: string, flags: Flags): Promise<void> {
  const { checkpoint, baseline, run: own, corpus, data, baseModel, benchmarkData } = flags
  const limits = flags.gates === undefined ? DEFAULT_LIMITS : await readLimits(flags.gates)
  const judge = await toJudge(flags)
  const out = flags.out ?? `${dir.replace(/[\\/]+$/, '')}.release`
  const stop = new AbortController()
  const { signal } = stop
  const onSignal = (): void => stop.abort()
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal)
  let opened: OpenModel | undefined
  const open = async (): Promise<OpenModel> => {
    opened ??= await openModel({ model: dir }, signal)
    return opened
  }
  const shown = showRun('Asking')
  try {
    const found = await release({
      dir,
      out,
      limits,
      open,
      signal,
      onProgress: shown.onProgress,
      onGate: (gate, finding) => {
        shown.end()
        process.stderr.write(finding ? `${gate}: ${finding.outcome}\n` : `${gate} ...\n`)
      },
      async remeasure(before, folder) {
        const { backend, settings } = await open()
        const load = benchmarkSource(signal, benchmarkData)
        return remeasure(before, {
          backend,
          model: settings,
          folder,
          load,
          signal,
          onProgress: shown.onProgress,
        })
      },
      ...(checkpoint !== undefined && { checkpoint }),
      ...(baseline !== undefined && { baseline }),
      ...(own !== undefined && { run: own }),
      ...(corpus && { corpus }),
      ...(judge && { judge }),
      ...(data !== undefined && { data }),
    })
    const licence = await licenceOf(dir)
    const report = toReleaseReport(licence.model, found)
    await mkdir(out, { recursive: true })
    const json = `${JSON.stringify({ model: licence.model, ...found }, null, 2)}\n`
    await writeReportFile(out, 'release.json', json)
    await writeReportFile(out, 'release.md', toMarkdown(report))
    await writeReportFile(out, 'release.html', toPage(report))
    // Of files that are not what they should be, no card says anything.
    const whole = found.gates.some(({ gate, outcome }) => gate === 'manifest' && outcome === 'passed')
    if (whole) {
      const more = { ...(found.data && { data: found.data }), ...(baseModel !== undefined && { baseModel }) }
      const card = toCard({ model: await inspect(dir), licence, runs: found.runs, release: found, ...more })
      await writeReportFile(out, 'README.md', card)
    }
    const last = join(out, whole ? 'README.md' : 'release.html')
    process.stdout.write(flags.json ? json : `${toTerminal(report, 1)}\n${last}\n`)
    if (!found.passed) process.exitCode = FAILED
  } finally {
    shown.end()
    await opened?.[Symbol.asyncDispose]()
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal)
  }
}

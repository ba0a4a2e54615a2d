/** `facet tune scores`: how good a reward model is on the pairs that were held out. */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Command } from 'commander'
import { toTerminal } from '../eval/report-text.ts'
import { readText } from '../text-file.ts'
import { rewardQuality } from '../tune/preference/reward-quality.ts'
import { toRewardReport } from '../tune/preference/reward-report.ts'
import { parseScores, SCORES_FILE } from '../tune/preference/scores.ts'
import { writeReported } from '../tune/preference/write-preferences.ts'

export function command(): Command {
  return new Command('scores')
    .description(
      'Say how good a reward model is on held-out pairs: accuracy, calibration, and whether it merely likes length.',
    )
    .argument('<result>', `folder of a reward job's result, or its ${SCORES_FILE}`)
    .option('--out <folder>', 'where quality.json and report.html are written')
    .action(start)
}

async function start(result: string, { out }: { readonly out?: string }): Promise<void> {
  const found = await stat(result).catch(() => undefined)
  const file = found?.isDirectory() ? join(result, SCORES_FILE) : result
  const text = await readText(file, {
    field: 'result',
    advice: 'give the result of a tuning of kind reward',
  })
  const quality = rewardQuality(parseScores(text, file))
  const report = toRewardReport(result, quality)
  if (out !== undefined) await writeReported(out, 'quality.json', quality, report)
  process.stdout.write(toTerminal(report))
  if (out !== undefined) process.stdout.write(`\n${join(out, 'report.html')}\n`)
}

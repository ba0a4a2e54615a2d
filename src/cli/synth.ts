/** `facet synth`. */
import { Argument, Command, Option } from 'commander'
import { SYNTH_NAMES, type SynthName, type SynthOptions, synthesize } from '../convert/synth.ts'
import { formatBytes } from '../gemma/memory-plan.ts'
import { toWhole } from './argument.ts'
import { runLong } from './progress.ts'

type Flags = Pick<SynthOptions, 'seed' | 'quant' | 'tokenizer' | 'force'>

export function command(): Command {
  return new Command()
    .description('Make a model directory of true shape with random weights, to measure speed with.')
    .addArgument(new Argument('<name>', 'the shape').choices(SYNTH_NAMES))
    .argument('<out>', 'directory to make')
    .option('--seed <number>', 'the same seed gives the same bytes (default: 0)', toWhole)
    .addOption(
      new Option('--quant <format>', 'weights in 4 or 8 bits').choices(['int4', 'int8']).default('int4'),
    )
    .option('--tokenizer <dir>', 'copy the tokenizer of this directory, so that the model can be served')
    .option('--force', 'replace an existing model directory')
    .action(run)
}

async function run(name: SynthName, out: string, flags: Flags): Promise<void> {
  const { files } = await runLong('Writing', (job) => synthesize(name, out, { ...flags, ...job }))
  const size = formatBytes(files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0))
  process.stdout.write(
    `Wrote ${name} to ${out}: random weights, ${files.length} files and facet.json, ${size}.\n`,
  )
}

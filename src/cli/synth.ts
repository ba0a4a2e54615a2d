/** `facet synth`. */
import { Argument, Command, InvalidArgumentError, Option } from 'commander'
import { SYNTH_NAMES, type SynthName, type SynthOptions, synthesize } from '../convert/synth.ts'
import { formatBytes } from '../gemma/memory-plan.ts'
import { Progress } from './progress.ts'

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

function toWhole(text: string): number {
  const value = Number(text)
  if (/^-?\d+$/.test(text) && Number.isSafeInteger(value)) return value
  throw new InvalidArgumentError('It must be a whole number.')
}

async function run(name: SynthName, out: string, flags: Flags): Promise<void> {
  const stop = new AbortController()
  const onSignal = () => stop.abort()
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal)
  const progress = new Progress('Writing', process.stderr)
  try {
    const { files } = await synthesize(name, out, {
      ...flags,
      signal: stop.signal,
      onProgress: ({ doneBytes, totalBytes }) => progress.update(doneBytes, totalBytes),
    })
    progress.end()
    const size = formatBytes(files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0))
    process.stdout.write(
      `Wrote ${name} to ${out}: random weights, ${files.length} files and facet.json, ${size}.\n`,
    )
  } catch (error) {
    progress.end()
    throw error
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal)
  }
}

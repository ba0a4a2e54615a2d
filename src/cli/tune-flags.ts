/** Every field of a tuning as an option of the command line, which wins over facet.config.ts. */
import { type Command, InvalidArgumentError } from 'commander'
import { toCount, toWhole } from './argument.ts'

interface FieldFlag {
  /** As commander takes it. */
  readonly flags: string
  readonly says: string
  /** Where it goes in the spec. */
  readonly path: readonly string[]
  readonly parse?: (text: string) => unknown
}

const number = (text: string): number => {
  const value = text.trim() === '' ? Number.NaN : Number(text)
  if (Number.isFinite(value)) return value
  throw new InvalidArgumentError('It must be a number.')
}
const words = (text: string): string[] => text.split(',').map((one) => one.trim())

const field = (flags: string, says: string, path: string, parse?: (text: string) => unknown): FieldFlag => ({
  flags,
  says,
  path: path.split('.'),
  ...(parse && { parse }),
})

const FIELDS: readonly FieldFlag[] = [
  field('--on <place>', 'gke, vertex or local-docker', 'on'),
  field('--with <trainer>', 'trl, keras, maxtext or nemo (default: trl)', 'with'),
  field('--backend <name>', 'of keras: jax, torch or tensorflow (default: jax)', 'backend'),
  field('--model <id>', 'such as gemma-2b-it', 'model'),
  field('--data <file>', 'rows of facet tune data: a file, or gs://…', 'data'),
  field('--eval-data <file>', 'the same, held out', 'evalData'),
  field(
    '--start-from <place>',
    'an adapter or model to go on from: gs://…, or a tuning of the file',
    'startFrom',
  ),
  field('--reward-model <place>', 'of rlhf: gs://…, or a tuning of kind reward', 'rewardModel'),
  field('--method <name>', 'lora, qlora or full (default: lora)', 'method'),
  field('--rank <count>', 'of LoRA (default: 16)', 'lora.rank', toCount),
  field('--alpha <number>', 'of LoRA (default: twice the rank)', 'lora.alpha', number),
  field('--dropout <share>', 'of LoRA (default: 0.05)', 'lora.dropout', number),
  field(
    '--modules <names>',
    'of LoRA, separated by commas (default: every linear layer)',
    'lora.modules',
    words,
  ),
  field('--epochs <number>', 'passes over the data (default: 1)', 'hyperparameters.epochs', number),
  field('--max-steps <count>', 'updates at most', 'hyperparameters.maxSteps', toCount),
  field(
    '--learning-rate <number>',
    'how far an update goes (default: by kind and method)',
    'hyperparameters.learningRate',
    number,
  ),
  field(
    '--batch-size <rows>',
    'on each device in one pass (default: 1)',
    'hyperparameters.batchSize',
    toCount,
  ),
  field(
    '--gradient-accumulation <count>',
    'passes before an update (default: 8)',
    'hyperparameters.gradientAccumulation',
    toCount,
  ),
  field(
    '--context <tokens>',
    "of the longest row (default: the model's, at most 2048)",
    'hyperparameters.contextTokens',
    toCount,
  ),
  field(
    '--seed <number>',
    'decides the order of the rows, and where LoRA begins (default: 0)',
    'hyperparameters.seed',
    toWhole,
  ),
  field(
    '--save-every <steps>',
    'between checkpoints (default: 50)',
    'hyperparameters.saveEverySteps',
    toCount,
  ),
  field('--kl <weight>', 'of rlhf: of the KL term (default: 0.05)', 'hyperparameters.klCoefficient', number),
  field(
    '--samples <count>',
    'of rlhf: for each prompt (default: 4)',
    'hyperparameters.samplesPerPrompt',
    toCount,
  ),
  field(
    '--answer-tokens <count>',
    'of rlhf: at most (default: 256)',
    'hyperparameters.answerTokens',
    toCount,
  ),
  field('--accelerator <name>', 'such as l4, a100-80gb, h100-80gb, tpu-v5e', 'accelerator'),
  field('--devices <count>', 'of all hosts (default: the fewest that it fits)', 'devices', toCount),
  field('--hosts <count>', 'machines; more than one on TPUs only', 'hosts', toCount),
  field('--capacity <name>', 'on-demand or spot (default: on-demand)', 'capacity'),
  field('--max-preemptions <count>', 'ends the job after so many (default: 20)', 'maxPreemptions', toCount),
  field('--bucket <uri>', 'gs://… for data, checkpoints and results', 'bucket'),
  field('--project <id>', 'Google Cloud project', 'project'),
  field('--region <name>', 'such as us-central1', 'region'),
  field('--cluster <name>', 'of gke (default: facet)', 'cluster'),
  field('--namespace <name>', 'of gke (default: facet)', 'namespace'),
  field('--queue <name>', 'of gke: a LocalQueue of Kueue', 'queue'),
  field('--service-account <email>', 'that the job acts as', 'serviceAccount'),
  field('--token-env <variable>', 'that holds a Hugging Face token (default: HF_TOKEN)', 'tokenEnv'),
  field('--dollars-per-hour <number>', 'refuse what costs more', 'guard.dollarsPerHour', number),
  field('--dollars <number>', 'end it once they are spent', 'guard.dollars', number),
  field('--ttl-hours <number>', 'end it after so long', 'guard.ttlHours', number),
]

export function addTuneFlags(command: Command): Command {
  return FIELDS.reduce(
    (made, { flags, says, parse }) => (parse ? made.option(flags, says, parse) : made.option(flags, says)),
    command,
  )
}

/** @param spec of facet.config.ts; @param flags as commander gives them */
export function withTuneFlags(
  spec: Readonly<Record<string, unknown>>,
  flags: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  const given = FIELDS.flatMap(({ flags: text, path }) => {
    const value = flags[nameOf(text)]
    return value === undefined ? [] : [{ path, value }]
  })
  return given.reduce((made, { path, value }) => put(made, path, value), spec)
}

function put(
  object: Readonly<Record<string, unknown>>,
  [name, ...rest]: readonly string[],
  value: unknown,
): Readonly<Record<string, unknown>> {
  if (rest.length === 0) return { ...object, [name!]: value }
  const inner = (object[name!] ?? {}) as Readonly<Record<string, unknown>>
  return { ...object, [name!]: put(inner, rest, value) }
}

/** `saveEvery` of `--save-every <steps>`. */
function nameOf(flags: string): string {
  return /^--([\w-]+)/.exec(flags)![1]!.replaceAll(/-(\w)/g, (_, letter: string) => letter.toUpperCase())
}

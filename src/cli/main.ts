#!/usr/bin/env node
/** The `facet` command: finds the subcommand, loads only its file, turns errors into one sentence and an exit code. */
import { readFileSync } from 'node:fs'
import { Command, CommanderError, Help, type Option } from 'commander'
import { FacetError } from '../errors.ts'

interface Entry {
  readonly name: string
  readonly summary: string
  readonly load: () => Promise<{ command(): Command }>
}

const COMMANDS: readonly Entry[] = [
  { name: 'serve', summary: 'serve a model over an OpenAI-compatible API', load: () => import('./serve.ts') },
  { name: 'chat', summary: 'chat with a server in the terminal', load: () => import('./chat.ts') },
  {
    name: 'pull',
    summary: 'bring a model here from Hugging Face or elsewhere',
    load: () => import('./pull.ts'),
  },
  {
    name: 'convert',
    summary: 'make a model directory from a checkpoint',
    load: () => import('./convert.ts'),
  },
  {
    name: 'export',
    summary: 'write a model as GGUF or safetensors',
    load: () => import('./export.ts'),
  },
  { name: 'merge', summary: 'bake a LoRA adapter into a model', load: () => import('./merge.ts') },
  { name: 'licence', summary: 'show the terms that a model is under', load: () => import('./licence.ts') },
  { name: 'synth', summary: 'make a model directory with random weights', load: () => import('./synth.ts') },
  { name: 'plan', summary: 'say what a deployment takes and costs', load: () => import('./plan.ts') },
  { name: 'up', summary: 'make a deployment what facet.config.ts says', load: () => import('./up.ts') },
  { name: 'status', summary: 'say why a deployment does not answer', load: () => import('./status.ts') },
  {
    name: 'canary',
    summary: 'change a deployment step by step, and back where it gets worse',
    load: () => import('./canary.ts'),
  },
  { name: 'logs', summary: "print a deployment's last lines", load: () => import('./logs.ts') },
  { name: 'bench', summary: 'measure a server under load', load: () => import('./bench.ts') },
  { name: 'eval', summary: 'measure what a model can do', load: () => import('./eval.ts') },
  {
    name: 'tune',
    summary: 'prepare data, tune a model on it, bring it home',
    load: () => import('./tune.ts'),
  },
  {
    name: 'guard',
    summary: 'take a deployment down once it has cost enough',
    load: () => import('./guard.ts'),
  },
  { name: 'down', summary: 'remove a deployment', load: () => import('./down.ts') },
  { name: 'config', summary: 'check facet.config.ts', load: () => import('./config.ts') },
  {
    name: 'verify',
    summary: 'compare a model directory with its checkpoint',
    load: () => import('./verify.ts'),
  },
  {
    name: 'integrations',
    summary: 'show which frameworks take a Gemma, and how',
    load: () => import('./integrations.ts'),
  },
  {
    name: 'notebook',
    summary: 'write a notebook for Colab or Kaggle',
    load: () => import('./notebook.ts'),
  },
  { name: 'release', summary: 'run the gates of a release', load: () => import('./release.ts') },
  { name: 'card', summary: "write a model's card from what was measured", load: () => import('./card.ts') },
  { name: 'prompt', summary: 'show what a chat becomes, token by token', load: () => import('./prompt.ts') },
  { name: 'inspect', summary: 'show what a model directory holds', load: () => import('./inspect.ts') },
]

/** 0: done. 1: it failed for a reason the message names. 2: the command line is wrong. 3: a check says no. 70: a bug in Facet. */
async function main(argv: readonly string[]): Promise<number> {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  if (major < 22 || (major === 22 && minor < 18)) {
    process.stderr.write(
      `facet needs Node.js 22.18 or later, and this is ${process.version}; install a newer one.\n`,
    )
    return 1
  }
  const entry = COMMANDS.find(({ name }) => name === argv[0])
  const program = entry ? (await entry.load()).command() : overview()
  try {
    program
      .name(entry ? `facet ${entry.name}` : 'facet')
      .exitOverride()
      .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'facet: ')) })
      .configureHelp({ optionDescription: sayMandatory })
      .showHelpAfterError(`Run 'facet ${entry ? `${entry.name} ` : ''}--help' to see how it is used.`)
    for (const one of program.commands) {
      one
        .copyInheritedSettings(program)
        .showHelpAfterError(`Run '${program.name()} ${one.name()} --help' to see how it is used.`)
    }
    await program.parseAsync(entry ? argv.slice(1) : [...argv], { from: 'user' })
    // A command may end well and still say no, as a check that fails does.
    return Number(process.exitCode ?? 0)
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
    if (error instanceof FacetError && error.code !== 'internal') {
      process.stderr.write(`facet: ${error.message}\n`)
      return 1
    }
    process.stderr.write(
      `facet: this is a bug in Facet, please report it.\n${(error as Error).stack ?? error}\n`,
    )
    return 70
  }
}

/** Commander tells of an option that must be given only once it is missing. */
function sayMandatory(option: Option): string {
  const says = new Help().optionDescription(option)
  return option.mandatory && option.defaultValue === undefined ? `${says} (required)` : says
}

function overview(): Command {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  const program = new Command()
    .description('Run Gemma models from the edge to the cloud.')
    .version(version, '-V, --version')
    .showSuggestionAfterError()
  for (const { name, summary } of COMMANDS) program.addCommand(new Command(name).description(summary))
  return program.addHelpText('after', "\nRun 'facet COMMAND --help' for a command's options.")
}

process.exitCode = await main(process.argv.slice(2))

/** `facet serve`: a model directory behind an OpenAI-compatible API on this machine. */
import { statSync } from 'node:fs'
import { Command, Option } from 'commander'
import { createEdge, Drain } from '../edge/app.ts'
import { type Served, serve } from '../edge/entry/node.ts'
import type { GraphKind } from '../engine/engine.ts'
import { readManifest } from '../engine/model-file.ts'
import { filesFromDirectory, loadEngine } from '../engine/node.ts'
import { FacetError } from '../errors.ts'
import type { Manifest } from '../gemma/manifest.ts'
import { GEMMA_TERMS, isUnderGemmaTerms } from '../gemma/terms.ts'
import { idsOf } from '../model-ids.ts'
import type { ModelSpec } from '../types.ts'
import { type AdapterFlags, addAdapterFlags, toLocal } from './adapter-flags.ts'
import { toCount, toPort } from './argument.ts'
import { addEdgeFlags, type EdgeFlags, toEdgeOptions, toPatience } from './edge-options.ts'
import { Loading } from './loading.ts'
import { SAMPLE } from './sample.ts'

export interface ServeFlags extends EdgeFlags, AdapterFlags {
  readonly port: number
  readonly host: string
  readonly engine?: GraphKind
  readonly threads?: number
  readonly kv?: '32' | '16' | '8'
  readonly context?: number
  readonly slots?: number
  readonly queue?: number
  readonly draft?: string
  readonly speculate?: 'lookup' | 'off'
  readonly config?: string | true
}

/** What has been answered gets this long to be read, once everything is. */
export const FLUSH_MS = 1_000
/** npm forwards the Ctrl+C that the terminal has already sent; that is one, not two. */
const SAME_SIGNAL_MS = 500

export function command(): Command {
  const serving = new Command()
    .description(
      'Serve a model over an OpenAI-compatible API, with a chat page at /. While it loads, /readyz and questions get 503.',
    )
    .argument('[model-dir]', 'a directory made by facet convert (default: the sample model that ships)')
    .addOption(
      new Option('--port <number>', '0 takes any free one').env('PORT').default(8787).argParser(toPort),
    )
    .addOption(
      new Option('--host <address>', '0.0.0.0 lets other machines in')
        // Not HOST, which some systems set to the machine's name: that would open the server to its network.
        .env('FACET_HOST')
        .default('127.0.0.1'),
    )
    .addOption(
      new Option(
        '--engine <name>',
        'our WebAssembly or WebGPU kernels, onnxruntime-web, or the slow, readable reference (default: wasm; ort for weights that are not quantized)',
      ).choices(['wasm', 'webgpu', 'ort', 'reference']),
    )
    .option('--threads <number>', "threads that compute, with wasm (default: the machine's cores)", toCount)
    .addOption(
      new Option('--kv <bits>', 'bits of a cached key or value (default: 16; 8: wasm only)').choices([
        '32',
        '16',
        '8',
      ]),
    )
    .option('--draft <dir>', 'smaller model of the same vocabulary that guesses tokens ahead (wasm)')
    .addOption(
      new Option('--speculate <how>', 'guess tokens ahead from earlier text (wasm; the answers are the same)')
        .choices(['lookup', 'off'])
        .conflicts('draft'),
    )
    .option('--context <tokens>', "most tokens of prompt and answer (default: the model's own)", toCount)
    .option('--slots <number>', 'answers that run at the same time (default: 4)', toCount)
    .option('--queue <number>', 'requests that wait for one; the next gets 429 (default: 32)', toCount)
    .option('--config [file]', 'serve the router of facet.config.ts instead of a model')
  return addEdgeFlags(addAdapterFlags(serving)).action(
    async (directory: string | undefined, options: ServeFlags) => {
      if (options.config === undefined) return run(directory ?? SAMPLE, options)
      const { runConfig } = await import('./serve-config.ts')
      return runConfig(options.config === true ? undefined : options.config, options)
    },
  )
}

async function run(directory: string, options: ServeFlags): Promise<void> {
  const { port, host, engine: graph, context, slots, queue, threads, kv, draft, speculate } = options
  const { adapterBytes } = options
  const manifest = await manifestOf(directory)
  const loopback = /^(127\.|localhost$|::1$)/.test(host)
  const edge = await toEdgeOptions(options, loopback)
  const adapters = await toLocal(options.adapter ?? [])
  const loading = new Loading(manifest.id)
  const drain = new Drain()
  const app = createEdge({
    ...edge,
    backends: [loading.backend],
    ready: () => loading.readiness,
    files: filesFromDirectory(directory),
    drain,
  })
  const server = await serve({ app, port, hostname: host, patience: toPatience(options) })
  const stopped = onStop(async () => {
    // Open until then, so that whoever comes is told to go elsewhere.
    await drain.start(options.drainMs)
    await server.close(FLUSH_MS)
  })
  const progress = progressLine(manifest.id)
  const load = loadEngine(directory, {
    adapters,
    ...(adapterBytes !== undefined && { adapterBytes }),
    ...(graph && { graph }),
    ...(threads !== undefined && { threads }),
    ...(kv !== undefined && { cacheBits: CACHE_BITS[kv] }),
    ...(context !== undefined && { contextTokens: context }),
    ...(slots !== undefined && { slots }),
    ...(queue !== undefined && { queue }),
    ...(draft !== undefined && { draft }),
    ...(speculate && { speculate }),
    onProgress: ({ loadedBytes, totalBytes }) => {
      loading.progress = loadedBytes / totalBytes
      progress.show(loading.progress)
    },
    onReplaced: ({ failure, graph: next }) => {
      process.stderr.write(`${failure.message} From now on ${next} computes.\n`)
    },
  })
  try {
    const engine = await Promise.race([load, stopped])
    progress.end()
    // Loading cannot be interrupted, and nothing else is left to do.
    if (!engine) process.exit(0)
    loading.engine = engine
    process.stdout.write(welcome(server, engine.model, { keyed: edge.keys !== undefined, loopback }))
    if (!loopback && isUnderGemmaTerms(manifest.license)) process.stderr.write(HOSTING)
    await stopped
    await engine.close()
  } catch (error) {
    progress.end()
    await server.close(0)
    throw toFlagError(error)
  }
}

/** Said once, where others may reach weights that are under terms. */
const HOSTING = `This model is under the ${GEMMA_TERMS.name}, and whoever may chat here may also download it: by the terms that is distribution, so tell those people of them (facet licence says what they ask).\n`

const CACHE_BITS = { '32': 32, '16': 16, '8': 8 } as const

/** The engine's options that have another name as a flag. */
const FLAGS: Readonly<Record<string, string>> = {
  contextTokens: '--context',
  threads: '--threads',
  slots: '--slots',
  queue: '--queue',
  cacheBits: '--kv',
  adapters: '--adapter',
  adapterBytes: '--adapter-bytes',
}

function toFlagError(error: unknown): unknown {
  if (!(error instanceof FacetError)) return error
  const field = error.field ?? ''
  if (!Object.hasOwn(FLAGS, field)) return error
  return new FacetError(error.code, error.message.replace(field, FLAGS[field]!), { cause: error })
}

async function manifestOf(directory: string): Promise<Manifest> {
  if (!statSync(directory, { throwIfNoEntry: false })?.isDirectory()) {
    throw new FacetError(
      'io_failed',
      `There is no directory ${directory}; give one made by facet convert, or none for the sample model.`,
    )
  }
  return readManifest(filesFromDirectory(directory))
}

/** Resolves when `end` has, after the first SIGINT or SIGTERM; the second one ends at once. */
export function onStop(end: () => Promise<void>): Promise<undefined> {
  return new Promise((resolve, reject) => {
    let sinceMs: number | undefined
    const stop = (signal: NodeJS.Signals): void => {
      const nowMs = performance.now()
      if (sinceMs !== undefined) {
        if (nowMs - sinceMs > SAME_SIGNAL_MS) process.exit(signal === 'SIGINT' ? 130 : 143)
        return
      }
      sinceMs = nowMs
      process.stderr.write('Stopping when running answers are finished; once more stops at once.\n')
      end().then(() => resolve(undefined), reject)
    }
    process.on('SIGINT', stop).on('SIGTERM', stop)
  })
}

/** One line that counts up in a terminal, or just its beginning in a log. */
function progressLine(id: string): { show(progress: number): void; end(): void } {
  const { stderr } = process
  const text = `Loading ${id} ...`
  let shown = -1
  if (!stderr.isTTY) stderr.write(`${text}\n`)
  return {
    show: (progress) => {
      const percent = Math.floor(progress * 100)
      if (!stderr.isTTY || percent === shown) return
      shown = percent
      stderr.write(`\r${text} ${percent}%`)
    },
    end: () => {
      if (stderr.isTTY && shown >= 0) stderr.write('\n')
    },
  }
}

interface Access {
  readonly keyed: boolean
  /** Only this machine reaches it. */
  readonly loopback: boolean
}

export function welcome({ url, port }: Served, model: ModelSpec, access: Access): string {
  const facts = [
    model.parameters && `${toAmount(model.parameters)} parameters`,
    model.quantization,
    model.contextTokens && `context of ${model.contextTokens} tokens`,
    model.license && `licence ${model.license}`,
  ]
  const question = '{"messages":[{"role":"user","content":"How do I find files by name?"}],"temperature":0}'
  return [
    '',
    `Facet serves ${model.id} at ${url}`,
    '',
    ...(model.description ? [`  ${model.description}`] : []),
    `  ${facts.filter(Boolean).join(', ')}`,
    ...(model.adapters ? [`  with adapters: ${idsOf(model).slice(1).join(', ')}`] : []),
    '',
    'Ask it:',
    '',
    `  curl ${url}/v1/chat/completions ${access.keyed ? '-H "Authorization: Bearer $KEY" ' : ''}-d '${question}'`,
    '',
    `Chat in the browser at ${url}/, or in a terminal with: npx facet chat${port === 8787 ? '' : ` --url ${url}/v1`}`,
    ...(!access.keyed && !access.loopback
      ? [`Every machine that reaches port ${port} can use it: there is no key.`]
      : []),
    'Stop it with Ctrl+C.',
    '',
  ].join('\n')
}

function toAmount(count: number): string {
  const [size, unit] = count < 1e9 ? [1e6, 'million'] : [1e9, 'billion']
  return `${+(count / size).toPrecision(3)} ${unit}`
}

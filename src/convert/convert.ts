/** A checkpoint becomes a model directory: graph, weights, tokenizer and manifest, streamed and hashed. */
import { resolve, sep } from 'node:path'
import { FacetError } from '../errors.ts'
import type { GemmaConfig } from '../gemma/config.ts'
import { type Manifest, TOKENIZER_FILES } from '../gemma/manifest.ts'
import { GEMMA_NOTICE, GEMMA_TERMS, NOTICE_FILE, publishedAs, toLicense } from '../gemma/terms.ts'
import type { Tokenizer } from '../gemma/tokenizer.ts'
import { writeCalibrated } from './calibrated.ts'
import { readSequences } from './calibration.ts'
import type { Checkpoint } from './checkpoint.ts'
import { tokenizerOf } from './checkpoint-tokenizer.ts'
import { tensorSources } from './checkpoint-weights.ts'
import { writeData } from './data-file.ts'
import type { FileSource } from './file-source.ts'
import { openInput } from './input.ts'
import { layOut, type WeightFormat } from './layout.ts'
import { withAdapter } from './merge.ts'
import { type ModelOptions, writeModel } from './model-directory.ts'
import { checkTarget, type Disk, disk } from './output.ts'
import { formatOf, needsText, type QuantOptions } from './quant-options.ts'
import { withinSize } from './within-size.ts'

/** Of a calibration text: fewer say too little of a matrix's inputs; more take long for little. */
const LEAST_TOKENS = 512
const MOST_TOKENS = 16_384
/** Of the widest matrix's inputs, which are held: 3,072 tokens of a 2B, which stay below 1 GB. */
const MOST_ACTIVATIONS = 3072 * 16_384

export interface ConvertProgress {
  /** What is being done where it is not converting yet. */
  readonly label?: string
  /** Of the checkpoint's weights. */
  readonly doneBytes: number
  readonly totalBytes: number
}

export interface ConvertOptions extends ModelOptions, QuantOptions {
  /** Which of the files holds the weights, where `from` is more than one checkpoint: `model.gguf`. */
  readonly file?: string
  /** Directory of a LoRA adapter to bake in. */
  readonly adapter?: string
  readonly onProgress?: (progress: ConvertProgress) => void
  /** Is told the terms before anything is written, where they are known; what it throws ends the conversion. */
  readonly onTerms?: (license: string) => Promise<void>
  /** What a person should know meanwhile. */
  readonly onNote?: (sentence: string) => void
}

export interface Converted {
  readonly manifest: Manifest
  /** Sentences about what the directory lacks. */
  readonly warnings: readonly string[]
}

/**
 * Converts a checkpoint to the model directory `out`: a Hugging Face directory in safetensors, or a
 * GGUF file. Holds a few megabytes of weights at a time; the same input gives the same bytes.
 *
 * @param from a path, or files elsewhere
 * @throws FacetError invalid_checkpoint, unsupported, invalid_request, io_failed, aborted; `out` is then as before
 */
export async function convert(
  from: string | FileSource,
  out: string,
  options: ConvertOptions = {},
  target: Disk = disk,
): Promise<Converted> {
  if (typeof from === 'string') checkPlaces(from, out)
  checkTexts(options)
  const opened = await openInput(from, options.file)
  const { copies, config } = opened
  const sign = options.license === undefined ? signOfGemma(copies, config) : undefined
  const { warnings: unread = [] } = opened
  const warnings = sign
    ? [
        ...unread,
        `${sign}, so that it is taken to be under the ${GEMMA_TERMS.name}; if it is not, say so with --license.`,
      ]
    : unread
  const described = sign ? { ...options, license: toLicense(GEMMA_TERMS) } : options
  let manifest: Manifest
  const place = typeof from === 'string' ? from : from.place
  try {
    const { adapter } = options
    if (described.license !== undefined) await options.onTerms?.(described.license)
    const { checkpoint } = adapter === undefined ? opened : await withAdapter(opened, place, adapter)
    const tokenizer = tokenizerOf(copies, config)
    const all = tensorSources(checkpoint, config)
    const given = formatOf(checkpoint, config, all, options)
    const text = needsText(options) ? await textOf(tokenizer, config, options.calibration) : []
    const format = await fitted(checkpoint, config, given, text, out, options)
    const layout = layOut(config, format)
    const byName = new Map(all.map((source) => [source.name, source]))
    const sources = layout.tensors.map(({ tensor }) => byName.get(tensor.name)!)
    const data = { checkpoint, config, sources, format, layout }
    const model = { out, copies, config, format, layout }
    manifest = await writeModel(target, model, described, async (file) => {
      if (format.method === 'gptq') await writeCalibrated(file, data, text, options)
      else await writeData(file, data, options)
      if (typeof from !== 'string') await from.verified?.()
    })
  } finally {
    await opened.checkpoint.close()
  }
  if (TOKENIZER_FILES.some((name) => copies.has(name))) return { manifest, warnings }
  const warning = `${place} has neither ${TOKENIZER_FILES.join(' nor ')}, and without one the model cannot be served; copy one there and convert again.`
  return { manifest, warnings: [...warnings, warning] }
}

/** Neither directory may lie in the way of the other. */
function checkPlaces(checkpointDir: string, out: string): void {
  const from = resolve(checkpointDir)
  const to = resolve(out)
  if (from === to || from.startsWith(to + sep)) {
    throw new FacetError('invalid_request', `${out} holds the checkpoint itself; choose another directory.`, {
      field: 'out',
    })
  }
}

/** What says that these are Gemma's weights, or made from them, where nobody states the terms. */
function signOfGemma(copies: ReadonlyMap<string, Uint8Array>, config: GemmaConfig): string | undefined {
  const notice = new TextDecoder().decode(copies.get(NOTICE_FILE))
  if (notice.includes(GEMMA_NOTICE)) return `The checkpoint's ${NOTICE_FILE} says that it is Gemma`
  const name = publishedAs(config)
  return name && `The checkpoint has the shape of ${name}`
}

/** The manifest has no empty texts. */
function checkTexts(options: ConvertOptions): void {
  for (const field of ['id', 'description', 'source', 'license'] as const) {
    if (options[field] !== '') continue
    throw new FacetError('invalid_request', `${field} must not be empty; leave it out or give a text.`, {
      field,
    })
  }
}

/** The format with the matrices in 8 bits that `maxSizeBytes` has room for. */
async function fitted(
  checkpoint: Checkpoint,
  config: GemmaConfig,
  format: WeightFormat,
  text: readonly (readonly number[])[],
  out: string,
  { maxSizeBytes, force = false, signal, onProgress, onNote }: ConvertOptions,
): Promise<WeightFormat> {
  if (maxSizeBytes === undefined) return format
  await checkTarget(out, force) // before minutes of work
  const found = await withinSize(checkpoint, config, format, maxSizeBytes, text, {
    ...(signal && { signal }),
    ...(onProgress && { onProgress: (progress) => onProgress({ ...progress, label: 'Measuring' }) }),
  })
  onNote?.(found.sentence)
  return found.format
}

/** What the weights are weighed with. */
function textOf(
  tokenizer: Tokenizer | undefined,
  config: GemmaConfig,
  path: string | undefined,
): Promise<number[][]> {
  if (tokenizer) {
    const held = Math.floor(MOST_ACTIVATIONS / config.intermediateSize)
    const mostTokens = Math.max(LEAST_TOKENS, Math.min(MOST_TOKENS, held))
    const options = { field: 'calibration', leastTokens: LEAST_TOKENS, mostTokens }
    return readSequences(tokenizer, config, { ...options, ...(path !== undefined && { path }) })
  }
  const problem = `--method gptq and --max-size run a text through the model, and the checkpoint has neither ${TOKENIZER_FILES.join(' nor ')}; copy one there.`
  throw new FacetError('tokenizer_missing', problem, { field: 'tokenizer' })
}

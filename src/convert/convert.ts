/** A checkpoint becomes a model directory: graph, weights, tokenizer and manifest, streamed and hashed. */
import { resolve, sep } from 'node:path'
import { FacetError } from '../errors.ts'
import type { GemmaConfig } from '../gemma/config.ts'
import { type Manifest, TOKENIZER_FILES } from '../gemma/manifest.ts'
import { COPIED_FILES, readConfig, readOptional } from './checkpoint-files.ts'
import { type TensorSource, tensorSources } from './checkpoint-weights.ts'
import { writeData } from './data-file.ts'
import { layOut, type Quant, type WeightFormat } from './layout.ts'
import { type ModelOptions, writeModel } from './model-directory.ts'
import { type Disk, disk } from './output.ts'
import { type Checkpoint, openCheckpoint } from './safetensors.ts'

export interface ConvertProgress {
  /** Of the checkpoint's weights. */
  readonly doneBytes: number
  readonly totalBytes: number
}

export interface ConvertOptions extends ModelOptions {
  /** Default int4. */
  readonly quant?: Quant
  readonly onProgress?: (progress: ConvertProgress) => void
}

export interface Converted {
  readonly manifest: Manifest
  /** Sentences about what the directory lacks. */
  readonly warnings: readonly string[]
}

/**
 * Converts the Hugging Face checkpoint in `checkpointDir` to the model directory `out`. Holds a few
 * megabytes of weights at a time; the same input gives the same bytes.
 *
 * @throws FacetError invalid_checkpoint, unsupported, invalid_request, io_failed, aborted; `out` is then as before
 */
export async function convert(
  checkpointDir: string,
  out: string,
  options: ConvertOptions = {},
  target: Disk = disk,
): Promise<Converted> {
  checkPlaces(checkpointDir, out)
  checkTexts(options)
  const config = await readConfig(checkpointDir)
  checkArchitecture(config)
  const copies = await readCopies(checkpointDir)
  const checkpoint = await openCheckpoint(checkpointDir)
  let manifest: Manifest
  try {
    const sources = tensorSources(checkpoint, config)
    const format = formatOf(checkpoint, sources, options.quant ?? 'int4')
    const layout = layOut(config, format)
    const data = { checkpoint, config, sources, format, layout }
    const model = { out, copies, config, format, layout }
    manifest = await writeModel(target, model, options, (file) => writeData(file, data, options))
  } finally {
    await checkpoint.close()
  }
  if (TOKENIZER_FILES.some((name) => copies.has(name))) return { manifest, warnings: [] }
  const warning = `${checkpointDir} has neither ${TOKENIZER_FILES.join(' nor ')}, and without one the model cannot be served; copy one there and convert again.`
  return { manifest, warnings: [warning] }
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

/** The manifest has no empty texts. */
function checkTexts(options: ConvertOptions): void {
  for (const field of ['id', 'description', 'source', 'license'] as const) {
    if (options[field] !== '') continue
    throw new FacetError('invalid_request', `${field} must not be empty; leave it out or give a text.`, {
      field,
    })
  }
}

/** buildModel knows Gemma 1 so far. */
function checkArchitecture(config: GemmaConfig): void {
  if (config.architecture === 'gemma') return
  const problem = `config.json: architectures names ${config.architecture}, but only Gemma 1 can be converted so far.`
  throw new FacetError('unsupported', problem, { field: 'architectures' })
}

/** The matrices' dtype: with quant `none` they must agree, as the graph has one Cast for all. */
function formatOf(checkpoint: Checkpoint, sources: readonly TensorSource[], quant: Quant): WeightFormat {
  const parts = sources.filter(({ role }) => role !== 'norm').flatMap(({ parts }) => parts)
  const dtypes = new Set(parts.map(({ name }) => checkpoint.tensors.get(name)!.dtype!))
  const [dtype, other] = dtypes
  if (other && quant === 'none') {
    const problem = `The checkpoint mixes ${[...dtypes].join(' and ')}, which --quant none cannot keep; use int8 or int4.`
    throw new FacetError('unsupported', problem, { field: 'quant' })
  }
  return { quant, dtype: dtype! }
}

async function readCopies(dir: string): Promise<Map<string, Uint8Array>> {
  const copies = new Map<string, Uint8Array>()
  for (const name of COPIED_FILES) {
    const bytes = await readOptional(dir, name)
    if (bytes) copies.set(name, bytes)
  }
  return copies
}

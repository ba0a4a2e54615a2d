/** A model directory in memory: manifest, configuration, tokenizer and the graph's bytes. */
import { FacetError } from '../errors.ts'
import { configFrom, type GemmaConfig } from '../gemma/config.ts'
import {
  CONFIG_FILE,
  DATA_FILE,
  type FileEntry,
  GENERATION_FILE,
  GRAPH_FILE,
  MANIFEST_FILE,
  type Manifest,
  parseManifest,
  TOKENIZER_FILES,
} from '../gemma/manifest.ts'
import { tokenizerFromModel } from '../gemma/sentencepiece.ts'
import type { Tokenizer } from '../gemma/tokenizer.ts'
import { tokenizerFromJson } from '../gemma/tokenizer-json.ts'
import { type ModelFiles, type ReadOptions, readEntry, readSmall } from './model-files.ts'

export interface LoadProgress {
  /** download: from the network into the browser's storage. Left out: into memory. */
  readonly stage?: 'download'
  readonly loadedBytes: number
  readonly totalBytes: number
  /** Compiled for the GPU, of as many as are known so far; left out while, or where, there are none. */
  readonly kernels?: { readonly compiled: number; readonly total: number }
}

export interface OpenOptions {
  /** Check every chunk against the manifest's sha256. Default true. */
  readonly verify?: boolean
  readonly onProgress?: (progress: LoadProgress) => void
  /** Throws what is against this model, before anything but its configuration has been read. */
  readonly admit?: (manifest: Manifest, config: GemmaConfig) => void
}

/** Everything but the weights, and the way to them. */
export interface OpenedModel {
  readonly files: ModelFiles
  readonly manifest: Manifest
  readonly config: GemmaConfig
  readonly tokenizer: Tokenizer
  /** The bytes of model.onnx. */
  readonly graph: Uint8Array<ArrayBuffer>
  /** How to read the weights: whether to check them, and whom to tell. */
  readonly reading: ReadOptions
}

/** A whole model with its weights on the JavaScript heap. */
export interface ModelFile extends Pick<OpenedModel, 'manifest' | 'config' | 'graph'> {
  /** The bytes of model.onnx_data. */
  readonly data: Uint8Array<ArrayBuffer>
}

/** What it takes to serve: the model and its tokenizer. */
export interface ServableModel extends ModelFile {
  readonly tokenizer: Tokenizer
}

/**
 * Reads the manifest and every file a model needs to answer, the weights included.
 *
 * @throws FacetError invalid_model (not a model directory, or an incomplete one), checksum_mismatch,
 * tokenizer_missing
 */
export async function openModel(files: ModelFiles, options: OpenOptions = {}): Promise<ServableModel> {
  return withData(await openWithoutData(files, options))
}

/** Reads the weights of an opened model. */
export async function withData<Opened extends Omit<OpenedModel, 'tokenizer'>>(
  model: Opened,
): Promise<Opened & Pick<ModelFile, 'data'>> {
  return { ...model, data: await readEntry(model.files, dataEntry(model), model.reading) }
}

/** The manifest's line for the weights. */
export function dataEntry({ manifest }: Pick<OpenedModel, 'manifest'>): FileEntry {
  return manifest.files.find(({ path }) => path === DATA_FILE)!
}

/**
 * Reads everything but the weights: what is wrong with a small file is told before gigabytes are read.
 *
 * @throws FacetError as openModel
 */
export async function openWithoutData(files: ModelFiles, options: OpenOptions = {}): Promise<OpenedModel> {
  const manifest = await readManifest(files)
  const entries = servedEntries(manifest, files)
  const totalBytes = entries.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  let loadedBytes = 0
  let kernels: LoadProgress['kernels']
  const tell = (): void => options.onProgress?.({ loadedBytes, totalBytes, ...(kernels && { kernels }) })
  const reading: ReadOptions = {
    verify: options.verify ?? true,
    onBytes: (count) => {
      loadedBytes += count
      tell()
    },
    onCompiled: (compiled, total) => {
      kernels = { compiled, total }
      tell()
    },
  }
  const bytesOf = async (path: string): Promise<Uint8Array<ArrayBuffer> | undefined> => {
    const entry = entries.find((candidate) => candidate.path === path)
    return entry && readEntry(files, entry, reading)
  }
  const configuration = await bytesOf(CONFIG_FILE)
  const generation = await bytesOf(GENERATION_FILE)
  const config = configFrom(
    parseJson(configuration!, CONFIG_FILE, files),
    generation && parseJson(generation, GENERATION_FILE, files),
  )
  options.admit?.(manifest, config)
  const tokenizerFile = entries.find(({ path }) => TOKENIZER_FILES.includes(path))!.path
  const tokenizerBytes = (await bytesOf(tokenizerFile))!
  const tokenizer =
    tokenizerFile === 'tokenizer.json'
      ? tokenizerFromJson(parseJson(tokenizerBytes, tokenizerFile, files))
      : tokenizerFromModel(tokenizerBytes)
  const graph = await bytesOf(GRAPH_FILE)
  return { files, manifest, config, tokenizer, graph: graph!, reading }
}

/**
 * The files that answering takes, of all that the manifest lists.
 *
 * @throws FacetError tokenizer_missing
 */
export function servedEntries(manifest: Manifest, { location }: Pick<ModelFiles, 'location'>): FileEntry[] {
  const tokenizerFile = TOKENIZER_FILES.find((path) => manifest.files.some((entry) => entry.path === path))
  if (!tokenizerFile) {
    throw new FacetError(
      'tokenizer_missing',
      `${location} has no tokenizer, and text cannot be served without one; put tokenizer.json or tokenizer.model beside the checkpoint and convert it again.`,
      { field: 'tokenizer.json' },
    )
  }
  const served = [CONFIG_FILE, GENERATION_FILE, tokenizerFile, GRAPH_FILE, DATA_FILE]
  return manifest.files.filter(({ path }) => served.includes(path))
}

/** @throws FacetError as readManifestBytes */
export async function readManifest(files: ModelFiles): Promise<Manifest> {
  return manifestFrom(await readManifestBytes(files), files)
}

/** @throws FacetError invalid_model: without a whole manifest a directory is no model */
export async function readManifestBytes(files: ModelFiles): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = await readSmall(files, MANIFEST_FILE)
  if (bytes) return bytes
  throw new FacetError(
    'invalid_model',
    `${files.location} has no ${MANIFEST_FILE}: it is not a model directory, or its download or conversion was interrupted; run facet convert again.`,
    { field: MANIFEST_FILE },
  )
}

/**
 * The configuration alone, unchecked: enough to plan with before a model is opened.
 *
 * @throws FacetError invalid_model
 */
export async function readConfig(files: ModelFiles, manifest: Manifest): Promise<GemmaConfig> {
  const entry = manifest.files.find(({ path }) => path === CONFIG_FILE)!
  return configFrom(parseJson(await readEntry(files, entry, { verify: false }), CONFIG_FILE, files))
}

/** @throws FacetError invalid_model */
export function manifestFrom(bytes: Uint8Array, files: Pick<ModelFiles, 'location'>): Manifest {
  return parseManifest(parseJson(bytes, MANIFEST_FILE, files))
}

function parseJson(bytes: Uint8Array, path: string, files: Pick<ModelFiles, 'location'>): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw new FacetError(
      'invalid_model',
      `${path} in ${files.location} is not JSON; download or convert the model again.`,
      { field: path, cause },
    )
  }
}

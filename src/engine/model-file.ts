/** A model directory in memory: manifest, configuration, tokenizer and the graph's bytes. */
import { FacetError } from '../errors.ts'
import { configFrom, type GemmaConfig } from '../gemma/config.ts'
import { DATA_FILE, GRAPH_FILE, MANIFEST_FILE, type Manifest, parseManifest } from '../gemma/manifest.ts'
import { tokenizerFromModel } from '../gemma/sentencepiece.ts'
import type { Tokenizer } from '../gemma/tokenizer.ts'
import { tokenizerFromJson } from '../gemma/tokenizer-json.ts'
import { type ModelFiles, readEntry, readSmall } from './model-files.ts'

const CONFIG_FILE = 'config.json'
const GENERATION_FILE = 'generation_config.json'
/** tokenizer.json first: it loads quicker. */
const TOKENIZER_FILES = ['tokenizer.json', 'tokenizer.model'] as const

export interface ModelFile {
  readonly manifest: Manifest
  readonly config: GemmaConfig
  /** The bytes of model.onnx. */
  readonly graph: Uint8Array<ArrayBuffer>
  /** The bytes of model.onnx_data. */
  readonly data: Uint8Array<ArrayBuffer>
}

export interface LoadProgress {
  readonly loadedBytes: number
  readonly totalBytes: number
}

export interface OpenOptions {
  /** Check every chunk against the manifest's sha256. Default true. */
  readonly verify?: boolean
  readonly onProgress?: (progress: LoadProgress) => void
}

/** What it takes to serve: the model and its tokenizer. */
export interface ServableModel extends ModelFile {
  readonly tokenizer: Tokenizer
}

/**
 * Reads the manifest, then every file it names that a model needs to answer.
 *
 * @throws FacetError invalid_model (not a model directory, or an incomplete one), checksum_mismatch,
 * tokenizer_missing
 */
export async function openModel(files: ModelFiles, options: OpenOptions = {}): Promise<ServableModel> {
  const manifest = await readManifest(files)
  const tokenizerFile = TOKENIZER_FILES.find((path) => manifest.files.some((entry) => entry.path === path))
  if (!tokenizerFile) {
    throw new FacetError(
      'tokenizer_missing',
      `${files.location} has no tokenizer, and text cannot be served without one; put tokenizer.json or tokenizer.model beside the checkpoint and convert it again.`,
      { field: TOKENIZER_FILES[0] },
    )
  }
  const wanted = [CONFIG_FILE, GENERATION_FILE, tokenizerFile, GRAPH_FILE, DATA_FILE]
  const entries = manifest.files.filter(({ path }) => wanted.includes(path))
  const totalBytes = entries.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  let loadedBytes = 0
  const onBytes = (count: number): void => {
    loadedBytes += count
    options.onProgress?.({ loadedBytes, totalBytes })
  }
  // Small files first, so that a wrong one is told before gigabytes are read.
  const bytes = new Map<string, Uint8Array<ArrayBuffer>>()
  for (const path of wanted) {
    const entry = entries.find((candidate) => candidate.path === path)
    if (entry) bytes.set(path, await readEntry(files, entry, { verify: options.verify ?? true, onBytes }))
  }
  const generation = bytes.get(GENERATION_FILE)
  const config = configFrom(
    parseJson(bytes.get(CONFIG_FILE)!, CONFIG_FILE, files),
    generation && parseJson(generation, GENERATION_FILE, files),
  )
  const tokenizerBytes = bytes.get(tokenizerFile)!
  const tokenizer =
    tokenizerFile === 'tokenizer.json'
      ? tokenizerFromJson(parseJson(tokenizerBytes, tokenizerFile, files))
      : tokenizerFromModel(tokenizerBytes)
  return { manifest, config, tokenizer, graph: bytes.get(GRAPH_FILE)!, data: bytes.get(DATA_FILE)! }
}

/** @throws FacetError invalid_model: without a whole manifest a directory is no model */
export async function readManifest(files: ModelFiles): Promise<Manifest> {
  const bytes = await readSmall(files, MANIFEST_FILE)
  if (bytes) return parseManifest(parseJson(bytes, MANIFEST_FILE, files))
  throw new FacetError(
    'invalid_model',
    `${files.location} has no ${MANIFEST_FILE}: it is not a model directory, or its download or conversion was interrupted; run facet convert again.`,
    { field: MANIFEST_FILE },
  )
}

function parseJson(bytes: Uint8Array, path: string, files: ModelFiles): unknown {
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

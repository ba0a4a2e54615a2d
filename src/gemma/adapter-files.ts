/** The files of a LoRA adapter, as PEFT saves them: read, and held against the model they are for. */
import { FacetError } from '../errors.ts'
import type { GemmaConfig } from './config.ts'
import {
  ADAPTER_WEIGHTS_FILE,
  type Lora,
  type LoraPair,
  type PlannedPair,
  planLora,
  readPair,
} from './lora.ts'
import { checkLoraBase } from './lora-base.ts'
import { ADAPTER_CONFIG_FILE, parseLoraConfig } from './lora-config.ts'
import type { Manifest } from './manifest.ts'
import { headerBytes, PREFIX_BYTES, parseHeader, type SafetensorsEntry } from './safetensors-header.ts'

/** Where an adapter's files are. */
export interface AdapterSource {
  /** Undefined: there is no such file. */
  size(path: string): Promise<number | undefined>
  /** These bytes of it; fewer only where it ends before. */
  read(path: string, start: number, end: number): Promise<Uint8Array>
}

/** An adapter that fits the model; its numbers have not been read. */
export interface OpenedAdapter {
  readonly source: AdapterSource
  readonly sizeBytes: number
  readonly pairs: readonly PlannedPair[]
}

/** The model to be changed. */
export interface AdapterBase {
  readonly config: GemmaConfig
  readonly manifest: Pick<Manifest, 'id' | 'source'>
}

/** PyTorch's pickle, which older versions of PEFT wrote. */
const PICKLE_FILE = 'adapter_model.bin'
/** Real ones have two thousand. */
const MOST_CONFIG_BYTES = 1024 * 1024

/**
 * Reads the configuration and the header of the weights.
 *
 * @throws FacetError invalid_checkpoint (the file, the tensor and what was expected of it), unsupported
 */
export async function openAdapter(
  source: AdapterSource,
  { config, manifest }: AdapterBase,
): Promise<OpenedAdapter> {
  const settings = parseLoraConfig(await readAdapterJson(source))
  checkLoraBase(settings.base, manifest)
  const { sizeBytes, entries } = await readAdapterHeader(source)
  return { source, sizeBytes, pairs: planLora(settings, entries, config) }
}

export interface AdapterHeader {
  /** Of the weights' file. */
  readonly sizeBytes: number
  readonly entries: readonly SafetensorsEntry[]
}

/** What the weights' file says of its tensors. @throws FacetError as openAdapter does */
export async function readAdapterHeader(source: AdapterSource): Promise<AdapterHeader> {
  const sizeBytes = await source.size(ADAPTER_WEIGHTS_FILE)
  if (sizeBytes === undefined) {
    const pickled = (await source.size(PICKLE_FILE)) !== undefined
    throw new FacetError(
      pickled ? 'unsupported' : 'invalid_checkpoint',
      pickled
        ? `${PICKLE_FILE} is a pickle, which can run any code when it is read; save the adapter as safetensors.`
        : `${ADAPTER_WEIGHTS_FILE} is missing; give the directory of a PEFT adapter.`,
      { field: ADAPTER_WEIGHTS_FILE },
    )
  }
  const prefix = await readRange(source, 0, Math.min(PREFIX_BYTES, sizeBytes))
  const length = headerBytes(ADAPTER_WEIGHTS_FILE, prefix, sizeBytes)
  const header = await readRange(source, PREFIX_BYTES, PREFIX_BYTES + length)
  return { sizeBytes, entries: parseHeader(ADAPTER_WEIGHTS_FILE, header, sizeBytes) }
}

/**
 * Reads the numbers.
 *
 * @throws FacetError invalid_checkpoint when the file has become shorter or a number is none
 */
export async function readAdapter({ source, sizeBytes, pairs }: OpenedAdapter): Promise<Lora> {
  const bytes = await readRange(source, 0, sizeBytes)
  const read: LoraPair[] = []
  for (const pair of pairs) {
    read.push(
      await readPair(pair, async ({ offset, lengthBytes }) => bytes.subarray(offset, offset + lengthBytes)),
    )
  }
  return { pairs: read }
}

/** adapter_config.json. @throws FacetError as openAdapter does */
export async function readAdapterJson(source: AdapterSource): Promise<unknown> {
  const sizeBytes = await source.size(ADAPTER_CONFIG_FILE)
  if (sizeBytes === undefined || sizeBytes > MOST_CONFIG_BYTES) {
    throw new FacetError(
      'invalid_checkpoint',
      `${ADAPTER_CONFIG_FILE} is ${sizeBytes === undefined ? 'missing' : 'far too large'}; give the directory of a PEFT adapter.`,
      { field: ADAPTER_CONFIG_FILE },
    )
  }
  const bytes = await source.read(ADAPTER_CONFIG_FILE, 0, sizeBytes)
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw new FacetError('invalid_checkpoint', `${ADAPTER_CONFIG_FILE}: it is not JSON; download it again.`, {
      field: ADAPTER_CONFIG_FILE,
      cause,
    })
  }
}

async function readRange(source: AdapterSource, start: number, end: number): Promise<Uint8Array> {
  if (start === end) return new Uint8Array()
  const bytes = await source.read(ADAPTER_WEIGHTS_FILE, start, end)
  if (bytes.length === end - start) return bytes
  throw new FacetError(
    'invalid_checkpoint',
    `${ADAPTER_WEIGHTS_FILE} became shorter while it was read; download it again.`,
    { field: ADAPTER_WEIGHTS_FILE },
  )
}

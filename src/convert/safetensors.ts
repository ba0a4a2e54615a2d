/** A Hugging Face checkpoint directory of safetensors, single or sharded, read piece by piece. */
import { type FileHandle, open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { FacetError } from '../errors.ts'
import { DTYPE_BYTES, type Dtype, toFloat32 } from '../gemma/dtype.ts'
import { headerBytes, PREFIX_BYTES, parseHeader, type SafetensorsEntry } from './safetensors-header.ts'

export const SINGLE_FILE = 'model.safetensors'
export const INDEX_FILE = 'model.safetensors.index.json'

/** Most bytes held besides the result while a range is read. */
const PIECE_BYTES = 8 * 1024 * 1024

export interface CheckpointTensor {
  readonly name: string
  /** The file it lies in, relative to the directory. */
  readonly file: string
  readonly shape: readonly number[]
  readonly storedDtype: string
  readonly dtype: Dtype | undefined
}

export interface Checkpoint extends AsyncDisposable {
  readonly dir: string
  readonly tensors: ReadonlyMap<string, CheckpointTensor>
  /**
   * Elements start (inclusive) to end (exclusive) of the flattened, row-major tensor in float32;
   * the whole tensor by default.
   *
   * @throws FacetError invalid_checkpoint when there is no such tensor or its dtype is not a float
   */
  read(name: string, start?: number, end?: number): Promise<Float32Array>
  /** The same range as it lies in the file. */
  readBytes(name: string, start?: number, end?: number): Promise<Uint8Array>
  close(): Promise<void>
}

/**
 * Opens `model.safetensors`, or the shards `model.safetensors.index.json` names, and checks every
 * header. Weights stay on disk. The caller closes it.
 *
 * @throws FacetError invalid_checkpoint, naming file and field
 */
export async function openCheckpoint(dir: string): Promise<Checkpoint> {
  const shards: Shard[] = []
  try {
    const single = await openShard(dir, SINGLE_FILE)
    if (single) shards.push(single)
    else await openShards(dir, shards)
  } catch (error) {
    await Promise.all(shards.map(({ handle }) => handle.close()))
    throw error
  }
  return new SafetensorsCheckpoint(dir, shards)
}

interface Shard {
  readonly file: string
  readonly handle: FileHandle
  readonly entries: readonly SafetensorsEntry[]
}

class SafetensorsCheckpoint implements Checkpoint {
  readonly dir: string
  readonly tensors: ReadonlyMap<string, CheckpointTensor>
  readonly #shards: readonly Shard[]
  readonly #places = new Map<string, { shard: Shard; entry: SafetensorsEntry }>()

  constructor(dir: string, shards: readonly Shard[]) {
    this.dir = dir
    this.#shards = shards
    const tensors = new Map<string, CheckpointTensor>()
    for (const shard of shards) {
      for (const entry of shard.entries) {
        const { name, shape, storedDtype, dtype } = entry
        tensors.set(name, { name, file: shard.file, shape, storedDtype, dtype })
        this.#places.set(name, { shard, entry })
      }
    }
    this.tensors = tensors
  }

  async read(name: string, start?: number, end?: number): Promise<Float32Array> {
    const range = this.#range(name, start, end)
    const out = new Float32Array(range.end - range.start)
    const step = PIECE_BYTES / range.size
    for (let at = 0; at < out.length; at += step) {
      const from = range.start + at
      const bytes = await this.readBytes(name, from, Math.min(from + step, range.end))
      out.set(toFloat32(bytes, range.dtype), at)
    }
    return out
  }

  async readBytes(name: string, start?: number, end?: number): Promise<Uint8Array> {
    const { place, ...range } = this.#range(name, start, end)
    const bytes = new Uint8Array((range.end - range.start) * range.size)
    await readFully(place.shard, bytes, place.entry.offset + range.start * range.size)
    return bytes
  }

  async close(): Promise<void> {
    await Promise.all(this.#shards.map(({ handle }) => handle.close()))
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #range(name: string, start = 0, end?: number) {
    const place = this.#places.get(name)
    if (!place) {
      const where = this.#shards.length === 1 ? this.#shards[0]!.file : INDEX_FILE
      return fail(where, name, 'is missing; download the checkpoint again')
    }
    const { dtype, storedDtype, lengthBytes } = place.entry
    if (!dtype) {
      const advice = 'take the checkpoint in BF16, F16 or F32'
      return fail(place.shard.file, `${name}.dtype`, `is ${storedDtype}, which cannot be read; ${advice}`)
    }
    const size = DTYPE_BYTES[dtype]
    const count = lengthBytes / size
    const range = { place, dtype, size, start, end: end ?? count }
    if (!(start >= 0 && start <= range.end && range.end <= count)) {
      throw new RangeError(`${name}: elements ${start} to ${range.end} of ${count}`)
    }
    return range
  }
}

async function openShards(dir: string, shards: Shard[]): Promise<void> {
  const where = await readIndex(dir)
  const owners = new Map<string, string>()
  for (const file of new Set(where.values())) {
    const shard = await openShard(dir, file)
    if (!shard) return fail(file, 'file', `is missing, but ${INDEX_FILE} names it; download it`)
    shards.push(shard)
    for (const { name } of shard.entries) {
      const owner = owners.get(name)
      if (owner) fail(file, name, `is also in ${owner}; download the checkpoint again`)
      owners.set(name, file)
    }
  }
  for (const [name, file] of where) {
    if (owners.get(name) !== file) {
      fail(file, name, `is missing, but ${INDEX_FILE} says it is there; download the file again`)
    }
  }
}

/** Tensor name to shard file. */
async function readIndex(dir: string): Promise<Map<string, string>> {
  let text: string
  try {
    text = await readFile(join(dir, INDEX_FILE), 'utf8')
  } catch (cause) {
    const advice = 'give the directory of a Hugging Face checkpoint in safetensors'
    throw new FacetError(
      'invalid_checkpoint',
      `${dir} holds neither ${SINGLE_FILE} nor ${INDEX_FILE}; ${advice}.`,
      { field: SINGLE_FILE, cause },
    )
  }
  let map: unknown
  try {
    map = JSON.parse(text)?.weight_map
  } catch (cause) {
    throw new FacetError('invalid_checkpoint', `${INDEX_FILE}: it is not JSON; download it again.`, { cause })
  }
  if (typeof map !== 'object' || map === null || Object.keys(map).length === 0) {
    return fail(INDEX_FILE, 'weight_map', 'is not an object of tensor names; download the file again')
  }
  const where = new Map<string, string>()
  for (const [name, file] of Object.entries(map)) {
    if (typeof file !== 'string' || !/^[\w.-]+\.safetensors$/.test(file)) {
      return fail(INDEX_FILE, `weight_map.${name}`, 'must name a .safetensors file beside it')
    }
    where.set(name, file)
  }
  return where
}

/** Undefined when there is no such file. */
async function openShard(dir: string, file: string): Promise<Shard | undefined> {
  const handle = await open(join(dir, file), 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined
    throw new FacetError('io_failed', `${file} cannot be opened: ${error.message}.`, { cause: error })
  })
  if (!handle) return undefined
  try {
    const { size } = await handle.stat()
    const prefix = new Uint8Array(Math.min(PREFIX_BYTES, size))
    await readFully({ file, handle }, prefix, 0)
    const header = new Uint8Array(headerBytes(file, prefix, size))
    await readFully({ file, handle }, header, PREFIX_BYTES)
    return { file, handle, entries: parseHeader(file, header, size) }
  } catch (error) {
    await handle.close()
    throw error
  }
}

async function readFully(
  { file, handle }: Pick<Shard, 'file' | 'handle'>,
  into: Uint8Array,
  position: number,
): Promise<void> {
  for (let at = 0; at < into.length; ) {
    const length = Math.min(into.length - at, PIECE_BYTES)
    const { bytesRead } = await handle.read(into, at, length, position + at)
    if (bytesRead === 0) fail(file, 'file', 'became shorter while it was read; download it again')
    at += bytesRead
  }
}

function fail(file: string, field: string, problem: string): never {
  throw new FacetError('invalid_checkpoint', `${file}: ${field} ${problem}.`, { field })
}

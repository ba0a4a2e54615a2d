/** The header of a GGUF file: metadata, and which tensor lies where, with nothing it says believed unchecked. */
import { FacetError } from '../errors.ts'
import { ByteCursor } from './byte-cursor.ts'
import { countOf } from './checkpoint.ts'
import type { SourceFile } from './file-source.ts'
import { BLOCK_TYPES, type BlockType } from './gguf-blocks.ts'

/** A number (whole ones beyond 2^53 are refused), a truth value, a text or a list of one of these. */
export type GgufValue = number | boolean | string | readonly number[] | readonly boolean[] | readonly string[]

export interface GgufTensor {
  readonly name: string
  /** Innermost first, as GGUF has it. */
  readonly dims: readonly number[]
  /** As the specification spells it, or `type 99`. */
  readonly storedType: string
  /** Undefined: a type that cannot be read. */
  readonly type: BlockType | undefined
  /** First byte, counted from the start of the file. */
  readonly offset: number
}

export interface GgufHeader {
  readonly metadata: ReadonlyMap<string, GgufValue>
  readonly tensors: readonly GgufTensor[]
}

export const GGUF_MAGIC = 0x46554747
export const GGUF_ALIGNMENT = 32
/** Vocabulary and merges of the largest Gemma take 16 MB. */
const MAX_HEADER_BYTES = 256 * 1024 * 1024
const MAX_TENSORS = 100_000
const MAX_PAIRS = 10_000
const MAX_DIMS = 4

/** Types of tensors by number, those that can be read and the commonest others, so that messages name them. */
const TYPE_NAMES: Readonly<Record<number, string>> = {
  0: 'F32',
  1: 'F16',
  2: 'Q4_0',
  3: 'Q4_1',
  6: 'Q5_0',
  7: 'Q5_1',
  8: 'Q8_0',
  10: 'Q2_K',
  11: 'Q3_K',
  12: 'Q4_K',
  13: 'Q5_K',
  14: 'Q6_K',
  30: 'BF16',
}

/** Types of metadata values by number. */
export const GgufType = {
  uint8: 0,
  int8: 1,
  uint16: 2,
  int16: 3,
  uint32: 4,
  int32: 5,
  float32: 6,
  bool: 7,
  string: 8,
  array: 9,
  uint64: 10,
  int64: 11,
  float64: 12,
} as const

/**
 * Reads versions 2 and 3, little-endian. No more is held than the header's own bytes.
 *
 * @param name the file's name, for messages
 * @throws FacetError invalid_checkpoint, naming file and field
 */
export async function readGgufHeader(name: string, file: SourceFile): Promise<GgufHeader> {
  const cursor = new ByteCursor(name, file, MAX_HEADER_BYTES)
  if ((await cursor.uint32('magic')) !== GGUF_MAGIC) fail(name, 'magic', 'is not GGUF')
  const version = await cursor.uint32('version')
  if (version !== 2 && version !== 3) fail(name, 'version', `is ${version}, and only 2 and 3 can be read`)
  const tensorCount = await countIn(cursor, name, 'tensor_count', MAX_TENSORS)
  const pairCount = await countIn(cursor, name, 'metadata_kv_count', MAX_PAIRS)
  const metadata = new Map<string, GgufValue>()
  for (let i = 0; i < pairCount; i++) {
    const key = await cursor.text(`metadata[${i}].key`)
    if (metadata.has(key)) fail(name, key, 'is listed twice')
    metadata.set(key, await readValue(cursor, name, key, await cursor.uint32(key)))
  }
  const infos: Omit<GgufTensor, 'offset'>[] = []
  const offsets: number[] = []
  for (let i = 0; i < tensorCount; i++) {
    const tensor = await cursor.text(`tensors[${i}].name`)
    const rank = await cursor.uint32(`${tensor}.n_dims`)
    if (rank > MAX_DIMS) fail(name, `${tensor}.n_dims`, `is ${rank}, more than the ${MAX_DIMS} there can be`)
    const dims: number[] = []
    while (dims.length < rank) dims.push(await cursor.uint64(`${tensor}.dims`))
    const number = await cursor.uint32(`${tensor}.type`)
    const storedType = TYPE_NAMES[number] ?? `type ${number}`
    infos.push({ name: tensor, dims, storedType, type: typeOf(storedType) })
    offsets.push(await cursor.uint64(`${tensor}.offset`))
  }
  const alignment = metadata.get('general.alignment') ?? GGUF_ALIGNMENT
  if (typeof alignment !== 'number' || alignment < 1 || alignment > 2 ** 20 || !Number.isInteger(alignment)) {
    return fail(name, 'general.alignment', `must be a whole number, but is ${String(alignment).slice(0, 40)}`)
  }
  const start = Math.ceil(cursor.position / alignment) * alignment
  const tensors = infos.map((info, index) => ({ ...info, offset: start + offsets[index]! }))
  checkPlaces(name, tensors, file.sizeBytes)
  return { metadata, tensors }
}

function typeOf(stored: string): BlockType | undefined {
  return Object.hasOwn(BLOCK_TYPES, stored) ? (stored as BlockType) : undefined
}

/** Inside the file, none over another; what cannot be read may be anywhere. */
function checkPlaces(file: string, tensors: readonly GgufTensor[], fileBytes: number): void {
  const names = new Set<string>()
  for (const { name } of tensors) {
    if (names.has(name)) fail(file, name, 'is listed twice')
    names.add(name)
  }
  let end = 0
  for (const { name, dims, type, offset } of tensors.toSorted((a, b) => a.offset - b.offset)) {
    if (offset < end) fail(file, `${name}.offset`, 'overlaps the tensor before it')
    end = offset
    if (!type) continue
    const { elements, bytes } = BLOCK_TYPES[type]
    const rows = dims[0] ?? 1
    if (rows % elements !== 0) {
      fail(file, `${name}.dims`, `begins with ${rows}, which blocks of ${elements} do not divide`)
    }
    end = offset + (countOf(dims) / elements) * bytes
    if (end > fileBytes) {
      fail(file, `${name}.offset`, `says it ends at byte ${end}, but the file has only ${fileBytes}`)
    }
  }
}

async function countIn(cursor: ByteCursor, file: string, field: string, most: number): Promise<number> {
  const count = await cursor.uint64(field)
  return count <= most ? count : fail(file, field, `is ${count}, more than any Gemma has`)
}

async function readValue(cursor: ByteCursor, file: string, key: string, type: number): Promise<GgufValue> {
  if (type !== GgufType.array) return readScalar(cursor, file, key, type)
  const itemType = await cursor.uint32(key)
  const length = await cursor.uint64(key)
  const itemBytes = MIN_BYTES[itemType] ?? fail(file, key, `is a list of the unknown type ${itemType}`)
  if (length * itemBytes > cursor.leftBytes)
    fail(file, key, `claims ${length} values, but the file ends before`)
  const values: (number | boolean | string)[] = []
  for (let i = 0; i < length; i++) values.push(await readScalar(cursor, file, key, itemType))
  return values as readonly string[]
}

/** Least bytes of one value by type; lists of lists are not known to any Gemma. */
const MIN_BYTES: Readonly<Record<number, number>> = {
  0: 1,
  1: 1,
  2: 2,
  3: 2,
  4: 4,
  5: 4,
  6: 4,
  7: 1,
  8: 8,
  10: 8,
  11: 8,
  12: 8,
}

async function readScalar(
  cursor: ByteCursor,
  file: string,
  key: string,
  type: number,
): Promise<number | boolean | string> {
  if (type === GgufType.string) return cursor.text(key)
  const size = MIN_BYTES[type] ?? fail(file, key, `has the unknown type ${type}`)
  const view = await cursor.view(size, key)
  switch (type) {
    case GgufType.uint8:
      return view.getUint8(0)
    case GgufType.int8:
      return view.getInt8(0)
    case GgufType.uint16:
      return view.getUint16(0, true)
    case GgufType.int16:
      return view.getInt16(0, true)
    case GgufType.uint32:
      return view.getUint32(0, true)
    case GgufType.int32:
      return view.getInt32(0, true)
    case GgufType.float32:
      return view.getFloat32(0, true)
    case GgufType.bool:
      return view.getUint8(0) !== 0
    case GgufType.uint64:
      return Number(view.getBigUint64(0, true))
    case GgufType.int64:
      return Number(view.getBigInt64(0, true))
    default:
      return view.getFloat64(0, true)
  }
}

function fail(file: string, field: string, problem: string): never {
  throw new FacetError('invalid_checkpoint', `${file}: ${field} ${problem}; download the file again.`, {
    field,
  })
}

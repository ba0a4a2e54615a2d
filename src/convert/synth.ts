/** Model directories of true shape with random weights, for measuring speed where no weights may be had. */
import { FacetError } from '../errors.ts'
import { configFrom } from '../gemma/config.ts'
import { toBfloat16 } from '../gemma/dtype.ts'
import { CONFIG_FILE, type Manifest } from '../gemma/manifest.ts'
import { publishedJson, type Shape } from '../gemma/published.ts'
import { readTokenizer, type TokenizerFile } from './checkpoint-tokenizer.ts'
import { appendRotary, checkAborted } from './data-file.ts'
import { BITS, layOut, type Piece, type WeightFormat } from './layout.ts'
import { writeModel } from './model-directory.ts'
import { type Disk, disk } from './output.ts'

const PUBLISHED = ['gemma-2b', 'gemma-7b', 'gemma-2-2b', 'gemma-3-270m', 'gemma-3-1b'] as const

export type SynthName = (typeof PUBLISHED)[number] | 'tiny'

/** As the model that ships with Facet, but with room for longer prompts. */
const TINY: Shape = {
  vocab_size: 8192,
  hidden_size: 384,
  intermediate_size: 1536,
  num_hidden_layers: 10,
  num_attention_heads: 6,
  num_key_value_heads: 1,
  head_dim: 64,
  max_position_embeddings: 8192,
}

export const SYNTH_NAMES: readonly SynthName[] = [...PUBLISHED, 'tiny']

export interface SynthOptions {
  /** The same seed gives the same bytes. A whole number, default 0. */
  readonly seed?: number
  /** Default int4. */
  readonly quant?: 'int4' | 'int8'
  /** A directory whose tokenizer.json or tokenizer.model is copied; one token for each of the vocabulary. */
  readonly tokenizer?: string
  /** Replace an existing model directory, once the new one is complete. */
  readonly force?: boolean
  readonly signal?: AbortSignal
  /** Of `model.onnx_data`. */
  readonly onProgress?: (progress: { readonly doneBytes: number; readonly totalBytes: number }) => void
}

/**
 * Writes the model directory `out` with the shape of `name` and random weights. Every matrix keeps the
 * size of what it multiplies, so that logits stay about as large as a trained model's.
 *
 * @throws FacetError invalid_request, io_failed, aborted; `out` is then as before
 */
export async function synthesize(
  name: SynthName,
  out: string,
  options: SynthOptions = {},
  target: Disk = disk,
): Promise<Manifest> {
  const { seed = 0, quant = 'int4', signal, onProgress } = options
  if (!Number.isSafeInteger(seed)) {
    throw new FacetError('invalid_request', `seed must be a whole number, but is ${seed}.`, { field: 'seed' })
  }
  const json = configJson(name)
  const config = configFrom(json)
  const copies = new Map([[CONFIG_FILE, new TextEncoder().encode(`${JSON.stringify(json, null, 2)}\n`)]])
  if (options.tokenizer !== undefined) {
    const { file, bytes } = await fittingTokenizer(options.tokenizer, name)
    copies.set(file, bytes)
  }
  const format: WeightFormat = { quant, dtype: 'f32' }
  const layout = layOut(config, format)
  const described = {
    id: name,
    description: `The shape of ${name} with random weights, seed ${seed}: for measuring speed only.`,
    ...(options.force !== undefined && { force: options.force }),
    ...(signal && { signal }),
  }
  return writeModel(target, { out, copies, config, format, layout }, described, async (file) => {
    const random = new RandomBits(seed)
    let doneBytes = 0
    const append = async (bytes: Uint8Array): Promise<void> => {
      checkAborted(signal)
      await file.append(bytes)
      doneBytes += bytes.length
      onProgress?.({ doneBytes, totalBytes: layout.sizeBytes })
    }
    for (const { tensor, pieces } of layout.tensors) {
      const [first, scales] = pieces as [Piece, Piece?]
      const columns = tensor.shape.at(-1)!
      await file.padTo(first.data.offset)
      if (!scales) {
        await append(random.norm(columns))
        continue
      }
      for (const bytes of random.codes(first, BITS[quant])) await append(bytes)
      await file.padTo(scales.data.offset)
      for (const bytes of random.scales(scales, columns, BITS[quant])) await append(bytes)
    }
    await appendRotary(file, config, layout)
    onProgress?.({ doneBytes: layout.sizeBytes, totalBytes: layout.sizeBytes })
  })
}

/** A whole config.json, as Gemma's checkpoints have it. */
function configJson(name: SynthName): Shape & Readonly<Record<string, unknown>> {
  return name === 'tiny' ? { ...publishedJson('gemma-2b'), ...TINY } : publishedJson(name)
}

async function fittingTokenizer(dir: string, name: SynthName): Promise<TokenizerFile> {
  const found = await readTokenizer(dir)
  const { vocabSize } = found.tokenizer
  const wanted = configJson(name).vocab_size
  if (vocabSize === wanted) return found
  const problem = `${dir} has a tokenizer of ${vocabSize} tokens, but ${name} has ${wanted}`
  throw new FacetError('invalid_request', `${problem}; name another directory.`, { field: 'tokenizer' })
}

/** Random words made at a time. */
const STEP = 1024 * 1024

/** Root mean square of a code in units of its scale: uniform from -most to most, 0 twice as likely. */
const CODE_SIZE = { 4: Math.sqrt(17.5), 8: Math.sqrt((2 * 127 * 128 * 255) / 6 / 256) } as const

/** Random weights from one stream of bits: xorshift with 32 bits of state (Marsaglia 2003). */
class RandomBits {
  #state: number
  readonly #words = new Uint32Array(STEP)

  constructor(seed: number) {
    // Neighbouring seeds start far apart; a state of 0 would stay 0.
    this.#state = Math.imul(seed | 0, 0x9e3779b1) ^ (seed / 2 ** 32) ^ 0x5bf03635 || 1
    this.#next(64)
  }

  /** So many random words; they are overwritten by the next. */
  #next(count: number): Uint32Array<ArrayBuffer> {
    const words = this.#words.subarray(0, count)
    let state = this.#state
    for (let i = 0; i < words.length; i++) {
      state ^= state << 13
      state ^= state >>> 17
      state ^= state << 5
      words[i] = state
    }
    this.#state = state
    return words
  }

  *#pieces(count: number): Generator<Uint32Array<ArrayBuffer>> {
    for (let left = count; left > 0; left -= STEP) yield this.#next(Math.min(left, STEP))
  }

  /**
   * Quantized weights. The lowest code has no counterpart of the other sign: it becomes the code of zero,
   * so that the mean weight is zero and activations do not drift.
   */
  *codes({ data }: Piece, bits: 4 | 8): Generator<Uint8Array> {
    for (const words of this.#pieces(data.length / 4)) {
      for (let i = 0; i < words.length; i++) {
        const word = words[i]!
        let any = word | (word >>> 2)
        any |= any >>> 1
        if (bits === 4) words[i] = word | ((~any & 0x11111111) << 3)
        else words[i] = word | ((~(any | (any >>> 4)) & 0x01010101) << 7)
      }
      yield toBytes(words)
    }
  }

  /** bfloat16 scales with which a product of `columns` inputs of size one is about one. */
  *scales({ data }: Piece, columns: number, bits: 4 | 8): Generator<Uint8Array> {
    const size = 1 / (CODE_SIZE[bits] * Math.sqrt(columns))
    for (const words of this.#pieces(data.length / 2)) {
      yield toBytes(Uint16Array.from(words, (word) => toBfloat16(size * (0.75 + word / 2 ** 33))))
    }
  }

  /** float32 norm weights, 1 already added: 0.9 to 1.1. */
  norm(columns: number): Uint8Array {
    return toBytes(Float32Array.from(this.#next(columns), (word) => 0.9 + (word / 2 ** 32) * 0.2))
  }
}

function toBytes({ buffer, byteOffset, byteLength }: Uint32Array | Uint16Array | Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength)
}

/** A Gemma of KerasHub as a checkpoint: `model.weights.h5`, turned to Hugging Face's names and order. */
import { FacetError } from '../errors.ts'
import type { GemmaConfig } from '../gemma/config.ts'
import { DTYPE_BYTES, toFloat32 } from '../gemma/dtype.ts'
import { CONFIG_FILE } from '../gemma/manifest.ts'
import { tensorShapes } from '../gemma/weights.ts'
import { type Checkpoint, type CheckpointTensor, checkRange, countOf } from './checkpoint.ts'
import { configOf, toJsonFile } from './checkpoint-files.ts'
import { partsOf } from './checkpoint-weights.ts'
import { type FileSource, readWhole, type SourceFile } from './file-source.ts'
import { type Hdf5Dataset, readHdf5 } from './hdf5.ts'
import type { ConvertInput } from './input.ts'

export const KERAS_FILE = 'model.weights.h5'
export const KERAS_VOCABULARY = 'assets/tokenizer/vocabulary.spm'

type Json = Readonly<Record<string, unknown>>

/** True for the `config.json` of a KerasHub preset. */
export function isKerasConfig(json: unknown): json is Json {
  return typeof json === 'object' && json !== null && 'class_name' in json && 'config' in json
}

/**
 * Opens a preset directory of KerasHub.
 *
 * @param json its parsed `config.json`
 * @throws FacetError invalid_checkpoint, unsupported
 */
export async function openKeras(source: FileSource, json: Json): Promise<ConvertInput> {
  const copies = new Map([[CONFIG_FILE, toJsonFile(toConfigJson(json))]])
  const config = configOf(copies, source.place)
  const vocabulary = await readWhole(source, KERAS_VOCABULARY)
  if (vocabulary) copies.set('tokenizer.model', vocabulary)
  const file = await source.open(KERAS_FILE)
  if (!file) {
    const problem = `${source.place} has no ${KERAS_FILE}; give the directory of a whole KerasHub preset.`
    throw new FacetError('invalid_checkpoint', problem, { field: KERAS_FILE })
  }
  try {
    const datasets = await readHdf5(KERAS_FILE, file)
    return { copies, config, checkpoint: new KerasCheckpoint(file, placesIn(datasets, config)) }
  } catch (error) {
    await file.close()
    throw error
  }
}

function toConfigJson({ class_name, config }: Json): Json {
  if (class_name !== 'GemmaBackbone') {
    const problem = `${CONFIG_FILE}: class_name is ${String(class_name).slice(0, 40)}, but only GemmaBackbone (Gemma 1 and 2) can be read; take the transformers variation.`
    throw new FacetError('unsupported', problem, { field: 'class_name' })
  }
  const keras = (config ?? {}) as Json
  const second = keras.use_post_attention_norm === true
  const { hidden_dim: hidden, num_query_heads: heads, head_dim: headDim } = keras
  // Queries are scaled by head_dim, or, as in Gemma 2 27B, by what each head has of the model's width.
  const scalar = keras.query_head_dim_normalize === false ? Number(hidden) / Number(heads) : headDim
  return {
    architectures: [second ? 'Gemma2ForCausalLM' : 'GemmaForCausalLM'],
    model_type: second ? 'gemma2' : 'gemma',
    vocab_size: keras.vocabulary_size,
    hidden_size: hidden,
    // Keras counts gate and up together.
    intermediate_size: Number(keras.intermediate_dim) / 2,
    num_hidden_layers: keras.num_layers,
    num_attention_heads: heads,
    num_key_value_heads: keras.num_key_value_heads,
    head_dim: headDim,
    max_position_embeddings: 8192,
    rms_norm_eps: keras.layer_norm_epsilon,
    rope_theta: 1e4,
    ...(second && {
      query_pre_attn_scalar: scalar,
      sliding_window: keras.sliding_window_size,
      attn_logit_softcapping: keras.attention_logit_soft_cap ?? null,
      final_logit_softcapping: keras.final_logit_soft_cap ?? null,
    }),
    pad_token_id: 0,
    bos_token_id: 2,
    eos_token_id: [1, 107],
    tie_word_embeddings: true,
  }
}

interface Place extends Hdf5Dataset {
  /** As Hugging Face has it. */
  readonly hfShape: readonly number[]
  /**
   * Keras stores kernels as (input, output), heads apart: rows of ours stand side by side in blocks of
   * so many. Undefined: in our order.
   */
  readonly rowsInBlock: number | undefined
}

const PARTS: Readonly<Record<string, string>> = {
  input_layernorm: 'pre_attention_norm',
  'self_attn.q_proj': 'attention/query_dense',
  'self_attn.k_proj': 'attention/key_dense',
  'self_attn.v_proj': 'attention/value_dense',
  'self_attn.o_proj': 'attention/output_dense',
  'mlp.gate_proj': 'gating_ffw',
  'mlp.up_proj': 'gating_ffw_2',
  'mlp.down_proj': 'ffw_linear',
  pre_feedforward_layernorm: 'pre_ffw_norm',
  post_feedforward_layernorm: 'post_ffw_norm',
}

/** Where Keras keeps a tensor: the end of its path. */
function pathOf(name: string, postNorms: boolean): string {
  if (name === 'model.embed_tokens.weight') return 'layers/reversible_embedding/vars/0'
  if (name === 'model.norm.weight') return 'layers/rms_normalization/vars/0'
  const [, layer, part = ''] = /^model\.layers\.(\d+)\.(.+)\.weight$/.exec(name) ?? []
  const after = postNorms ? 'post_attention_norm' : 'pre_ffw_norm'
  const own = part === 'post_attention_layernorm' ? after : PARTS[part]
  return `layers/gemma_decoder_block${layer === '0' ? '' : `_${layer}`}/${own}/vars/0`
}

function placesIn(datasets: readonly Hdf5Dataset[], config: GemmaConfig): Map<string, Place> {
  const byPath = new Map(datasets.map((dataset) => [dataset.path, dataset]))
  const places = new Map<string, Place>()
  for (const tensor of tensorShapes(config)) {
    for (const { name, shape } of partsOf(tensor, config)) {
      const path = pathOf(name, config.postNorms)
      // A whole task keeps its backbone one level further down.
      const dataset = byPath.get(path) ?? byPath.get(`backbone/${path}`)
      if (!dataset) continue
      const [rows = 0, columns = 0] = shape
      const perHead = /\.[qkv]_proj\./.test(name)
      const wanted = perHead
        ? [rows / config.headDim, columns, config.headDim]
        : tensor.role === 'linear'
          ? [columns, rows]
          : shape
      const flat = name.includes('.o_proj.')
        ? [dataset.shape.slice(0, -1).reduce((a, b) => a * b, 1), dataset.shape.at(-1)!]
        : dataset.shape
      if (flat.join() !== wanted.join()) {
        const problem = `${KERAS_FILE}: ${path} has the shape [${dataset.shape.join(', ')}], which config.json does not make it; take both from the same model.`
        throw new FacetError('invalid_checkpoint', problem, { field: path })
      }
      const rowsInBlock = perHead ? config.headDim : tensor.role === 'linear' ? rows : undefined
      places.set(name, { ...dataset, hfShape: shape, rowsInBlock })
    }
  }
  return places
}

class KerasCheckpoint implements Checkpoint {
  readonly tensors: ReadonlyMap<string, CheckpointTensor>
  readonly normsHoldOne = false
  readonly #file: SourceFile
  readonly #places: ReadonlyMap<string, Place>
  /** The block that was read last, as the next range lies in it too: one matrix at most. */
  #block: { readonly offset: number; readonly bytes: Uint8Array } = { offset: -1, bytes: new Uint8Array() }

  constructor(file: SourceFile, places: ReadonlyMap<string, Place>) {
    this.#file = file
    this.#places = places
    this.tensors = new Map(
      [...places].map(([name, { hfShape, dtype }]) => [
        name,
        { name, file: KERAS_FILE, shape: hfShape, storedDtype: dtype.toUpperCase(), dtype },
      ]),
    )
  }

  async read(name: string, start?: number, end?: number): Promise<Float32Array> {
    return toFloat32(await this.readBytes(name, start, end), this.#place(name).dtype)
  }

  async readBytes(name: string, start = 0, end?: number): Promise<Uint8Array> {
    const place = this.#place(name)
    const { offset, dtype, rowsInBlock, hfShape } = place
    const last = end ?? countOf(hfShape)
    checkRange(name, start, last, countOf(hfShape))
    const size = DTYPE_BYTES[dtype]
    const out = new Uint8Array((last - start) * size)
    if (rowsInBlock === undefined) {
      await this.#file.read(out, offset + start * size)
      return out
    }
    const columns = hfShape[1]!
    const perBlock = rowsInBlock * columns
    for (let at = start; at < last; ) {
      const first = Math.floor(at / perBlock) * perBlock
      const bytes = await this.#read(offset + first * size, perBlock * size)
      const stop = Math.min(last, first + perBlock)
      for (; at < stop; at++) {
        const row = Math.floor((at - first) / columns)
        const from = (((at - first) % columns) * rowsInBlock + row) * size
        for (let byte = 0; byte < size; byte++) out[(at - start) * size + byte] = bytes[from + byte]!
      }
    }
    return out
  }

  close(): Promise<void> {
    return this.#file.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #read(offset: number, length: number): Promise<Uint8Array> {
    if (this.#block.offset !== offset || this.#block.bytes.length !== length) {
      const bytes = new Uint8Array(length)
      await this.#file.read(bytes, offset)
      this.#block = { offset, bytes }
    }
    return this.#block.bytes
  }

  #place(name: string): Place {
    const place = this.#places.get(name)
    if (place) return place
    const problem = `${KERAS_FILE}: ${name} is missing; download the file again.`
    throw new FacetError('invalid_checkpoint', problem, { field: name })
  }
}

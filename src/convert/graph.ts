/** Gemma as an ONNX graph, with the inputs and outputs that transformers.js and onnxruntime-genai expect. */
import type { GemmaConfig } from '../gemma/config.ts'
import type { OnnxAttribute, OnnxInitializer, OnnxModel, OnnxNode, OnnxValue } from '../gemma/onnx.ts'
import { BITS, BLOCK_SIZE, type Layout, type WeightFormat } from './layout.ts'

/** onnxruntime's own operators: quantized weights, attention over a KV cache, fused norms. */
const CONTRIB = 'com.microsoft'
const EMBEDDING = 'model.embed_tokens.weight'

/**
 * MatMulNBits may round its activations to int8 (0 would be float32). onnxruntime's kernels for x86,
 * ARM and WebGPU are much faster so; its wasm has none for int4 or int8 and computes in float32 whatever this
 * says: the sample's logits are within 4e-5 of transformers' either way.
 */
const ACCURACY_LEVEL = 4

/**
 * The model: `input_ids` (batch, sequence), `attention_mask` (batch, past + sequence) of ones,
 * `num_logits_to_keep` (scalar; 0 keeps all) and `past_key_values.N.{key,value}`
 * (batch, kv_heads, past, head_dim) in; `logits` (batch, kept, vocab) and `present.N.{key,value}` out.
 * The residual stream is float32.
 */
export function buildModel(config: GemmaConfig, format: WeightFormat, layout: Layout): OnnxModel {
  const { heads, kvHeads, headDim, hiddenSize, vocabSize, rmsNormEps } = config
  const graph = new GraphBuilder(format)
  const [totalLength, lastPositions] = graph.lengths()

  const embedding = graph.embed(hiddenSize)
  let residual = graph.node('embedding', 'Mul', [
    embedding,
    graph.float('embedding_scale', config.embeddingScale),
  ])
  let normed = graph.node(
    'layers.0.input_norm',
    'SimplifiedLayerNormalization',
    [residual, norm(0, 'input_layernorm')],
    { epsilon: float(rmsNormEps), axis: int(-1) },
  )
  for (let layer = 0; layer < config.layers.length; layer++) {
    const name = (part: string) => `layers.${layer}.${part}`
    const linear = (part: string, input: string, out: number, into: number) =>
      graph.linear(name(part), input, `model.layers.${layer}.${part}.weight`, out, into)
    const qkv = linear('self_attn.qkv_proj', normed, (heads + 2 * kvHeads) * headDim, hiddenSize)
    const past = [`past_key_values.${layer}.key`, `past_key_values.${layer}.value`]
    const attention = graph.node(
      name('self_attn'),
      'GroupQueryAttention',
      [qkv, '', '', ...past, lastPositions, totalLength, layout.rotary[0].name, layout.rotary[1].name],
      {
        num_heads: int(heads),
        kv_num_heads: int(kvHeads),
        scale: float(config.attentionScale),
        do_rotary: int(1),
      },
      CONTRIB,
      [`present.${layer}.key`, `present.${layer}.value`],
    )
    const attended = linear('self_attn.o_proj', attention, hiddenSize, heads * headDim)
    ;[normed, residual] = graph.addAndNorm(
      name('post_attention_norm'),
      [residual, attended, norm(layer, 'post_attention_layernorm')],
      rmsNormEps,
    )
    const gate = linear('mlp.gate_proj', normed, config.intermediateSize, hiddenSize)
    const up = linear('mlp.up_proj', normed, config.intermediateSize, hiddenSize)
    const gelu = graph.node(name('mlp.gelu'), 'FastGelu', [gate], {}, CONTRIB)
    const gated = graph.node(name('mlp.gated'), 'Mul', [gelu, up])
    const down = linear('mlp.down_proj', gated, hiddenSize, config.intermediateSize)
    const last = layer + 1 === config.layers.length
    ;[normed, residual] = graph.addAndNorm(
      last ? 'final_norm' : `layers.${layer + 1}.input_norm`,
      [residual, down, last ? 'model.norm.weight' : norm(layer + 1, 'input_layernorm')],
      rmsNormEps,
    )
  }
  graph.linear('logits', graph.lastOf(normed), EMBEDDING, vocabSize, hiddenSize)

  const cache = (kind: string, length: string): OnnxValue[] =>
    config.layers.flatMap((_, layer) =>
      ['key', 'value'].map((part) => ({
        name: `${kind}.${layer}.${part}`,
        type: 'float32' as const,
        dims: ['batch_size', kvHeads, length, headDim],
      })),
    )
  return {
    irVersion: 10,
    producer: 'gemfacet',
    opsets: { '': 21, [CONTRIB]: 1 },
    name: config.architecture,
    nodes: graph.nodes,
    initializers: [...graph.constants, ...layout.tensors.flatMap(({ pieces }) => pieces), ...layout.rotary],
    inputs: [
      { name: 'input_ids', type: 'int64', dims: ['batch_size', 'sequence_length'] },
      { name: 'attention_mask', type: 'int64', dims: ['batch_size', 'total_sequence_length'] },
      { name: 'num_logits_to_keep', type: 'int64', dims: [] },
      ...cache('past_key_values', 'past_sequence_length'),
    ],
    outputs: [
      { name: 'logits', type: 'float32', dims: ['batch_size', 'num_logits', vocabSize] },
      ...cache('present', 'present_sequence_length'),
    ],
  }
}

function norm(layer: number, part: string): string {
  return `model.layers.${layer}.${part}.weight`
}

/** Adds nodes in order; every node's first output carries the node's name. */
class GraphBuilder {
  readonly nodes: OnnxNode[] = []
  readonly constants: OnnxInitializer[] = []
  readonly #format: WeightFormat
  /** Initializers that are already cast to float32. */
  readonly #casts = new Map<string, string>()

  constructor(format: WeightFormat) {
    this.#format = format
  }

  node(
    name: string,
    opType: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, OnnxAttribute>> = {},
    domain = '',
    moreOutputs: readonly string[] = [],
  ): string {
    this.nodes.push({ name, opType, domain, inputs, outputs: [name, ...moreOutputs], attributes })
    return name
  }

  float(name: string, value: number): string {
    return this.#constant({ name, type: 'float32', dims: [], data: toBytes(Float32Array.of(value)) })
  }

  /** A constant of one int64, as a scalar or as a list of one. */
  int64(name: string, value: bigint, dims: readonly number[] = []): string {
    return this.#constant({ name, type: 'int64', dims, data: toBytes(BigInt64Array.of(value)) })
  }

  #constant(constant: OnnxInitializer): string {
    this.constants.push(constant)
    return constant.name
  }

  /** Both lengths GroupQueryAttention wants, from the mask: all positions, and the last one of each row. */
  lengths(): [totalLength: string, lastPositions: string] {
    const one = this.int64('one', 1n)
    const count = this.node(
      'mask_count',
      'ReduceSum',
      ['attention_mask', this.int64('sequence_axis', 1n, [1])],
      {
        keepdims: int(0),
      },
    )
    const last = this.node('mask_last', 'Sub', [count, one])
    const shape = this.node('mask_shape', 'Shape', ['attention_mask'])
    const total = this.node('mask_length', 'Gather', [shape, one])
    return [
      this.node('total_length', 'Cast', [total], { to: int(INT32) }),
      this.node('last_positions', 'Cast', [last], { to: int(INT32) }),
    ]
  }

  /** Rows of the embedding for `input_ids`: (batch, sequence, hidden) in float32. */
  embed(hiddenSize: number): string {
    if (this.#format.quant === 'none') {
      const rows = this.node('embedding_rows', 'Gather', [EMBEDDING, 'input_ids'])
      return this.#format.dtype === 'f32'
        ? rows
        : this.node('embedding_float', 'Cast', [rows], { to: int(FLOAT) })
    }
    // The head multiplies by the same initializer, so it keeps MatMulNBits' shape (vocab, blocks, bytes).
    const scale = this.node('embedding_scales', 'Unsqueeze', [
      this.#float32(`${EMBEDDING}_scale`),
      this.int64('last_axis', -1n, [1]),
    ])
    const rows = this.node(
      'embedding_blocks',
      'GatherBlockQuantized',
      [`${EMBEDDING}_quant`, 'input_ids', scale],
      {
        bits: int(BITS[this.#format.quant]),
        block_size: int(BLOCK_SIZE),
        gather_axis: int(0),
        quantize_axis: int(2),
      },
      CONTRIB,
    )
    const shape = this.#constant({
      name: 'embedding_shape',
      type: 'int64',
      dims: [3],
      data: toBytes(BigInt64Array.of(0n, 0n, BigInt(hiddenSize))),
    })
    return this.node('embedding_rows', 'Reshape', [rows, shape])
  }

  /** x (.., into) times W (out, into) transposed: (.., out). */
  linear(name: string, input: string, weight: string, out: number, into: number): string {
    if (this.#format.quant === 'none') {
      const transposed = this.node(`${name}.transposed`, 'Transpose', [this.#float32(weight)], {
        perm: { type: 'ints', value: [1, 0] },
      })
      return this.node(name, 'MatMul', [input, transposed])
    }
    return this.node(
      name,
      'MatMulNBits',
      [input, `${weight}_quant`, this.#float32(`${weight}_scale`)],
      {
        K: int(into),
        N: int(out),
        bits: int(BITS[this.#format.quant]),
        block_size: int(BLOCK_SIZE),
        accuracy_level: int(ACCURACY_LEVEL),
      },
      CONTRIB,
    )
  }

  /** The new residual x + y, and its RMSNorm. */
  addAndNorm(
    name: string,
    inputs: readonly [x: string, y: string, weight: string],
    epsilon: number,
  ): [normed: string, residual: string] {
    const residual = `${name}.residual`
    const attributes = { epsilon: float(epsilon) }
    this.node(name, 'SkipSimplifiedLayerNormalization', inputs, attributes, CONTRIB, ['', '', residual])
    return [name, residual]
  }

  /** The last `num_logits_to_keep` positions; 0 keeps all, as in transformers. */
  lastOf(input: string): string {
    const axis = 'sequence_axis'
    const start = this.node('kept_start', 'Neg', [
      this.node('kept_count', 'Unsqueeze', ['num_logits_to_keep', this.int64('first_axis', 0n, [1])]),
    ])
    return this.node('kept', 'Slice', [input, start, this.int64('sequence_end', 2n ** 63n - 1n, [1]), axis])
  }

  #float32(initializer: string): string {
    if (this.#format.quant === 'none' && this.#format.dtype === 'f32') return initializer
    const known = this.#casts.get(initializer)
    if (known) return known
    const cast = this.node(`${initializer}.float`, 'Cast', [initializer], { to: int(FLOAT) })
    this.#casts.set(initializer, cast)
    return cast
  }
}

/** TensorProto.DataType, as Cast's attribute wants it. */
const FLOAT = 1
const INT32 = 6

function int(value: number): OnnxAttribute {
  return { type: 'int', value }
}

function float(value: number): OnnxAttribute {
  return { type: 'float', value }
}

function toBytes({ buffer }: Float32Array | BigInt64Array): Uint8Array {
  return new Uint8Array(buffer)
}

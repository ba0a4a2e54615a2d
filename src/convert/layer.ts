/**
 * One decoder layer over whole sequences, its weights asked for as they are needed: for a model that is
 * larger than memory. Float32 throughout.
 *
 * Letters in shapes: n tokens of all sequences, d hiddenSize, h heads, g kvHeads, e headDim.
 */
import type { GemmaConfig } from '../gemma/config.ts'
import { frequencies } from '../gemma/rope.ts'

export interface LayerWeights {
  /** An RMSNorm's weights, 1 added, for example of `input_layernorm`. */
  norm(part: string): Promise<Float32Array>
  /**
   * x (n, k) @ W (m, k)^T for one of the matrices, for example `mlp.up_proj`, some columns at a time: visits
   * y (n, c), the columns from `first` on of the product.
   */
  multiply(part: string, x: Float32Array, visit: (y: Float32Array, first: number) => void): Promise<void>
}

/**
 * Runs layer `index` on x (n, d), in place. Asks for the weights in the order of tensorShapes.
 *
 * @param lengths tokens of each sequence, one after the other in x
 */
export async function runLayer(
  config: GemmaConfig,
  index: number,
  lengths: readonly number[],
  x: Float32Array,
  weights: LayerWeights,
): Promise<void> {
  const { hiddenSize, intermediateSize, rmsNormEps: eps } = config
  const n = x.length / hiddenSize
  const second = await runAttention(config, index, lengths, x, weights)
  const mlpNorm = config.postNorms ? await weights.norm('pre_feedforward_layernorm') : second
  const hidden = await gated(rmsNorm(x, mlpNorm, eps), n, intermediateSize, weights)
  const mixed = await product(weights, 'mlp.down_proj', hidden, n, hiddenSize)
  add(x, config.postNorms ? rmsNorm(mixed, await weights.norm('post_feedforward_layernorm'), eps) : mixed)
}

/** Adds what attention says. Returns the norm after it, which without post-norms is the one before the MLP. */
async function runAttention(
  config: GemmaConfig,
  index: number,
  lengths: readonly number[],
  x: Float32Array,
  weights: LayerWeights,
): Promise<Float32Array> {
  const { heads, kvHeads, headDim, hiddenSize, rmsNormEps: eps } = config
  const n = x.length / hiddenSize
  const normed = rmsNorm(x, await weights.norm('input_layernorm'), eps)
  const qkv = await product(weights, 'self_attn.qkv_proj', normed, n, (heads + 2 * kvHeads) * headDim)
  if (config.qkNorm) {
    normHeads(config, qkv, await weights.norm('self_attn.q_norm'), await weights.norm('self_attn.k_norm'))
  }
  const heard = attend(config, index, lengths, qkv)
  const attended = await product(weights, 'self_attn.o_proj', heard, n, hiddenSize)
  const second = await weights.norm('post_attention_layernorm')
  add(x, config.postNorms ? rmsNorm(attended, second, eps) : attended)
  return second
}

/** gelu(x @ gate^T) * (x @ up^T) -> (n, width): the widest of activations, of which one at a time is held. */
async function gated(
  x: Float32Array,
  n: number,
  width: number,
  weights: LayerWeights,
): Promise<Float32Array> {
  const gate = await product(weights, 'mlp.gate_proj', x, n, width)
  await weights.multiply('mlp.up_proj', x, (up, first) => {
    const columns = up.length / n
    for (let row = 0; row < n; row++) {
      const [from, to] = [row * columns, row * width + first]
      for (let i = 0; i < columns; i++) gate[to + i] = gelu(gate[to + i]!) * up[from + i]!
    }
  })
  return gate
}

/** x (n, k) @ W (width, k)^T -> (n, width) */
async function product(
  weights: LayerWeights,
  part: string,
  x: Float32Array,
  n: number,
  width: number,
): Promise<Float32Array> {
  const y = new Float32Array(n * width)
  await weights.multiply(part, x, (some, first) => {
    const columns = some.length / n
    for (let row = 0; row < n; row++) {
      y.set(some.subarray(row * columns, (row + 1) * columns), row * width + first)
    }
  })
  return y
}

/** x * rsqrt(mean(x^2) + eps) * w over each row of w's length. */
export function rmsNorm(x: Float32Array, w: Float32Array, eps: number): Float32Array {
  const y = new Float32Array(x.length)
  for (let at = 0; at < x.length; at += w.length) {
    let squares = 0
    for (let j = 0; j < w.length; j++) squares += x[at + j]! * x[at + j]!
    const scale = 1 / Math.sqrt(squares / w.length + eps)
    for (let j = 0; j < w.length; j++) y[at + j] = x[at + j]! * scale * w[j]!
  }
  return y
}

export function softcap(x: number, cap: number | undefined): number {
  return cap === undefined ? x : cap * Math.tanh(x / cap)
}

/** Norms every query and key, in place. */
function normHeads(config: GemmaConfig, qkv: Float32Array, qNorm: Float32Array, kNorm: Float32Array): void {
  const { heads, kvHeads, headDim, rmsNormEps } = config
  const width = (heads + 2 * kvHeads) * headDim
  for (let row = 0; row < qkv.length; row += width) {
    const queries = qkv.subarray(row, row + heads * headDim)
    queries.set(rmsNorm(queries, qNorm, rmsNormEps))
    const keys = qkv.subarray(row + heads * headDim, row + (heads + kvHeads) * headDim)
    keys.set(rmsNorm(keys, kNorm, rmsNormEps))
  }
}

/** Causal attention of each sequence by itself. qkv (n, (h + 2g) e) is turned in place -> (n, h e) */
function attend(
  config: GemmaConfig,
  index: number,
  lengths: readonly number[],
  qkv: Float32Array,
): Float32Array {
  const { heads, kvHeads, headDim, attentionScale, attentionSoftcap } = config
  const layer = config.layers[index]!
  const turns = frequencies(layer, headDim)
  const width = (heads + 2 * kvHeads) * headDim
  const out = new Float32Array((qkv.length / width) * heads * headDim)
  let first = 0
  for (const length of lengths) {
    for (let t = 0; t < length; t++) {
      const at = (first + t) * width
      rotate(qkv.subarray(at, at + (heads + kvHeads) * headDim), t, turns)
    }
    for (let t = 0; t < length; t++) {
      const from = layer.window === undefined ? 0 : Math.max(0, t - layer.window + 1)
      for (let head = 0; head < heads; head++) {
        const group = Math.floor(head / (heads / kvHeads))
        const query = (first + t) * width + head * headDim
        const key = (heads + group) * headDim
        const weights = new Float64Array(t - from + 1)
        for (let s = from; s <= t; s++) {
          const other = (first + s) * width + key
          let dot = 0
          for (let j = 0; j < headDim; j++) dot += qkv[query + j]! * qkv[other + j]!
          weights[s - from] = softcap(dot * attentionScale, attentionSoftcap)
        }
        softmax(weights)
        const to = ((first + t) * heads + head) * headDim
        for (let s = from; s <= t; s++) {
          const value = (first + s) * width + key + kvHeads * headDim
          const weight = weights[s - from]!
          for (let j = 0; j < headDim; j++) out[to + j]! += weight * qkv[value + j]!
        }
      }
    }
    first += length
  }
  return out
}

/** Turns the pairs (i, i + e/2) of every vector (e) in place. */
function rotate(vectors: Float32Array, position: number, turns: Float32Array): void {
  const half = turns.length
  for (let i = 0; i < half; i++) {
    const angle = Math.fround(position * turns[i]!)
    const cos = Math.cos(angle)
    const sin = Math.sin(angle)
    for (let at = i; at < vectors.length; at += 2 * half) {
      const a = vectors[at]!
      const b = vectors[at + half]!
      vectors[at] = a * cos - b * sin
      vectors[at + half] = b * cos + a * sin
    }
  }
}

function softmax(x: Float64Array): void {
  const max = x.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY)
  let sum = 0
  for (let i = 0; i < x.length; i++) {
    x[i] = Math.exp(x[i]! - max)
    sum += x[i]!
  }
  for (let i = 0; i < x.length; i++) x[i]! /= sum
}

/** The tanh form. */
function gelu(x: number): number {
  return 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x)))
}

/** x += y */
function add(x: Float32Array, y: Float32Array): void {
  for (let i = 0; i < x.length; i++) x[i]! += y[i]!
}

/** What distinguishes one Gemma from another, read from a checkpoint's `config.json`. */
import { FacetError } from '../errors.ts'

export type Architecture = 'gemma' | 'gemma2' | 'gemma3_text'

/** One decoder layer, as far as layers differ. */
export interface LayerConfig {
  /** Sliding window: position p sees p - window < k <= p. Undefined: the whole context. */
  readonly window?: number
  readonly ropeTheta: number
  /** Positions are divided by this before the rotation (linear RoPE scaling). */
  readonly ropeFactor: number
}

/** Shapes and constants of one model. Sizes are in elements. */
export interface GemmaConfig {
  readonly architecture: Architecture
  readonly vocabSize: number
  /** d_model. */
  readonly hiddenSize: number
  readonly intermediateSize: number
  readonly heads: number
  readonly kvHeads: number
  readonly headDim: number
  readonly contextTokens: number
  readonly layers: readonly LayerConfig[]
  readonly rmsNormEps: number
  /** Multiplies the embedding: sqrt(d_model), in float32, unrounded. */
  readonly embeddingScale: number
  /** Multiplies q . k. */
  readonly attentionScale: number
  /** x -> cap * tanh(x / cap), before the softmax (Gemma 2). */
  readonly attentionSoftcap?: number
  /** The same on the final logits (Gemma 2). */
  readonly logitSoftcap?: number
  /** Norms after attention and MLP as well as before (Gemma 2 and 3). */
  readonly postNorms: boolean
  /** RMSNorm over each head of q and k (Gemma 3). */
  readonly qkNorm: boolean
  readonly padId: number
  readonly bosId: number
  /** Ids that end an answer: eos and end_of_turn, as config and generation config name them. */
  readonly eosIds: readonly number[]
}

type Json = Readonly<Record<string, unknown>>

const ARCHITECTURES: Readonly<Record<string, Architecture>> = {
  GemmaForCausalLM: 'gemma',
  Gemma2ForCausalLM: 'gemma2',
  Gemma3ForCausalLM: 'gemma3_text',
}

/** Layers of Gemma 3 repeat five local, one global, unless the config lists them. */
const GEMMA3_PATTERN = 6

/** Early configs leave out what every Gemma of their time had. */
const DEFAULT_WINDOW: Readonly<Partial<Record<Architecture, number>>> = { gemma2: 4096, gemma3_text: 512 }

/**
 * Reads the parsed `config.json` of a Hugging Face checkpoint (Gemma 1, 2 and 3 text).
 *
 * @param generation parsed `generation_config.json`, whose `eos_token_id` also names end_of_turn
 * @throws FacetError invalid_checkpoint, with the field that is missing or out of range
 */
export function configFrom(json: unknown, generation?: unknown): GemmaConfig {
  const top = object(json, 'config.json')
  const architecture = readArchitecture(top)
  const hiddenSize = positive(top, 'hidden_size')
  const heads = positive(top, 'num_attention_heads')
  const kvHeads = positive(top, 'num_key_value_heads', heads)
  const headDim = positive(top, 'head_dim', 256)
  if (heads % kvHeads !== 0) {
    fail('num_key_value_heads', `must divide num_attention_heads (${heads}), but is ${kvHeads}`)
  }
  if (headDim % 2 !== 0) fail('head_dim', `must be even for rotary positions, but is ${headDim}`)
  const modern = architecture !== 'gemma'
  const attentionSoftcap = softcap(top, 'attn_logit_softcapping', architecture === 'gemma2' ? 50 : null)
  const logitSoftcap = softcap(top, 'final_logit_softcapping', architecture === 'gemma2' ? 30 : null)
  const eosIds = new Set([...ids(top, 'eos_token_id', 1), ...ids(objectOr(generation), 'eos_token_id')])
  return {
    architecture,
    vocabSize: positive(top, 'vocab_size'),
    hiddenSize,
    intermediateSize: positive(top, 'intermediate_size'),
    heads,
    kvHeads,
    headDim,
    contextTokens: positive(top, 'max_position_embeddings', 8192),
    layers: readLayers(top, architecture),
    rmsNormEps: number(top, 'rms_norm_eps', 1e-6),
    embeddingScale: Math.fround(Math.sqrt(hiddenSize)),
    attentionScale: (modern ? positive(top, 'query_pre_attn_scalar', headDim) : headDim) ** -0.5,
    ...(attentionSoftcap !== undefined && { attentionSoftcap }),
    ...(logitSoftcap !== undefined && { logitSoftcap }),
    postNorms: modern,
    qkNorm: architecture === 'gemma3_text',
    padId: ids(top, 'pad_token_id', 0)[0] ?? 0,
    bosId: ids(top, 'bos_token_id', 2)[0] ?? 2,
    eosIds: [...eosIds],
  }
}

function readArchitecture(json: Json): Architecture {
  const listed = json.architectures
  const name = Array.isArray(listed) ? listed[0] : undefined
  const known = typeof name === 'string' ? ARCHITECTURES[name] : undefined
  if (known) return known
  return fail(
    'architectures',
    `must name one of ${Object.keys(ARCHITECTURES).join(', ')}, but is ${JSON.stringify(listed)}`,
  )
}

function readLayers(json: Json, architecture: Architecture): LayerConfig[] {
  const count = positive(json, 'num_hidden_layers')
  if (count > 1024) fail('num_hidden_layers', `must be at most 1024, but is ${count}`)
  const types = json.layer_types
  if (types !== undefined && types !== null && (!Array.isArray(types) || types.length !== count)) {
    fail('layer_types', `must list ${count} layers, as num_hidden_layers says`)
  }
  const window = positive(json, 'sliding_window', DEFAULT_WINDOW[architecture] ?? 4096)
  const period = architecture === 'gemma2' ? 2 : positive(json, '_sliding_window_pattern', GEMMA3_PATTERN)
  return Array.from({ length: count }, (_, layer) => {
    const local =
      architecture !== 'gemma' &&
      (Array.isArray(types) ? types[layer] === 'sliding_attention' : (layer + 1) % period !== 0)
    return { ...(local && { window }), ...readRope(json, architecture, local) }
  })
}

/** Both spellings: `rope_parameters` (transformers 5) and the flat fields before it. */
function readRope(
  json: Json,
  architecture: Architecture,
  local: boolean,
): Pick<LayerConfig, 'ropeTheta' | 'ropeFactor'> {
  const parameters = objectOr(json.rope_parameters)
  const kind = local ? 'sliding_attention' : 'full_attention'
  const own = kind in parameters ? objectOr(parameters[kind]) : parameters
  const legacy = objectOr(json.rope_scaling)
  const type = own.rope_type ?? (local ? undefined : (legacy.rope_type ?? legacy.type)) ?? 'default'
  if (type !== 'default' && type !== 'linear') {
    fail('rope_parameters.rope_type', `must be default or linear, but is ${JSON.stringify(type)}`)
  }
  const gemma3 = architecture === 'gemma3_text'
  const flat =
    gemma3 && local
      ? number(json, 'rope_local_base_freq', 1e4)
      : number(json, 'rope_theta', gemma3 ? 1e6 : 1e4)
  const factor =
    type === 'linear' ? ('factor' in own ? number(own, 'factor') : number(legacy, 'factor', 1)) : 1
  return { ropeTheta: number(own, 'rope_theta', flat), ropeFactor: factor }
}

function softcap(json: Json, field: string, fallback: number | null): number | undefined {
  const value = json[field] === undefined ? fallback : json[field]
  return value === null ? undefined : number({ [field]: value }, field)
}

function ids(json: Json, field: string, fallback?: number): number[] {
  const value = json[field] ?? fallback
  if (value === undefined) return []
  const list: unknown[] = Array.isArray(value) ? value : [value]
  return list.map((id) =>
    typeof id === 'number' && Number.isInteger(id) && id >= 0
      ? id
      : fail(field, `must be a token id or a list of them, but is ${JSON.stringify(value)}`),
  )
}

function positive(json: Json, field: string, fallback?: number): number {
  const value = number(json, field, fallback)
  if (Number.isInteger(value) && value <= 2 ** 31) return value
  return fail(field, `must be a whole number, but is ${value}`)
}

function number(json: Json, field: string, fallback?: number): number {
  const value = json[field] ?? fallback
  if (typeof value === 'number' && Number.isFinite(value) && value > 0) return value
  return fail(
    field,
    value === undefined ? 'is missing' : `must be a positive number, but is ${JSON.stringify(value)}`,
  )
}

function object(value: unknown, what: string): Json {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Json
  throw new FacetError('invalid_checkpoint', `${what} must be a JSON object; download the checkpoint again.`)
}

function objectOr(value: unknown): Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {}
}

function fail(field: string, problem: string): never {
  throw new FacetError('invalid_checkpoint', `config.json: ${field} ${problem}.`, { field })
}

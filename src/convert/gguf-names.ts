/** How GGUF calls what Hugging Face calls otherwise: a Gemma's configuration and its tensors. */
import { FacetError } from '../errors.ts'
import type { Architecture, GemmaConfig } from '../gemma/config.ts'
import type { GgufHeader, GgufValue } from './gguf-header.ts'

/** GGUF's `general.architecture`, by ours. */
const GGUF_ARCHITECTURES: Readonly<Record<Architecture, string>> = {
  gemma: 'gemma',
  gemma2: 'gemma2',
  gemma3_text: 'gemma3',
}

const CLASSES: Readonly<Record<Architecture, string>> = {
  gemma: 'GemmaForCausalLM',
  gemma2: 'Gemma2ForCausalLM',
  gemma3_text: 'Gemma3ForCausalLM',
}

/** Parts of a layer whose names are the same in all architectures. */
const PARTS: Readonly<Record<string, string>> = {
  input_layernorm: 'attn_norm',
  'self_attn.q_proj': 'attn_q',
  'self_attn.k_proj': 'attn_k',
  'self_attn.v_proj': 'attn_v',
  'self_attn.o_proj': 'attn_output',
  'self_attn.q_norm': 'attn_q_norm',
  'self_attn.k_norm': 'attn_k_norm',
  'mlp.gate_proj': 'ffn_gate',
  'mlp.up_proj': 'ffn_up',
  'mlp.down_proj': 'ffn_down',
  pre_feedforward_layernorm: 'ffn_norm',
  post_feedforward_layernorm: 'post_ffw_norm',
}

/**
 * @param name a tensor of a Hugging Face checkpoint
 * @param postNorms Gemma 1 calls the norm before its MLP what later ones call the norm after attention
 */
export function toGgufName(name: string, postNorms: boolean): string {
  if (name === 'model.embed_tokens.weight') return 'token_embd.weight'
  if (name === 'model.norm.weight') return 'output_norm.weight'
  const [, layer, part] = /^model\.layers\.(\d+)\.(.+)\.weight$/.exec(name) ?? []
  const own = part === 'post_attention_layernorm' ? postNormName(postNorms) : PARTS[part ?? '']
  if (layer === undefined || own === undefined) throw new RangeError(`GGUF has no name for ${name}.`)
  return `blk.${layer}.${own}.weight`
}

function postNormName(postNorms: boolean): string {
  return postNorms ? 'post_attention_norm' : 'ffn_norm'
}

/** GGUF leaves out what llama.cpp computes from the size: the only two models whose scale is not head_dim's. */
const WIDE: Readonly<Partial<Record<Architecture, number>>> = { gemma2: 46, gemma3_text: 62 }

/**
 * The `config.json` a Hugging Face checkpoint of the same model has, as far as Facet reads it.
 *
 * @param file for messages
 * @throws FacetError invalid_checkpoint, unsupported
 */
export function toConfigJson(file: string, { metadata, tensors }: GgufHeader): Record<string, unknown> {
  const named = metadata.get('general.architecture')
  const found = Object.entries(GGUF_ARCHITECTURES).find(([, name]) => name === named)
  if (!found) {
    const problem = `${file}: general.architecture is ${show(named)}, and only ${Object.values(GGUF_ARCHITECTURES).join(', ')} can be read.`
    throw new FacetError('unsupported', problem, { field: 'general.architecture' })
  }
  const architecture = found[0] as Architecture
  const number = (key: string): number | undefined => {
    const value = metadata.get(key.startsWith('tokenizer') ? key : `${named}.${key}`)
    if (value === undefined || typeof value === 'number') return value
    return fail(file, key, `must be a number, but is ${show(value)}`)
  }
  const needed = (key: string): number => number(key) ?? fail(file, `${named}.${key}`, 'is missing')
  const embedding = tensors.find(({ name }) => name === 'token_embd.weight')
  if (embedding?.dims.length !== 2) return fail(file, 'token_embd.weight', 'is missing or no matrix')
  const layers = needed('block_count')
  const hidden = needed('embedding_length')
  const heads = needed('attention.head_count')
  const headDim = number('attention.key_length') ?? hidden / heads
  const scaling = metadata.get(`${named}.rope.scaling.type`)
  const eos = number('tokenizer.ggml.eos_token_id') ?? 1
  const ropeTheta = number('rope.freq_base') ?? (architecture === 'gemma3_text' ? 1e6 : 1e4)
  return {
    architectures: [CLASSES[architecture]],
    model_type: architecture,
    vocab_size: embedding.dims[1],
    hidden_size: hidden,
    intermediate_size: needed('feed_forward_length'),
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: number('attention.head_count_kv') ?? heads,
    head_dim: headDim,
    max_position_embeddings: needed('context_length'),
    rms_norm_eps: number('attention.layer_norm_rms_epsilon') ?? 1e-6,
    rope_theta: ropeTheta,
    ...(architecture === 'gemma3_text' && {
      rope_local_base_freq: number('rope.freq_base_swa') ?? 1e4,
      ...(scaling === 'linear' && {
        rope_scaling: { rope_type: 'linear', factor: needed('rope.scaling.factor') },
      }),
    }),
    ...(architecture !== 'gemma' && {
      query_pre_attn_scalar: layers === WIDE[architecture] ? hidden / heads : headDim,
      sliding_window: number('attention.sliding_window'),
    }),
    ...(architecture === 'gemma2' && {
      attn_logit_softcapping: number('attn_logit_softcapping') ?? 50,
      final_logit_softcapping: number('final_logit_softcapping') ?? 30,
    }),
    pad_token_id: number('tokenizer.ggml.padding_token_id') ?? 0,
    bos_token_id: number('tokenizer.ggml.bos_token_id') ?? 2,
    eos_token_id: [...new Set([eos, number('tokenizer.ggml.eot_token_id') ?? eos])],
    tie_word_embeddings: true,
  }
}

/** The metadata that llama.cpp reads of such a model, the tokenizer's apart. */
export function toMetadata(config: GemmaConfig, name: string): Map<string, GgufNumber | string> {
  const { architecture } = config
  const prefix = GGUF_ARCHITECTURES[architecture]
  const global = config.layers.find(({ window }) => window === undefined) ?? config.layers[0]!
  const local = config.layers.find(({ window }) => window !== undefined)
  const pairs: Record<string, GgufNumber> = {
    context_length: { uint32: config.contextTokens },
    embedding_length: { uint32: config.hiddenSize },
    block_count: { uint32: config.layers.length },
    feed_forward_length: { uint32: config.intermediateSize },
    'attention.head_count': { uint32: config.heads },
    'attention.head_count_kv': { uint32: config.kvHeads },
    'attention.key_length': { uint32: config.headDim },
    'attention.value_length': { uint32: config.headDim },
    'attention.layer_norm_rms_epsilon': { float32: config.rmsNormEps },
    'rope.freq_base': { float32: global.ropeTheta },
    ...(global.ropeFactor !== 1 && { 'rope.scaling.factor': { float32: global.ropeFactor } }),
    ...(local && { 'attention.sliding_window': { uint32: local.window! } }),
    ...(config.attentionSoftcap && { attn_logit_softcapping: { float32: config.attentionSoftcap } }),
    ...(config.logitSoftcap && { final_logit_softcapping: { float32: config.logitSoftcap } }),
  }
  const named: [string, GgufNumber | string][] = [
    ['general.architecture', prefix],
    ['general.name', name],
    ...Object.entries(pairs).map(([key, value]): [string, GgufNumber] => [`${prefix}.${key}`, value]),
  ]
  if (global.ropeFactor !== 1) named.push([`${prefix}.rope.scaling.type`, 'linear'])
  return new Map(named)
}

/** A number with the type it is written in. */
export type GgufNumber = { readonly uint32: number } | { readonly float32: number }

function show(value: GgufValue | undefined): string {
  return String(JSON.stringify(value)).slice(0, 60)
}

function fail(file: string, field: string, problem: string): never {
  throw new FacetError('invalid_checkpoint', `${file}: ${field} ${problem}; download the file again.`, {
    field,
  })
}

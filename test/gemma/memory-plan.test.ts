import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { configFrom, type GemmaConfig } from '../../src/gemma/config.ts'
import { countParameters, formatBytes, planMemory } from '../../src/gemma/memory-plan.ts'

const GEMMA_2B = {
  architectures: ['GemmaForCausalLM'],
  vocab_size: 256_000,
  max_position_embeddings: 8192,
  hidden_size: 2048,
  intermediate_size: 16_384,
  num_hidden_layers: 18,
  num_attention_heads: 8,
  num_key_value_heads: 1,
  head_dim: 256,
}
const GEMMA_7B = {
  ...GEMMA_2B,
  hidden_size: 3072,
  intermediate_size: 24_576,
  num_hidden_layers: 28,
  num_attention_heads: 16,
  num_key_value_heads: 16,
}
const GEMMA3_270M = {
  architectures: ['Gemma3ForCausalLM'],
  vocab_size: 262_144,
  max_position_embeddings: 32_768,
  hidden_size: 640,
  intermediate_size: 2048,
  num_hidden_layers: 18,
  sliding_window: 512,
  num_attention_heads: 4,
  num_key_value_heads: 1,
  head_dim: 256,
  query_pre_attn_scalar: 256,
}
const INT4 = { bits: 4, blockSize: 32 } as const
const b2 = configFrom(GEMMA_2B)
const b7 = configFrom(GEMMA_7B)

const fixture = (name: string): GemmaConfig =>
  configFrom(JSON.parse(readFileSync(new URL(`../fixtures/${name}/config.json`, import.meta.url), 'utf8')))

describe('parameters', () => {
  it('are the Gemma report\u2019s, whose vocabulary has 128 entries more than the checkpoints', () => {
    const reported = { vocab_size: 256_128 }
    expect(countParameters(configFrom({ ...GEMMA_2B, ...reported }))).toEqual({
      embedding: 524_550_144,
      other: 1_981_884_416,
      total: 2_506_434_560,
    })
    expect(countParameters(configFrom({ ...GEMMA_7B, ...reported }))).toEqual({
      embedding: 786_825_216,
      other: 7_751_248_896,
      total: 8_538_074_112,
    })
    expect(countParameters(b2).total).toBe(2_506_172_416)
    expect(countParameters(b7).total).toBe(8_537_680_896)
  })

  it('are 268 million in Gemma 3 270M', () => {
    expect(countParameters(configFrom(GEMMA3_270M)).total / 1e6).toBeCloseTo(268, 0)
  })
})

describe('the KV cache', () => {
  it('takes 18 KiB a token in the 2B, 448 KiB and 3.5 GiB a context in the 7B', () => {
    const plan2 = planMemory(b2, { quantization: null })
    const plan7 = planMemory(b7, { quantization: null })
    expect(formatBytes(plan2.kv.perToken, 1024)).toBe('18 KiB')
    expect(formatBytes(plan7.kv.perToken, 1024)).toBe('448 KiB')
    expect(plan7.kv.perSequence).toBe(448 * 1024 * 8192)
    expect(formatBytes(plan7.kv.total, 1024)).toBe('3.5 GiB')
  })

  it('grows with sequences, context and element size', () => {
    const one = planMemory(b2, { quantization: INT4, contextTokens: 1000 }).kv
    const more = planMemory(b2, {
      quantization: INT4,
      contextTokens: 1000,
      sequences: 6,
      kvElementBytes: 4,
    }).kv
    expect(one.total).toBe(18 * 1024 * 1000)
    expect(more.perSequence).toBe(2 * one.perSequence)
    expect(more.total).toBe(12 * one.total)
  })

  it('holds only the window in layers that see no more', () => {
    const config = configFrom(GEMMA3_270M)
    const { kv } = planMemory(config, { quantization: null })
    // 3 of 18 layers see the whole context.
    expect(kv.perSequence).toBe(2 * 256 * 2 * (3 * 32_768 + 15 * 512))
    expect(planMemory(config, { quantization: null, contextTokens: 100 }).kv.perSequence).toBe(
      100 * kv.perToken,
    )
  })
})

describe('the weights', () => {
  it('are 1.41 GB for the 2B in int4, blocks of 32 with bfloat16 scales', () => {
    const { weights } = planMemory(b2, { quantization: INT4 })
    expect(formatBytes(weights.total)).toBe('1.41 GB')
    expect(weights.embedding).toBe((256_000 * 2048 * 9) / 16)
    expect(weights.norms).toBe((18 * 2 + 1) * 2048 * 4)
    expect(weights.embedding + weights.layers + weights.norms).toBe(weights.total)
  })

  it('take two bytes each without quantization, or four, or one and a scale', () => {
    const { total } = countParameters(b2)
    const norms = 37 * 2048
    const bytes = (options: Parameters<typeof planMemory>[1]) => planMemory(b2, options).weights.total
    expect(bytes({ quantization: null })).toBe(2 * total + 2 * norms)
    expect(bytes({ quantization: null, weightBytes: 4 })).toBe(4 * total)
    expect(bytes({ quantization: { bits: 8, blockSize: 32 } })).toBe((total - norms) * (34 / 32) + 4 * norms)
  })

  it('fill the last block of a row that ends within it', () => {
    const config = fixture('gemma-mqa')
    const whole = planMemory(config, { quantization: { bits: 4, blockSize: config.hiddenSize } }).weights
    const wider = planMemory(config, { quantization: { bits: 4, blockSize: config.hiddenSize + 1 } }).weights
    expect(whole.embedding).toBe(config.vocabSize * (config.hiddenSize / 2 + 2))
    expect(wider.embedding).toBe(config.vocabSize * ((config.hiddenSize + 1) / 2 + 2))
  })

  it('count the extra norms of Gemma 2 and 3', () => {
    for (const name of ['gemma2', 'gemma3']) {
      const config = fixture(name)
      const layers = config.layers.length
      const heads = config.qkNorm ? 2 * layers * config.headDim : 0
      const { norms } = planMemory(config, { quantization: INT4 }).weights
      expect(norms).toBe(4 * ((4 * layers + 1) * config.hiddenSize + heads))
    }
  })
})

describe('the whole', () => {
  it('is weights, cache and activations', () => {
    const plan = planMemory(b7, { quantization: INT4, sequences: 4, contextTokens: 2048 })
    expect(plan.total).toBe(plan.weights.total + plan.kv.total + plan.activations)
  })

  it('needs more activations for longer steps and for each row of logits', () => {
    const activations = (options: object) => planMemory(b2, { quantization: INT4, ...options }).activations
    expect(activations({ stepTokens: 1, sequences: 1 })).toBeGreaterThanOrEqual(4 * 256_000)
    expect(activations({ sequences: 2 }) - activations({ sequences: 1 })).toBe(4 * 256_000)
    expect(activations({ stepTokens: 8192 })).toBeGreaterThan(activations({ stepTokens: 512 }))
    expect(activations({ contextTokens: 100 })).toBe(activations({ contextTokens: 100, stepTokens: 100 }))
  })
})

describe('formatBytes', () => {
  it('writes three digits and the unit', () => {
    const written = [0, 999, 999.6, 1000, 14_204_321, 1_409_982_464, 999_499_999, 999_999_999, 2e15]
    expect(written.map((bytes) => formatBytes(bytes))).toEqual([
      '0 B',
      '999 B',
      '1 kB',
      '1 kB',
      '14.2 MB',
      '1.41 GB',
      '999 MB',
      '1 GB',
      '2000 TB',
    ])
    expect([1023, 1024, 1536, 2 ** 30 - 1].map((bytes) => formatBytes(bytes, 1024))).toEqual([
      '1023 B',
      '1 KiB',
      '1.5 KiB',
      '1 GiB',
    ])
  })
})

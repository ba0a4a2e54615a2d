import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FacetError } from '../../src/errors.ts'
import { configFrom } from '../../src/gemma/config.ts'

const fixture = (name: string): Record<string, unknown> =>
  JSON.parse(readFileSync(new URL(`../fixtures/${name}/config.json`, import.meta.url), 'utf8'))

/** google/gemma-2b as published: no head_dim default to lean on, hidden_act "gelu". */
const GEMMA_2B = {
  architectures: ['GemmaForCausalLM'],
  bos_token_id: 2,
  eos_token_id: 1,
  head_dim: 256,
  hidden_act: 'gelu',
  hidden_size: 2048,
  intermediate_size: 16384,
  max_position_embeddings: 8192,
  num_attention_heads: 8,
  num_hidden_layers: 18,
  num_key_value_heads: 1,
  pad_token_id: 0,
  rms_norm_eps: 1e-6,
  rope_theta: 10000.0,
  vocab_size: 256000,
}

describe('config.json', () => {
  it('describes Gemma 2B', () => {
    const config = configFrom(GEMMA_2B, { eos_token_id: [1, 107] })
    expect(config).toMatchObject({ heads: 8, kvHeads: 1, headDim: 256, postNorms: false, eosIds: [1, 107] })
    expect(config.embeddingScale).toBeCloseTo(45.2548, 4)
    expect(config.attentionScale).toBe(1 / 16)
    expect(config.layers).toEqual(Array(18).fill({ ropeTheta: 10000, ropeFactor: 1 }))
  })

  it('alternates local and global layers in Gemma 2, local first', () => {
    const { layer_types, ...old } = fixture('gemma2')
    for (const json of [fixture('gemma2'), old]) {
      const config = configFrom(json)
      expect(config.layers.map(({ window }) => window)).toEqual([16, undefined, 16, undefined])
      expect(config).toMatchObject({ attentionSoftcap: 50, logitSoftcap: 30, postNorms: true, qkNorm: false })
    }
  })

  it('gives Gemma 3 two rotary bases and no caps', () => {
    const config = configFrom(fixture('gemma3'))
    expect(config.layers.map(({ ropeTheta }) => ropeTheta)).toEqual([1e4, 1e4, 1e4, 1e4, 1e4, 1e6, 1e4])
    expect(config.attentionSoftcap).toBeUndefined()
    expect(config.qkNorm).toBe(true)
  })

  it('names the field that is wrong', () => {
    const wrong = (change: object) => () => configFrom({ ...GEMMA_2B, ...change })
    expect(wrong({ hidden_size: undefined })).toThrow('config.json: hidden_size is missing.')
    expect(wrong({ head_dim: '256' })).toThrow(
      'config.json: head_dim must be a positive number, but is "256".',
    )
    expect(wrong({ num_key_value_heads: 3 })).toThrow(
      'num_key_value_heads must divide num_attention_heads (8)',
    )
    expect(wrong({ architectures: ['LlamaForCausalLM'] })).toThrow(
      'architectures must name one of GemmaForCausalLM',
    )
    expect(wrong({ num_hidden_layers: 1e9 })).toThrow('num_hidden_layers must be at most 1024')
    expect(wrong({ eos_token_id: 'x' })).toThrow('eos_token_id must be a token id')
  })

  it('answers any JSON with a config or a FacetError', () => {
    const field = fc.constantFrom(...Object.keys({ ...GEMMA_2B, ...fixture('gemma3') }))
    fc.assert(
      fc.property(
        fc.constantFrom(GEMMA_2B, fixture('gemma2'), fixture('gemma3')),
        field,
        fc.jsonValue(),
        (base, key, value) => {
          try {
            configFrom({ ...base, [key]: value })
          } catch (error) {
            expect(error).toBeInstanceOf(FacetError)
          }
        },
      ),
    )
  })
})

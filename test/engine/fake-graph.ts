/** A Graph whose logits a script decides, and which counts its steps. */

import { checkedBatch } from '../../src/engine/batch.ts'
import type { Graph, Slice } from '../../src/engine/graph.ts'
import { HostKvCache } from '../../src/engine/kv-cache.ts'
import { configFrom, type GemmaConfig } from '../../src/gemma/config.ts'
import type { Tokenizer } from '../../src/gemma/tokenizer.ts'

export const VOCAB = 300
export const EOS = 1
export const END_OF_TURN = 107

export function fakeConfig(contextTokens: number = 256): GemmaConfig {
  return configFrom(
    {
      architectures: ['GemmaForCausalLM'],
      hidden_size: 4,
      intermediate_size: 4,
      num_attention_heads: 1,
      num_key_value_heads: 1,
      head_dim: 2,
      num_hidden_layers: 1,
      vocab_size: VOCAB,
      max_position_embeddings: contextTokens,
    },
    { eos_token_id: [EOS, END_OF_TURN] },
  )
}

export interface FakeGraph extends Graph {
  /** For each step the number of tokens of each slice. */
  readonly steps: number[][]
  readonly opened: number
  readonly disposed: boolean
  /** Called before each step; may throw, or wait. */
  onStep: (batch: readonly Slice[]) => void | Promise<void>
}

/** @param next the likeliest token after everything seen so far; or whole logits */
export function fakeGraph(
  next: (seen: readonly number[]) => number | Float32Array,
  contextTokens?: number,
): FakeGraph {
  const config = fakeConfig(contextTokens)
  const history = new WeakMap<HostKvCache, number[]>()
  const steps: number[][] = []
  let opened = 0
  let disposed = false
  return {
    config,
    name: 'fake',
    steps,
    get opened() {
      return opened
    },
    get disposed() {
      return disposed
    },
    onStep: () => {},
    open(capacity) {
      opened++
      return new HostKvCache(config, capacity)
    },
    async step(batch) {
      const slices = checkedBatch(batch, config, HostKvCache)
      steps.push(slices.map(({ tokens }) => tokens.length))
      await this.onStep(batch)
      return slices.map(({ cache, tokens, logits }) => {
        const seen = [...(history.get(cache) ?? []).slice(0, cache.length), ...tokens]
        history.set(cache, seen)
        cache.advance(tokens.length)
        const out = new Float32Array(logits * VOCAB)
        for (let row = 0; row < logits; row++) {
          const result = next(seen.slice(0, seen.length - logits + row + 1))
          if (typeof result === 'number') out[row * VOCAB + result] = 10
          else out.set(result, row * VOCAB)
        }
        return out
      })
    },
    async dispose() {
      disposed = true
    },
  }
}

/** Ids 128 to 255 are ASCII, shifted; the control tokens are Gemma's. */
export const letters: Tokenizer = {
  vocabSize: VOCAB,
  encode: (text) => Array.from(text, (character) => character.charCodeAt(0) + 128),
  decode: (ids) => ids.map(letterOf).join(''),
  stream: () => ({ push: letterOf, flush: () => '' }),
  idOf: (token) =>
    ({ '<eos>': EOS, '<bos>': 2, '<start_of_turn>': 106, '<end_of_turn>': END_OF_TURN })[token],
  tokenOf: (id) => (id === END_OF_TURN ? '<end_of_turn>' : letterOf(id) || `<${id}>`),
}

function letterOf(id: number): string {
  return id >= 128 && id < 256 ? String.fromCharCode(id - 128) : ''
}

/** A graph that answers every prompt with this text, then ends the turn. */
export function says(text: string): (seen: readonly number[]) => number {
  const ids = letters.encode(text)
  return (seen) => {
    // The answer starts after the last token that is not part of it, as far as it has come.
    for (let done = Math.min(ids.length, seen.length); done >= 0; done--) {
      const tail = seen.slice(seen.length - done)
      if (tail.every((id, i) => id === ids[i])) return ids[done] ?? END_OF_TURN
    }
    return END_OF_TURN
  }
}

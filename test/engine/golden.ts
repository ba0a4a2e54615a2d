/** What transformers computed: for the tiny fixtures and for the shipped model. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Graph, KvCache } from '../../src/engine/graph.ts'
import { argmax } from '../../src/engine/select.ts'

export const MODEL_DIRECTORY: string = fileURLToPath(new URL('../../models/facet-tldr-24m', import.meta.url))

export interface GoldenPrompt {
  readonly prompt: string
  readonly input_ids: number[]
  /** [id, logit] of the last position, of the int4 weights. */
  readonly last_logits_int4_top10: [number, number][]
  readonly greedy_ids_int4: number[]
  readonly greedy_text_int4: string
}

/** What the tiny fixtures hold. */
export interface FixtureGolden {
  readonly input_ids: number[]
  readonly greedy_ids: number[]
  /** All logits at the positions of logits_at. */
  readonly logits: number[][]
  readonly logits_at: number[]
}

export const goldenPrompts: readonly GoldenPrompt[] = readJson<{ golden: GoldenPrompt[] }>(
  '../golden/facet-tldr-24m.json',
).golden

/** A JSON file of ours, whose shape the caller knows. */
export function readJson<Shape>(path: string): Shape {
  return JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8'))
}

interface Running {
  readonly cache: KvCache
  readonly length: number
  readonly out: number[]
  tokens: readonly number[]
  first?: Float32Array
}

/** Greedy ids of several prompts, stepped together, and each prompt's last logits. */
export async function greedy(
  graph: Graph,
  prompts: readonly { readonly ids: readonly number[]; readonly length: number }[],
): Promise<{ ids: number[]; first: Float32Array }[]> {
  const all = prompts.map(
    ({ ids, length }): Running => ({ cache: graph.open(ids.length + length), length, out: [], tokens: ids }),
  )
  for (let live = all; live.length > 0; live = live.filter(({ out, length }) => out.length < length)) {
    const logits = await graph.step(live)
    for (const [i, running] of live.entries()) {
      running.first ??= logits[i]!
      const id = argmax(logits[i]!)
      running.out.push(id)
      running.tokens = [id]
    }
  }
  for (const { cache } of all) cache.dispose()
  return all.map(({ out, first }) => ({ ids: out, first: first! }))
}

/** Readings for the dashboard: of the server from its metrics, of an engine in this page from the engine itself. */
import type { Exchange } from './conversation.ts'
import type { Reading, Total } from './figures.ts'
import { type Sample, samplesFrom } from './prometheus.ts'

/** A reading from the text of GET /metrics. */
export function readingFrom(text: string, atMs: number): Reading {
  const samples = samplesFrom(text)
  const sum = (name: string): number | undefined => {
    const found = samples.filter((sample) => sample.name === name)
    return found.length === 0 ? undefined : found.reduce((total, { value }) => total + value, 0)
  }
  const total = (name: string): Total | undefined => {
    const [seconds, count] = [sum(`${name}_sum`), sum(`${name}_count`)]
    return seconds === undefined || count === undefined ? undefined : { sumMs: seconds * 1000, count }
  }
  const graph = graphFrom(samples)
  return defined({
    atMs,
    graph,
    firstToken: total('facet_time_to_first_token_seconds'),
    perToken: total('facet_time_per_output_token_seconds'),
    completionTokens: sum('facet_completion_tokens_total'),
    // A request waits in the server's queue or in the engine's.
    waiting: plus(sum('facet_queue_length'), sum('facet_engine_waiting')),
    running: sum('facet_engine_running'),
    slots: sum('facet_engine_slots'),
    steps: sum('facet_engine_steps'),
    stepSequences: sum('facet_engine_step_sequences'),
    kvTokens: sum('facet_engine_kv_tokens'),
    kvCapacityTokens: sum('facet_engine_kv_capacity_tokens'),
    promptTokens: sum('facet_engine_prompt_tokens'),
    cachedTokens: sum('facet_engine_prefix_hit_tokens'),
    memoryBytes: sum('facet_engine_memory_bytes') ?? sum('facet_process_memory_bytes'),
  })
}

function graphFrom(samples: readonly Sample[]): string | undefined {
  const graphs = samples.filter(({ name }) => name === 'facet_engine_info').map(({ labels }) => labels.graph)
  return graphs.length === 0 ? undefined : [...new Set(graphs)].join(', ')
}

function plus(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined && b === undefined ? undefined : (a ?? 0) + (b ?? 0)
}

/** What this page's own answers add up to, as a server's histograms would. */
export class OwnTotals {
  #firstToken: Total = { sumMs: 0, count: 0 }
  #perToken: Total = { sumMs: 0, count: 0 }
  #tokens = 0

  /** Counts an answer that is over, and was computed here. */
  add({ times: { sentMs, firstMs, doneMs }, usage }: Exchange): void {
    if (firstMs === undefined || doneMs === undefined) return
    const tokens = usage?.completionTokens ?? 0
    this.#tokens += tokens
    this.#firstToken = longer(this.#firstToken, firstMs - sentMs, 1)
    if (tokens > 1) this.#perToken = longer(this.#perToken, doneMs - firstMs, tokens - 1)
  }

  /** @param running tokens of the answer that is being given now */
  reading(stats: Omit<Reading, 'atMs'>, running: number, atMs: number): Reading {
    return {
      ...stats,
      atMs,
      firstToken: this.#firstToken,
      perToken: this.#perToken,
      completionTokens: this.#tokens + running,
    }
  }
}

function longer({ sumMs, count }: Total, ms: number, more: number): Total {
  return { sumMs: sumMs + ms, count: count + more }
}

function defined<T extends object>(fields: { [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T
}

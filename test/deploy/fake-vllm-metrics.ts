/** `/metrics` of a version of vLLM, in Prometheus' text format. */

type Labels = Readonly<Record<string, string>>

/** vLLM and JetStream have the same. */
const SECONDS = [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]

export class VllmMetrics {
  /** Gauges, which a test may set as a server under load would. */
  running = 0
  waiting = 0
  /** 0 to 1. */
  cacheShare = 0
  readonly #version: string
  readonly #model: string
  readonly #counters = new Map<string, number>()
  readonly #firstToken: number[] = []
  readonly #perToken: number[] = []

  constructor(version: string, model: string) {
    this.#version = version
    this.#model = model
  }

  /** A request that ended well. */
  finished(
    reason: 'stop' | 'length' | 'abort',
    tokens: { readonly prompt: number; readonly completion: number },
    took: { readonly firstTokenMs: number; readonly perTokenMs: number },
  ): void {
    this.#count('vllm:request_success_total', { finished_reason: reason })
    this.#count('vllm:prompt_tokens_total', {}, tokens.prompt)
    this.#count('vllm:generation_tokens_total', {}, tokens.completion)
    this.#firstToken.push(took.firstTokenMs / 1000)
    for (let token = 1; token < tokens.completion; token++) this.#perToken.push(took.perTokenMs / 1000)
  }

  /** An answer of the HTTP layer, which alone counts what fails. */
  answered(handler: string, method: string, status: number): void {
    this.#add(line('http_requests_total', { handler, method, status: `${Math.floor(status / 100)}xx` }), 1)
  }

  toText(): string {
    const cache = isBefore(this.#version, 0, 10) ? 'gpu_cache_usage_perc' : 'kv_cache_usage_perc'
    // Renamed with the tokens that come in groups.
    const perToken = isBefore(this.#version, 0, 11) ? 'time_per_output_token' : 'inter_token_latency'
    return [
      ...this.#gauge('vllm:num_requests_running', this.running),
      ...this.#gauge('vllm:num_requests_waiting', this.waiting),
      ...this.#gauge(`vllm:${cache}`, this.cacheShare),
      ...toHistogram('vllm:time_to_first_token_seconds', this.#labels, this.#firstToken),
      ...toHistogram(`vllm:${perToken}_seconds`, this.#labels, this.#perToken),
      ...[...this.#counters].map(([series, value]) => `${series} ${value.toFixed(1)}`),
      '',
    ].join('\n')
  }

  get #labels(): Labels {
    return { engine: '0', model_name: this.#model }
  }

  #count(name: string, labels: Labels, by = 1): void {
    this.#add(line(name, { ...this.#labels, ...labels }), by)
  }

  #add(series: string, by: number): void {
    this.#counters.set(series, (this.#counters.get(series) ?? 0) + by)
  }

  #gauge(name: string, value: number): string[] {
    return [`# TYPE ${name} gauge`, `${line(name, this.#labels)} ${value.toFixed(1)}`]
  }
}

/** @param values seconds */
export function toHistogram(name: string, labels: Labels, values: readonly number[]): string[] {
  const within = (most: number): number => values.filter((value) => value <= most).length
  const bucket = (le: string, count: number): string =>
    `${line(`${name}_bucket`, { le, ...labels })} ${count.toFixed(1)}`
  return [
    `# TYPE ${name} histogram`,
    ...SECONDS.map((most) => bucket(String(most), within(most))),
    bucket('+Inf', values.length),
    `${line(`${name}_count`, labels)} ${values.length.toFixed(1)}`,
    `${line(`${name}_sum`, labels)} ${values.reduce((sum, value) => sum + value, 0)}`,
  ]
}

function line(name: string, labels: Labels): string {
  const pairs = Object.entries(labels).map(([label, value]) => `${label}=${JSON.stringify(value)}`)
  return `${name}{${pairs.join(',')}}`
}

/** Of `0.10.0`. */
export function isBefore(version: string, major: number, minor: number, patch = 0): boolean {
  const parts = version.split('.').map(Number)
  const limit = [major, minor, patch]
  const at = limit.findIndex((part, index) => part !== (parts[index] ?? 0))
  return at >= 0 && (parts[at] ?? 0) < limit[at]!
}

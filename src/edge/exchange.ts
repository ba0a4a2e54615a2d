/** One HTTP request as defences, figures and logs see it: from its arrival to the last byte of its answer. */
import { type Context, ROOT_CONTEXT } from '@opentelemetry/api'
import type { ErrorCode, FacetError } from '../errors.ts'
import type { ChatRequest, Usage } from '../types.ts'
import { Generation } from './generation.ts'
import type { RateLimits } from './rates.ts'

/** How a request ended: `ok`, or the code of the error the client was told. */
export type Outcome = 'ok' | ErrorCode

/** What Hono carries from one middleware to the next. */
export interface EdgeEnv {
  Variables: { exchange: Exchange }
}

export interface ExchangeOptions {
  /** Sent back as x-request-id. */
  readonly id: string
  readonly method: string
  /** Without the query. */
  readonly path: string
  /** Milliseconds, only ever compared. */
  readonly now: () => number
  /** Whether what is asked and answered may be kept for the log. */
  readonly keepsContent: boolean
}

export class Exchange {
  readonly id: string
  readonly method: string
  readonly path: string
  readonly startMs: number
  readonly keepsContent: boolean
  /** The trace this request belongs to. */
  parent: Context = ROOT_CONTEXT
  traceId: string | undefined
  /** Name of the API key. */
  key: string | undefined
  /** Of the key, where it has its own. */
  limits: RateLimits = {}
  /** The model that answers; undefined until the request is understood, and where no model is asked. */
  model: string | undefined
  /** The answer is a stream: it ends when the stream does. */
  streams = false
  /** What computes the answer stops when this is aborted, and fails with its reason. */
  readonly work: AbortController = new AbortController()
  /** Sets aside what the answer may use, where tokens are limited. */
  reserve: ((tokens: number) => Promise<void>) | undefined
  /** For the response, whatever it is. */
  readonly headers: Map<string, string> = new Map()
  status = 0
  readonly generations: Generation[] = []
  readonly now: () => number
  readonly #callbacks: ((outcome: Outcome) => void)[] = []
  #settled = false

  constructor({ id, method, path, now, keepsContent }: ExchangeOptions) {
    this.id = id
    this.method = method
    this.path = path
    this.now = now
    this.keepsContent = keepsContent
    this.startMs = now()
  }

  /**
   * A backend is asked for one of the answers.
   *
   * @param request left out for what is no answer of a model, as embeddings are
   */
  begin(request?: ChatRequest): Generation {
    const generation = new Generation(this.now, this.keepsContent ? request : undefined)
    this.generations.push(generation)
    return generation
  }

  /** Called once, when the answer has been sent or given up. */
  onSettled(callback: (outcome: Outcome) => void): void {
    this.#callbacks.push(callback)
  }

  /** The answer is over; only the first call counts. */
  settle(error?: FacetError): void {
    if (this.#settled) return
    this.#settled = true
    for (const callback of this.#callbacks) callback(error?.code ?? 'ok')
  }

  /** Tokens of all answers; a prompt with several choices counts once for each. */
  get usage(): Usage {
    const sum = (pick: (usage: Usage) => number): number =>
      this.generations.reduce((total, { usage }) => total + pick(usage), 0)
    return {
      promptTokens: sum(({ promptTokens }) => promptTokens),
      completionTokens: sum(({ completionTokens }) => completionTokens),
      cachedTokens: sum(({ cachedTokens = 0 }) => cachedTokens),
    }
  }

  /** From the request's arrival to its first content. */
  get firstTokenMs(): number | undefined {
    const firsts = this.generations.flatMap(({ firstMs }) => firstMs ?? [])
    return firsts.length === 0 ? undefined : Math.min(...firsts) - this.startMs
  }
}

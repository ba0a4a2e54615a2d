/** One line of JSON for each request, when its answer is over. */
import type { Exchange, Outcome } from './exchange.ts'

/** Durations in milliseconds. Nothing of prompts or answers unless asked for. */
export interface LogEntry {
  /** ISO 8601, when the request came. */
  readonly time: string
  readonly level: 'info' | 'error'
  /** As in x-request-id. */
  readonly id: string
  readonly method: string
  readonly path: string
  readonly status: number
  readonly outcome: Outcome
  readonly duration_ms: number
  /** The key's name. */
  readonly key?: string
  readonly model?: string
  readonly stream?: boolean
  readonly prompt_tokens?: number
  readonly completion_tokens?: number
  readonly cached_tokens?: number
  readonly first_token_ms?: number
  readonly finish_reasons?: readonly string[]
  readonly trace_id?: string
  /** What was asked and answered, with `prompts: true` only. */
  readonly content?: unknown
}

export type Log = (entry: LogEntry) => void

export function toLogEntry(exchange: Exchange, outcome: Outcome, nowMs: number): LogEntry {
  const { id, method, path, status, key, model, generations, firstTokenMs, startMs, traceId } = exchange
  const durationMs = exchange.now() - startMs
  const { promptTokens, completionTokens, cachedTokens } = exchange.usage
  const reasons = generations.flatMap(({ reason }) => reason ?? [])
  return {
    time: new Date(nowMs - durationMs).toISOString(),
    level: status >= 500 || outcome === 'internal' ? 'error' : 'info',
    id,
    method,
    path,
    status,
    outcome,
    duration_ms: toTenths(durationMs),
    ...(key !== undefined && { key }),
    ...(model !== undefined && { model, stream: exchange.streams }),
    ...(generations.length > 0 && {
      prompt_tokens: promptTokens,
      completion_tokens: completionTokens,
      cached_tokens: cachedTokens ?? 0,
    }),
    ...(firstTokenMs !== undefined && { first_token_ms: toTenths(firstTokenMs) }),
    ...(reasons.length > 0 && { finish_reasons: reasons }),
    ...(traceId !== undefined && { trace_id: traceId }),
    ...(exchange.keepsContent && { content: generations.flatMap(({ content }) => content ?? []) }),
  }
}

function toTenths(ms: number): number {
  return Math.round(ms * 10) / 10
}

/** What both endpoints' answers share on the wire, and the interface by which they differ. */
import type { ChatEvent, FinishReason, ModelSpec, TokenLogprob, ToolCall, Usage } from '../types.ts'

/** The same in every chunk of an answer. */
export interface Head {
  readonly id: string
  /** Unix time in seconds. */
  readonly created: number
  readonly model: string
  readonly fingerprint: string
}

/** One choice, complete. */
export interface Choice {
  /** Without the echoed prompt. */
  readonly text: string
  /** Empty when none were asked for. */
  readonly logprobs: readonly TokenLogprob[]
  /** Empty when nothing is called. */
  readonly toolCalls: readonly ToolCall[]
  readonly reason: FinishReason
  readonly usage: Usage
}

export interface WriterOptions {
  readonly includeUsage: boolean
  readonly logprobs: boolean
}

/** Turns events into an endpoint's JSON; `choice` is the index on the wire. */
export interface Writer {
  /** The chunk that opens a choice, where the endpoint has one. */
  open(choice: number): object | undefined
  text(choice: number, event: Extract<ChatEvent, { type: 'text' }>): object
  tool(choice: number, event: Extract<ChatEvent, { type: 'tool' }>): object
  finish(choice: number, reason: FinishReason): object
  usage(usage: WireUsage): object
  whole(choices: readonly Choice[], usage: WireUsage): object
}

export interface WireUsage {
  readonly prompt_tokens: number
  readonly completion_tokens: number
  readonly total_tokens: number
  readonly prompt_tokens_details?: { readonly cached_tokens: number }
}

/** Prompts count once, however many choices continue them: `n` usages in a row share one. */
export function toWireUsage(usages: readonly Usage[], n: number): WireUsage {
  const prompts = usages.filter((_, choice) => choice % n === 0)
  const promptTokens = sum(prompts.map((usage) => usage.promptTokens))
  const completionTokens = sum(usages.map((usage) => usage.completionTokens))
  const knowsCached = prompts.some((usage) => usage.cachedTokens !== undefined)
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    ...(knowsCached && {
      prompt_tokens_details: { cached_tokens: sum(prompts.map((usage) => usage.cachedTokens ?? 0)) },
    }),
  }
}

export function toHead(prefix: string, model: string, spec: ModelSpec): Head {
  return {
    // Of a UUID, which runtimes make from random bytes they have in stock.
    id: `${prefix}-${crypto.randomUUID().replaceAll('-', '').slice(-24)}`,
    created: Math.floor(Date.now() / 1000),
    model,
    fingerprint: fingerprintOf(spec),
  }
}

const fingerprints = new WeakMap<ModelSpec, string>()

function fingerprintOf(spec: ModelSpec): string {
  const known = fingerprints.get(spec) ?? toFingerprint(spec)
  fingerprints.set(spec, known)
  return known
}

/** Changes when the model file does, so that equal seeds may be expected to give equal answers (FNV-1a). */
function toFingerprint({ id, quantization, parameters, created }: ModelSpec): string {
  let hash = 0x811c9dc5
  for (const byte of new TextEncoder().encode(JSON.stringify([id, quantization, parameters, created]))) {
    hash = Math.imul(hash ^ byte, 0x01000193) >>> 0
  }
  return `fp_${hash.toString(16).padStart(8, '0')}`
}

/** JSON has no -Infinity; OpenAI writes -9999 for tokens that cannot be. */
export function toFinite(logprob: number): number {
  return Math.max(logprob, -9999)
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, next) => total + next, 0)
}

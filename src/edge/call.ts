/** What both generating endpoints take: the model, sampling, stop strings, choices and streaming. */
import { FacetError } from '../errors.ts'
import type { ChatRequest, Sampling } from '../types.ts'
import {
  about,
  boolean,
  choose,
  closed,
  defined,
  integerIn,
  listOf,
  mapOf,
  mapped,
  nonEmptyText,
  numberIn,
  optional,
  type Schema,
} from './field.ts'

/** One HTTP request, understood. */
export interface Call {
  readonly model: string | undefined
  /** One for each choice of the answer, prompt by prompt. */
  readonly requests: readonly ChatRequest[]
  /** Choices for each prompt. */
  readonly n: number
  readonly stream: boolean
  readonly includeUsage: boolean
}

export interface CallFields {
  readonly model: string | undefined
  readonly n: number | undefined
  readonly stream: boolean | undefined
  readonly stream_options: { readonly include_usage: boolean | undefined } | undefined
  readonly max_tokens: number | undefined
  readonly stop: readonly string[] | undefined
  readonly temperature: number | undefined
  readonly top_p: number | undefined
  readonly top_k: number | undefined
  readonly min_p: number | undefined
  readonly seed: number | undefined
  readonly presence_penalty: number | undefined
  readonly frequency_penalty: number | undefined
  readonly repetition_penalty: number | undefined
  readonly logit_bias: Readonly<Record<string, number>> | undefined
}

/** OpenAI's limit on `n`; here on prompts times n. */
export const MOST_CHOICES = 128
const MOST_STOPS = 64
const MOST_SEED = Number.MAX_SAFE_INTEGER

const STOP = 'a string or a list of strings'

export const maxTokens: Schema<number | undefined> = optional(
  integerIn(1, Number.MAX_SAFE_INTEGER, 'a whole number of at least 1'),
)

const oneStop = mapped(nonEmptyText, (stop) => [stop])
const stops = listOf(nonEmptyText, STOP, 0, MOST_STOPS)
const stop: Schema<readonly string[]> = choose<readonly string[]>([oneStop, stops], (input) =>
  typeof input === 'string' ? oneStop : stops,
)

export const callEntries: { readonly [K in keyof CallFields]: Schema<CallFields[K]> } = {
  model: about("Default: the server's first.", optional(nonEmptyText)),
  n: about('Answers to give; with a seed, answer i gets seed + i.', optional(integerIn(1, MOST_CHOICES))),
  stream: about('Send server-sent events.', optional(boolean)),
  stream_options: optional(
    closed(
      { include_usage: about('Send the usage in a last chunk.', optional(boolean)) },
      { refused: { include_obfuscation: [false] } },
    ),
  ),
  max_tokens: maxTokens,
  stop: about('The answer ends before any of these.', optional(stop)),
  temperature: about('0 always takes the likeliest token.', optional(numberIn(0, 2))),
  top_p: about(
    'Keep the likeliest tokens that together are this probable.',
    optional(numberIn(Number.MIN_VALUE, 1, 'a number above 0 and at most 1')),
  ),
  // As in vLLM, -1 and 0 keep every token.
  top_k: about(
    'Keep this many of the likeliest tokens.',
    optional(integerIn(-1, 2 ** 31, 'a whole number of at least 1, or -1 for all tokens')),
  ),
  min_p: about('Keep tokens at least this fraction as likely as the likeliest.', optional(numberIn(0, 1))),
  seed: about('The same seed and request give the same answer.', optional(integerIn(-MOST_SEED, MOST_SEED))),
  presence_penalty: about('Once for every token already in the answer.', optional(numberIn(-2, 2))),
  frequency_penalty: about('For each time a token stands in the answer.', optional(numberIn(-2, 2))),
  repetition_penalty: about(
    'Above 1 makes tokens of prompt and answer less likely.',
    optional(numberIn(0.01, 100)),
  ),
  logit_bias: about(
    'Added to the logits of token ids; -100 bans a token.',
    optional(mapOf(/^\d{1,9}$/, 'an object from token ids to numbers', numberIn(-100, 100))),
  ),
}

/** Labels of OpenAI's API: they ask for nothing that could be left undone. */
export const LABELS: readonly string[] = ['user', 'safety_identifier', 'prompt_cache_key']

/** Parameters of both endpoints that ask for what this server does not do, with the values that do not. */
export const REFUSED: Readonly<Record<string, readonly unknown[]>> = {
  metadata: [{}],
  store: [false],
  service_tier: ['auto', 'default'],
  prompt_cache_retention: ['in-memory', 'in_memory'],
  prompt_cache_options: [{}],
}

/** The request as the engine wants it, all but the prompt. */
export function toSettings(fields: CallFields): Sampling & { maxTokens?: number; stop?: readonly string[] } {
  return defined({
    temperature: fields.temperature,
    topP: fields.top_p,
    topK: fields.top_k !== undefined && fields.top_k > 0 ? fields.top_k : undefined,
    minP: fields.min_p,
    seed: fields.seed,
    presencePenalty: fields.presence_penalty,
    frequencyPenalty: fields.frequency_penalty,
    repetitionPenalty: fields.repetition_penalty,
    logitBias: fields.logit_bias,
    stop: fields.stop?.length ? fields.stop : undefined,
    maxTokens: fields.max_tokens,
  })
}

/** Every prompt n times; with a seed, choice i gets seed + i, so that choices differ and repeat. */
export function toCall(fields: CallFields, prompts: readonly ChatRequest[]): Call {
  const { stream = false, stream_options: options, n = 1 } = fields
  if (options && !stream) {
    throw new FacetError(
      'invalid_request',
      'stream_options is only for streams; set stream to true as well.',
      {
        field: 'stream_options',
      },
    )
  }
  if (prompts.length * n > MOST_CHOICES) {
    throw new FacetError(
      'invalid_request',
      `n times the number of prompts may be at most ${MOST_CHOICES}, but is ${prompts.length * n}.`,
      { field: 'n' },
    )
  }
  return {
    model: fields.model,
    requests: prompts.flatMap((request) =>
      Array.from({ length: n }, (_, choice) =>
        request.seed === undefined ? request : { ...request, seed: request.seed + choice },
      ),
    ),
    n,
    stream,
    includeUsage: options?.include_usage ?? false,
  }
}

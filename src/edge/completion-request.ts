/** The body of POST /v1/completions: from the wire to a Call. */
import { FacetError } from '../errors.ts'
import type { ChatRequest } from '../types.ts'
import { type Call, type CallFields, callEntries, IGNORED, MOST_CHOICES, toCall, toSettings } from './call.ts'
import {
  boolean,
  choose,
  closed,
  defined,
  integerIn,
  listOf,
  mapped,
  optional,
  readFields,
  type Schema,
  text,
} from './field.ts'

type RawPrompt = string | readonly number[]

interface CompletionFields extends CallFields {
  readonly prompt: readonly RawPrompt[]
  readonly echo: boolean | undefined
  readonly logprobs: number | undefined
}

export interface CompletionCall extends Call {
  /** What to put before each choice: the prompts with `echo`, else nothing. */
  readonly echoes: readonly string[]
}

/** OpenAI's default here, unlike for chats. */
const DEFAULT_MAX_TOKENS = 16
const MOST_IDS = 1_000_000

const ids: Schema<RawPrompt> = listOf(
  integerIn(0, 2 ** 31 - 1, 'a token id'),
  'a list of token ids',
  1,
  MOST_IDS,
)

const PROMPT = 'a string, a list of strings, a list of token ids or a list of such lists'

/** The first item tells which of the four kinds it is. */
const prompts: Schema<readonly RawPrompt[]> = choose((input) => {
  if (typeof input === 'string') return mapped(text, (prompt) => [prompt])
  const first: unknown = Array.isArray(input) ? input[0] : undefined
  if (typeof first === 'number') return mapped(ids, (prompt) => [prompt])
  return listOf<RawPrompt>(Array.isArray(first) ? ids : text, PROMPT, 1, MOST_CHOICES)
})

const schema: Schema<CompletionFields> = closed(
  { ...callEntries, prompt: prompts, echo: optional(boolean), logprobs: optional(integerIn(0, 20)) },
  {
    ignored: IGNORED,
    // Choices are never drawn and thrown away; best_of 1 asks for just that.
    refused: { suffix: [''], best_of: [1] },
  },
)

/** @throws FacetError invalid_request with the first field at fault */
export function toCompletionCall(json: unknown): CompletionCall {
  const fields = readFields(schema, json)
  const settings = {
    ...toSettings({ ...fields, max_tokens: fields.max_tokens ?? DEFAULT_MAX_TOKENS }),
    ...defined({ logprobs: fields.logprobs }),
  }
  const requests = fields.prompt.map((prompt): ChatRequest => ({ prompt, ...settings }))
  const call = toCall(fields, requests)
  if (!fields.echo) return { ...call, echoes: [] }
  if (fields.logprobs !== undefined) {
    fail('logprobs cannot be given for an echoed prompt; leave out echo or logprobs.', 'logprobs')
  }
  return { ...call, echoes: call.requests.map(({ prompt }) => toEcho(prompt)) }
}

function toEcho(prompt: ChatRequest['prompt']): string {
  if (typeof prompt === 'string') return prompt
  return fail('echo works for prompts given as text; leave it out for token ids.', 'echo')
}

function fail(sentence: string, field: string): never {
  throw new FacetError('invalid_request', sentence, { field })
}

/** The body of POST /v1/completions: from the wire to a Call. */
import type { ChatRequest } from '../types.ts'
import {
  type Call,
  type CallFields,
  callEntries,
  LABELS,
  MOST_CHOICES,
  REFUSED,
  toCall,
  toSettings,
} from './call.ts'
import {
  about,
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
  /** Whether the prompt stands before each choice. */
  readonly echo: boolean
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

const onePrompt = mapped(text, (prompt): RawPrompt[] => [prompt])
const oneIdPrompt = mapped(ids, (prompt): RawPrompt[] => [prompt])
const textPrompts: Schema<RawPrompt[]> = listOf<RawPrompt>(text, PROMPT, 1, MOST_CHOICES)
const idPrompts = listOf(ids, PROMPT, 1, MOST_CHOICES)

/** The first item tells which of the four kinds it is. */
const prompts: Schema<readonly RawPrompt[]> = choose<readonly RawPrompt[]>(
  [onePrompt, oneIdPrompt, textPrompts, idPrompts],
  (input) => {
    if (typeof input === 'string') return onePrompt
    const first: unknown = Array.isArray(input) ? input[0] : undefined
    if (typeof first === 'number') return oneIdPrompt
    return Array.isArray(first) ? idPrompts : textPrompts
  },
)

export const completionSchema: Schema<CompletionFields> = closed(
  {
    ...callEntries,
    max_tokens: about(`Most tokens of the answer. Default: ${DEFAULT_MAX_TOKENS}.`, callEntries.max_tokens),
    prompt: about('Continued exactly as given.', prompts),
    echo: about('Put the prompt before each answer.', optional(boolean)),
    logprobs: about('Report each token with this many alternatives.', optional(integerIn(0, 20))),
  },
  {
    ignored: LABELS,
    // Choices are never drawn and thrown away; best_of 1 asks for just that.
    refused: { ...REFUSED, suffix: [''], best_of: [1] },
  },
)

/** @throws FacetError invalid_request with the first field at fault */
export function toCompletionCall(json: unknown): CompletionCall {
  const fields = readFields(completionSchema, json)
  const settings = {
    ...toSettings({ ...fields, max_tokens: fields.max_tokens ?? DEFAULT_MAX_TOKENS }),
    ...defined({ logprobs: fields.logprobs }),
  }
  const requests = fields.prompt.map((prompt): ChatRequest => ({ prompt, ...settings }))
  return { ...toCall(fields, requests), echo: fields.echo ?? false }
}

/** The types of OpenAI's API that the facade takes and gives, as the official package writes them. */

type Role = 'system' | 'developer' | 'user' | 'assistant' | 'tool' | 'function'

export interface ChatCompletionMessageToolCall {
  id: string
  type: 'function'
  function: { name: string; arguments: string }
}

export interface ChatCompletionMessageParam {
  readonly role: Role
  readonly content?: string | readonly { readonly type: string; readonly text?: string }[] | null
  readonly tool_calls?: readonly { readonly id: string; readonly type: string; readonly function?: object }[]
  readonly tool_call_id?: string
  readonly name?: string
  readonly refusal?: string | null
}

interface Sampling {
  readonly model: string
  readonly max_tokens?: number | null
  readonly temperature?: number | null
  readonly top_p?: number | null
  /** Not OpenAI's: Facet's and vLLM's. */
  readonly top_k?: number | null
  readonly min_p?: number | null
  readonly repetition_penalty?: number | null
  readonly seed?: number | null
  readonly presence_penalty?: number | null
  readonly frequency_penalty?: number | null
  readonly logit_bias?: Readonly<Record<string, number>> | null
  readonly n?: number | null
  readonly stop?: string | readonly string[] | null
  readonly stream?: boolean | null
  readonly stream_options?: {
    readonly include_usage?: boolean
    readonly include_obfuscation?: boolean
  } | null
  readonly user?: string
}

export interface ChatCompletionTool {
  readonly type: string
  readonly function?: {
    readonly name: string
    readonly description?: string
    readonly parameters?: Readonly<Record<string, unknown>>
    readonly strict?: boolean | null
  }
}

export interface ChatCompletionCreateParams extends Sampling {
  readonly messages: readonly ChatCompletionMessageParam[]
  readonly max_completion_tokens?: number | null
  readonly logprobs?: boolean | null
  readonly top_logprobs?: number | null
  readonly response_format?: { readonly type: string; readonly json_schema?: object }
  readonly tools?: readonly ChatCompletionTool[]
  readonly tool_choice?: string | { readonly type: string; readonly function?: { readonly name: string } }
  readonly parallel_tool_calls?: boolean
  readonly metadata?: Readonly<Record<string, string>> | null
  readonly store?: boolean | null
}

export interface CompletionCreateParams extends Sampling {
  readonly prompt: string | readonly string[] | readonly number[] | readonly (readonly number[])[] | null
  readonly echo?: boolean | null
  readonly logprobs?: number | null
}

export interface EmbeddingCreateParams {
  readonly model: string
  readonly input: string | readonly string[] | readonly number[] | readonly (readonly number[])[]
  readonly encoding_format?: 'float' | 'base64'
  readonly dimensions?: number
  readonly user?: string
}

interface TokenLogprob {
  token: string
  bytes: number[] | null
  logprob: number
}

export interface ChatCompletionTokenLogprob extends TokenLogprob {
  top_logprobs: TokenLogprob[]
}

interface ChoiceLogprobs {
  content: ChatCompletionTokenLogprob[] | null
  refusal: ChatCompletionTokenLogprob[] | null
}

export interface CompletionUsage {
  prompt_tokens: number
  completion_tokens: number
  total_tokens: number
  prompt_tokens_details?: { cached_tokens?: number }
}

type FinishReason = 'stop' | 'length' | 'tool_calls' | 'content_filter'

export interface ChatCompletionMessage {
  role: 'assistant'
  content: string | null
  refusal: string | null
  tool_calls?: ChatCompletionMessageToolCall[]
}

export interface ChatCompletion {
  id: string
  object: 'chat.completion'
  created: number
  model: string
  choices: {
    index: number
    message: ChatCompletionMessage
    logprobs: ChoiceLogprobs | null
    finish_reason: FinishReason
  }[]
  usage?: CompletionUsage
  system_fingerprint?: string
}

export interface ChatCompletionChunk {
  id: string
  object: 'chat.completion.chunk'
  created: number
  model: string
  choices: {
    index: number
    delta: {
      role?: 'assistant'
      content?: string | null
      refusal?: string | null
      tool_calls?: {
        index: number
        id?: string
        type?: 'function'
        function?: { name?: string; arguments?: string }
      }[]
    }
    logprobs?: ChoiceLogprobs | null
    finish_reason: FinishReason | null
  }[]
  usage?: CompletionUsage | null
  system_fingerprint?: string
}

/** Whole, and each chunk of a stream. */
export interface Completion {
  id: string
  object: 'text_completion'
  created: number
  model: string
  choices: {
    index: number
    text: string
    logprobs: {
      tokens?: string[]
      token_logprobs?: number[]
      top_logprobs?: Record<string, number>[]
      text_offset?: number[]
    } | null
    finish_reason: 'stop' | 'length' | 'content_filter'
  }[]
  usage?: CompletionUsage
  system_fingerprint?: string
}

export interface Model {
  id: string
  object: 'model'
  created: number
  owned_by: string
}

export interface CreateEmbeddingResponse {
  object: 'list'
  model: string
  data: { object: 'embedding'; index: number; embedding: number[] }[]
  usage: { prompt_tokens: number; total_tokens: number }
}

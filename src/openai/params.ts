/** The official package's narrower names for what wire.ts describes. */
import type {
  ChatCompletionCreateParams,
  ChatCompletionMessageParam,
  CompletionCreateParams,
  CreateEmbeddingResponse,
} from './wire.ts'

/** Asked for with `stream: true`. */
export interface Streaming {
  readonly stream: true
}

export interface Whole {
  readonly stream?: false | null
}

export type ChatCompletionCreateParamsNonStreaming = ChatCompletionCreateParams & Whole
export type ChatCompletionCreateParamsStreaming = ChatCompletionCreateParams & Streaming
export type CompletionCreateParamsNonStreaming = CompletionCreateParams & Whole
export type CompletionCreateParamsStreaming = CompletionCreateParams & Streaming

export type ChatCompletionRole = ChatCompletionMessageParam['role']

interface As<Role extends ChatCompletionRole> extends ChatCompletionMessageParam {
  readonly role: Role
}

export type ChatCompletionSystemMessageParam = As<'system'>
export type ChatCompletionDeveloperMessageParam = As<'developer'>
export type ChatCompletionUserMessageParam = As<'user'>
export type ChatCompletionAssistantMessageParam = As<'assistant'>
export type ChatCompletionToolMessageParam = As<'tool'> & { readonly tool_call_id: string }

export type Embedding = CreateEmbeddingResponse['data'][number]

/** `gemfacet`: what a browser may import. No dependency, no `node:`. */
export { type Answer, collect } from './client/collect.ts'
export type { Clock } from './client/deadline.ts'
export { type Client, type ClientCallOptions, createClient } from './client/http.ts'
export type { ClientOptions } from './client/options.ts'
export { type ErrorCode, FacetError, isErrorCode, type Retry } from './errors.ts'
export type {
  Attempt,
  Backend,
  CallOptions,
  ChatEvent,
  ChatRequest,
  Endpoint,
  Feature,
  FinishReason,
  JsonSchema,
  Message,
  ModelSpec,
  Price,
  Prompt,
  ResponseFormat,
  Sampling,
  ScoreRequest,
  Timeouts,
  TokenAlternative,
  TokenLogprob,
  TokenSource,
  Tool,
  ToolCall,
  ToolChoice,
  Usage,
} from './types.ts'

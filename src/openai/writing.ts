/** How each endpoint's requests are read and its answers written: by the code that serves them over HTTP. */
import type { AnswerOptions } from '../edge/answer.ts'
import type { Call } from '../edge/call.ts'
import { toChatCall } from '../edge/chat-request.ts'
import { chatWriter } from '../edge/chat-response.ts'
import { type CompletionCall, toCompletionCall } from '../edge/completion-request.ts'
import { completionWriter } from '../edge/completion-response.ts'
import { toEchoes } from '../edge/echo.ts'
import type { Backend } from '../types.ts'

export interface Writing<C extends Call> {
  readonly prefix: string
  readonly toCall: (json: unknown) => C
  readonly writerFor: (call: C, backend: Backend, signal: AbortSignal) => Promise<AnswerOptions['writer']>
}

export const CHAT: Writing<Call> = {
  prefix: 'chatcmpl',
  toCall: toChatCall,
  writerFor: async () => chatWriter,
}

export const COMPLETION: Writing<CompletionCall> = {
  prefix: 'cmpl',
  toCall: toCompletionCall,
  async writerFor(call, backend, signal) {
    const echoes = await toEchoes(call, backend, signal)
    return (head, settings) => completionWriter(head, settings, echoes)
  },
}

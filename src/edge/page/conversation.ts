/** The conversation as data: what was asked of which model, what came, and what is sent with the next question. */
import type { ChatRequest, FinishReason, Message, TokenLogprob, Usage } from '../../index.ts'

/**
 * complete: the model ended it. cut: a token limit did. stopped: the reader did. failed: it broke, and what
 * came of it is no answer.
 */
export type Outcome = 'running' | 'complete' | 'cut' | 'stopped' | 'failed'

/** The place where models run unless another was chosen. */
export const SERVER = 'the server'

/** When things happened, by performance.now(). */
export interface Times {
  readonly sentMs: number
  /** When the first text came; undefined where none did. */
  readonly firstMs?: number
  readonly doneMs?: number
}

/** One question and what came of it. */
export interface Exchange {
  readonly question: string
  /** As it was sent, without the messages. */
  readonly parameters: Omit<ChatRequest, 'messages' | 'prompt'>
  /** Where the model ran, for people. */
  readonly place: string
  readonly model: string
  answer: string
  /** Of the answer, where they were asked for. */
  tokens: TokenLogprob[]
  outcome: Outcome
  reason?: FinishReason
  usage?: Usage
  times: Times
  /** Why it failed, in one sentence. */
  problem?: string
}

/** Exchanges in order; only the last one may be running. */
export class Conversation {
  readonly exchanges: Exchange[] = []

  /** What is sent with a question that follows the first `count` exchanges. */
  messages(system: string, question: string, count: number = this.exchanges.length): Message[] {
    const messages: Message[] = system.trim() === '' ? [] : [{ role: 'system', content: system }]
    for (const { question, answer, outcome } of this.exchanges.slice(0, count)) {
      // A broken answer never was one; an answer that was stopped belongs to the conversation as far as it came.
      if (outcome === 'failed' || outcome === 'running' || answer === '') continue
      messages.push({ role: 'user', content: question }, { role: 'assistant', content: answer })
    }
    return [...messages, { role: 'user', content: question }]
  }

  /** Forgets everything from an exchange on. */
  truncate(from: Exchange): void {
    const index = this.exchanges.indexOf(from)
    if (index >= 0) this.exchanges.length = index
  }

  /** Forgets one exchange. */
  remove(exchange: Exchange): void {
    const index = this.exchanges.indexOf(exchange)
    if (index >= 0) this.exchanges.splice(index, 1)
  }

  clear(): void {
    this.exchanges.length = 0
  }
}

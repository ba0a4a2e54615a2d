/** One answer or embedding of a backend as figures and logs see it; a request with `n` choices has several. */
import type { ChatEvent, ChatRequest, FinishReason, Usage } from '../types.ts'

export class Generation {
  /** The first content. */
  firstMs: number | undefined
  /** The latest content. */
  lastMs: number | undefined
  reason: FinishReason | undefined
  /** Only where they may be kept. */
  readonly content: { readonly request: ChatRequest; text: string } | undefined
  readonly #now: () => number
  #pieces = 0
  #usage: Usage | undefined

  /** @param request left out: nothing of what is asked and answered may be kept */
  constructor(now: () => number, request?: ChatRequest) {
    this.#now = now
    this.content = request && { request, text: '' }
  }

  /** Until the backend says what it was, and for answers that are cut: the pieces that have come. */
  get usage(): Usage {
    return this.#usage ?? { promptTokens: 0, completionTokens: this.#pieces, estimated: true }
  }

  note(event: ChatEvent): void {
    if (event.type === 'text' || event.type === 'tool') {
      this.lastMs = this.#now()
      this.firstMs ??= this.lastMs
      this.#pieces++
    }
    if (this.content && event.type === 'text') this.content.text += event.text
    if (event.type === 'finish') {
      this.spend(event.usage)
      this.reason = event.reason
    }
  }

  /** What it used, said by whoever counted it. */
  spend(usage: Usage): void {
    this.#usage = usage
  }
}

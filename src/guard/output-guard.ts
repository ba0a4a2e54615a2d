/** The guard after the model: an answer is held back, a window at a time, until it has been judged. */
import type { CallOptions, ChatEvent, ChatRequest, Layer, Usage } from '../types.ts'
import { type GuardOptions, passes, questionOf } from './judge.ts'
import { override } from './layer.ts'

export interface OutputGuardOptions extends GuardOptions {
  /**
   * Characters that are held back and judged together. Few: the answer flows, and is judged often. Infinity:
   * only a whole answer is judged, and nothing of it is seen before. Default 400.
   */
  readonly windowCharacters?: number
  /**
   * Characters before the window that the judge is shown as well, so that nothing hides on a window's edge.
   * Default: all of the answer.
   */
  readonly contextCharacters?: number
}

const DEFAULT_WINDOW = 400

/**
 * What has been let through stays; at the first window that may not pass, the model is stopped and the answer
 * ends with the finish reason `content_filter`.
 */
export function outputGuard(options: OutputGuardOptions): Layer {
  return (next) =>
    override(next, {
      chat: (request, call = {}) => guarded(next.chat(request, call), request, call, options),
    })
}

async function* guarded(
  events: AsyncIterable<ChatEvent>,
  request: ChatRequest,
  call: CallOptions,
  options: OutputGuardOptions,
): AsyncGenerator<ChatEvent, void, undefined> {
  const { windowCharacters = DEFAULT_WINDOW, contextCharacters = Infinity } = options
  const question = questionOf(request)
  let held: ChatEvent[] = []
  let window = ''
  /** What has been let through. */
  let passed = ''
  let pieces = 0
  const mayPass = async (): Promise<boolean> => {
    const answer = passed.slice(Math.max(0, passed.length - contextCharacters)) + window
    if (window !== '' && !(await passes('output', { question, answer }, options, call))) return false
    passed += window
    window = ''
    return true
  }
  for await (const event of events) {
    const text = textOf(event)
    held.push(event)
    window += text
    if (text !== '') pieces++
    const finish = event.type === 'finish'
    if (!finish && window.length < windowCharacters) continue
    const start = held[0]?.type === 'start' ? held[0] : undefined
    if (!(await mayPass())) {
      // Whoever waits for an answer is told that there was one, and why it ends here.
      if (start) yield start
      yield { type: 'finish', reason: 'content_filter', usage: finish ? event.usage : usageOf(pieces) }
      return
    }
    yield* held
    held = []
  }
}

/** Arguments of tools are written by the model like any text. */
function textOf(event: ChatEvent): string {
  if (event.type === 'text') return event.text
  return event.type === 'tool' ? event.arguments : ''
}

/** The model was stopped before it could say. */
function usageOf(pieces: number): Usage {
  return { promptTokens: 0, completionTokens: pieces, estimated: true }
}

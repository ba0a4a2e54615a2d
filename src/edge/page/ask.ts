/** Asks one question of a Backend and keeps what comes of it in an Exchange, however it ends. */
import { type Backend, type ChatRequest, FacetError, type Message, type Usage } from '../../index.ts'
import type { Exchange } from './conversation.ts'

/** A Backend that may also tell what an answer that was stopped has cost. */
export interface Asked {
  chat(
    request: ChatRequest,
    options: { readonly signal: AbortSignal; readonly onUsage: (usage: Usage) => void },
  ): ReturnType<Backend['chat']>
}

export interface AskOptions {
  readonly messages: readonly Message[]
  readonly signal: AbortSignal
  /** Called after every change of the exchange. */
  readonly onChange: () => void
}

/** @returns the error, where one ended it; the exchange's outcome is set */
export async function ask(
  backend: Asked,
  exchange: Exchange,
  { messages, signal, onChange }: AskOptions,
): Promise<FacetError | undefined> {
  const onUsage = (usage: Usage): void => {
    exchange.usage = usage
  }
  const end = (outcome: Exchange['outcome']): void => {
    exchange.outcome = outcome
    exchange.times = { ...exchange.times, doneMs: performance.now() }
    onChange()
  }
  try {
    for await (const event of backend.chat({ ...exchange.parameters, messages }, { signal, onUsage })) {
      if (event.type === 'text') {
        exchange.times = { firstMs: performance.now(), ...exchange.times }
        exchange.answer += event.text
        exchange.tokens.push(...(event.logprobs ?? []))
        onChange()
      } else if (event.type === 'finish') {
        exchange.reason = event.reason
        exchange.usage = event.usage
      }
    }
    // A Backend that yields no finish has broken its word.
    if (exchange.reason === undefined) {
      throw new FacetError('stream_interrupted', 'The answer ended before it was complete.')
    }
    end(exchange.reason === 'length' ? 'cut' : 'complete')
    return undefined
  } catch (error) {
    if (signal.aborted) {
      end('stopped')
      return undefined
    }
    if (!(error instanceof FacetError)) throw error
    exchange.problem = messageOf(error)
    end('failed')
    return error
  }
}

function messageOf({ message, retryAfterMs }: FacetError): string {
  const wait = retryAfterMs === undefined ? '' : ` Try again in ${Math.ceil(retryAfterMs / 1000)} s.`
  return message + wait
}

/** The loss of a model on held-out rows, asked as any model is asked: nats a token of what the assistant says. */
import { isObject } from '../../check.ts'
import { FacetError } from '../../errors.ts'
import { readText } from '../../text-file.ts'
import type { Backend, Message } from '../../types.ts'
import { toJson } from '../to-json.ts'

export interface HeldOutLoss {
  /** Mean over all tokens of all answers. */
  readonly loss: number
  readonly tokens: number
  /** Answers that were scored. */
  readonly answers: number
}

/** What the assistant says, and what was said before it. */
export interface Turn {
  readonly messages: readonly Message[]
  readonly answer: string
}

/**
 * The assistant's turns of a JSONL file with `messages`, in the file's order.
 *
 * @throws FacetError io_failed, invalid_request with the line
 */
export async function readTurns(file: string): Promise<Turn[]> {
  const text = await readText(file, { field: 'eval-data', advice: 'give rows of facet tune data' })
  const turns = text.split('\n').flatMap((line, index) => {
    if (line.trim() === '') return []
    const where = `${file}, line ${index + 1}`
    return turnsOf(messagesOf(line, where))
  })
  if (turns.length > 0) return turns
  throw new FacetError('invalid_request', `${file} holds no answers; give rows with messages.`, {
    field: 'eval-data',
  })
}

function messagesOf(line: string, where: string): Message[] {
  const row = toJson(line)
  const messages = isObject(row) ? row.messages : undefined
  if (Array.isArray(messages) && messages.every(isMessage)) return messages as Message[]
  throw new FacetError(
    'invalid_request',
    `${where}: messages must be a list of turns with role (system, user, assistant) and content; mend the row.`,
    { field: 'eval-data' },
  )
}

function turnsOf(messages: readonly Message[]): Turn[] {
  return messages.flatMap(({ role, content }, index) =>
    role === 'assistant' && index > 0 ? [{ messages: messages.slice(0, index), answer: content.trim() }] : [],
  )
}

/** @throws FacetError unsupported where the model does not score, and as it throws */
export async function heldOutLoss(
  backend: Backend,
  turns: readonly Turn[],
  signal: AbortSignal,
): Promise<HeldOutLoss> {
  if (!backend.score) {
    const says = `${backend.name} gives no log-likelihoods; evaluate a model directory.`
    throw new FacetError('unsupported', says, { field: 'eval-data' })
  }
  let [sum, tokens] = [0, 0]
  for (const { messages, answer } of turns) {
    const [scored = []] = await backend.score({ messages, continuations: [answer] }, { signal })
    for (const { logprob } of scored) sum -= logprob
    tokens += scored.length
  }
  return { loss: tokens > 0 ? sum / tokens : Number.NaN, tokens, answers: turns.length }
}

function isMessage(value: unknown): boolean {
  if (!isObject(value)) return false
  const { role, content } = value
  return (role === 'system' || role === 'user' || role === 'assistant') && typeof content === 'string'
}

/** One row as a conversation, checked: who speaks, in what order, and that nothing is empty. */
import { FacetError } from '../../errors.ts'
import { type Turn, tuningTurns } from '../../gemma/chat-template.ts'
import type { Message, Tool } from '../../types.ts'
import { Rejection } from './rejection.ts'

export interface Conversation {
  readonly messages: readonly Message[]
  /** Functions that the model was offered. */
  readonly tools?: readonly Tool[]
}

/**
 * The turns that a model is tuned on: system message and tools folded into the user's turns, as Gemma's template has
 * them.
 *
 * @throws Rejection role, turns, empty or no-answer
 */
export function checkedTurns({ messages, tools }: Conversation): Turn[] {
  if (messages.length === 0) throw new Rejection('empty', 'there are no messages')
  checkOrder(messages)
  for (const [index, message] of messages.entries()) {
    const calls = message.role === 'assistant' && (message.toolCalls?.length ?? 0) > 0
    if (message.content.trim() === '' && !calls) {
      throw new Rejection('empty', `message ${index + 1}, of the ${message.role}, is empty`)
    }
  }
  try {
    return tuningTurns(messages, tools)
  } catch (error) {
    if (error instanceof FacetError) throw new Rejection('turns', error.message)
    throw error
  }
}

function checkOrder(messages: readonly Message[]): void {
  let before: Message['role'] | undefined
  for (const [index, { role }] of messages.entries()) {
    const place = `message ${index + 1}`
    if (role === 'system') {
      if (index > 0)
        throw new Rejection('turns', `${place} is of the system, which speaks first or not at all`)
      continue
    }
    if (role === before && role !== 'tool') {
      throw new Rejection('turns', `messages ${index} and ${index + 1} are both of the ${role}`)
    }
    if (role !== 'user' && before === undefined) {
      throw new Rejection('turns', `${place} is of the ${role}, before any user has spoken`)
    }
    before = role
  }
  if (before === 'assistant') return
  const last = messages.at(-1)!.role
  throw new Rejection('no-answer', `the last message is of the ${last}, so that nothing is answered`)
}

/** What both sides have said, as one text. */
export function textOf(turns: readonly Turn[]): string {
  return turns.map(({ content }) => content).join('\n\n')
}

/** Conversations written as one text with `Human:` and `Assistant:` before each turn, as Anthropic's HH-RLHF has them. */
import type { PromptTurn } from './judged.ts'

const MARK = /(?:^|\n\n)(Human|Assistant):[ ]?/g

/**
 * @returns the turns, the last one the assistant's; a text says what is wrong with it
 */
export function toTurns(transcript: string): PromptTurn[] | string {
  const marks = [...transcript.matchAll(MARK)]
  if (marks.length === 0) return 'has no turn that begins with Human: or Assistant:'
  if (transcript.slice(0, marks[0]!.index).trim() !== '') return 'has a text before its first turn'
  const turns = marks.map(({ 0: mark, 1: name, index }, at): PromptTurn => {
    const end = marks[at + 1]?.index ?? transcript.length
    return {
      role: name === 'Human' ? 'user' : 'assistant',
      content: transcript.slice(index + mark.length, end).trim(),
    }
  })
  return wrongTurns(turns) ?? turns
}

/** What is wrong with a conversation that is to end with an answer; undefined: nothing. */
export function wrongTurns(turns: readonly PromptTurn[]): string | undefined {
  const spoken = turns[0]?.role === 'system' ? turns.slice(1) : turns
  for (const [at, { role }] of spoken.entries()) {
    const wanted = at % 2 === 0 ? 'user' : 'assistant'
    if (role !== wanted) return `has turn ${at + 1} of the ${role}, where the ${wanted}'s is due`
  }
  if (spoken.length === 0) return 'has no turns'
  return spoken.at(-1)!.role === 'assistant' ? undefined : 'ends without an answer of the assistant'
}

/** Rows of files as judged pairs: chosen and rejected answers, two answers with a winner, or two transcripts. */
import type { Row } from '../../eval/row.ts'
import type { Side } from '../../eval/sxs/pair.ts'
import type { Winner } from '../../eval/sxs/preference.ts'
import type { Judged, PromptTurn } from './judged.ts'
import { toTurns, wrongTurns } from './transcript.ts'

/**
 * One row, which has one of
 * - `prompt`, `chosen` and `rejected`, each a text or a list of messages;
 * - `chosen` and `rejected` alone: whole conversations, as messages or as HH-RLHF's transcripts;
 * - `prompt`, `a`, `b` and `winner` (`a`, `b` or `tie`), with `first` (`a` or `b`) where it is known who stood first.
 *
 * `margin` may be there with all of them, `chosen_model` and `rejected_model`, or `model_a` and `model_b`, too.
 *
 * @throws FacetError invalid_request, with file and line
 */
export function toJudged(row: Row): Judged {
  if (row.has('winner')) return fromWinner(row)
  if (row.has('chosen') && row.has('rejected')) {
    return row.has('prompt') ? fromChosen(row) : fromConversations(row)
  }
  throw row.problem('needs prompt, chosen and rejected, or prompt, a, b and winner')
}

function fromWinner(row: Row): Judged {
  const winner = wordOf<Winner>(row, 'winner', { a: 'a', b: 'b', tie: 'tie', model_a: 'a', model_b: 'b' })
  return {
    place: placeOf(row),
    prompt: promptOf(row),
    a: answerOf(row, 'a'),
    b: answerOf(row, 'b'),
    winner,
    players: row.has('model_a')
      ? { a: row.text('model_a'), b: row.text('model_b') }
      : { a: 'answer a', b: 'answer b' },
    verdicts: row.has('first') ? [{ first: wordOf<Side>(row, 'first', { a: 'a', b: 'b' }), winner }] : [],
    ...marginOf(row),
  }
}

function fromChosen(row: Row): Judged {
  return {
    place: placeOf(row),
    prompt: promptOf(row),
    a: answerOf(row, 'chosen'),
    b: answerOf(row, 'rejected'),
    ...preferred(row),
  }
}

/** Two conversations that are the same but for their last answers. */
function fromConversations(row: Row): Judged {
  const [chosen, rejected] = (['chosen', 'rejected'] as const).map((field) => conversationOf(row, field))
  const prompt = chosen!.slice(0, -1)
  if (JSON.stringify(prompt) !== JSON.stringify(rejected!.slice(0, -1))) {
    throw row.problem(
      'chosen and rejected part before their last answers, so that they answer different prompts',
    )
  }
  return {
    place: placeOf(row),
    prompt,
    a: chosen!.at(-1)!.content,
    b: rejected!.at(-1)!.content,
    ...preferred(row),
  }
}

function preferred(row: Row): Pick<Judged, 'winner' | 'players' | 'verdicts' | 'margin'> {
  return {
    winner: 'a',
    verdicts: [],
    ...(row.has('chosen_model') && {
      players: { a: row.text('chosen_model'), b: row.text('rejected_model') },
    }),
    ...marginOf(row),
  }
}

function promptOf(row: Row): PromptTurn[] {
  if (row.isText('prompt')) return [{ role: 'user', content: row.text('prompt') }]
  const turns = messagesOf(row, 'prompt')
  const wrong = wrongTurns([...turns, { role: 'assistant', content: '' }])
  if (wrong !== undefined) throw row.problem(`prompt ${wrong}`)
  return turns
}

/** A text, or the one message of the assistant. It may be empty: some models answer nothing. */
function answerOf(row: Row, field: string): string {
  if (row.isText(field)) return row.text(field, true)
  const [message, ...more] = messagesOf(row, field)
  if (message?.role === 'assistant' && more.length === 0) return message.content
  throw row.problem(`${field} must be a text, or a list with one message of the assistant`)
}

function conversationOf(row: Row, field: string): PromptTurn[] {
  const turns = row.isText(field) ? toTurns(row.text(field)) : messagesOf(row, field)
  if (typeof turns === 'string') throw row.problem(`${field} ${turns}`)
  const wrong = wrongTurns(turns)
  if (wrong !== undefined) throw row.problem(`${field} ${wrong}`)
  return turns
}

const ROLES = { system: 'system', user: 'user', assistant: 'assistant', model: 'assistant' } as const

function messagesOf(row: Row, field: string): PromptTurn[] {
  return row.list(field).map((_, at): PromptTurn => {
    const message = row.item(field, at)
    return { role: wordOf(message, 'role', ROLES), content: message.text('content', true) }
  })
}

function marginOf(row: Row): Pick<Judged, 'margin'> {
  if (!row.has('margin')) return {}
  const margin = row.number('margin')
  if (margin < 0) throw row.problem(`margin is ${margin}, but must not be negative: turn the answers around`)
  return { margin }
}

function wordOf<Word extends string>(row: Row, field: string, words: Readonly<Record<string, Word>>): Word {
  const value = row.text(field)
  if (Object.hasOwn(words, value)) return words[value]!
  throw row.problem(`${field} must be ${Object.keys(words).join(', ')}, but is ${JSON.stringify(value)}`)
}

function placeOf({ place }: Row): string {
  return `${place.file}, line ${place.line}`
}

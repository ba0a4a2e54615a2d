/** The model that is to be tuned, as far as data is concerned: its tokens, its template, its context. */
import { configOf, readCopies } from '../../convert/checkpoint-files.ts'
import { tokenizerOf } from '../../convert/checkpoint-tokenizer.ts'
import { localFiles } from '../../convert/file-source.ts'
import { FacetError } from '../../errors.ts'
import { type Turn, turnIds } from '../../gemma/chat-template.ts'
import type { Tokenizer } from '../../gemma/tokenizer.ts'
import { Rejection } from './rejection.ts'

export interface TunedModel {
  readonly tokenizer: Tokenizer
  /** What the model was trained to take in, in tokens. */
  readonly contextTokens: number
}

/**
 * @param folder a checkpoint or a model directory: config.json and a tokenizer are read, no weights
 * @throws FacetError invalid_checkpoint, tokenizer_missing
 */
export async function readTunedModel(folder: string): Promise<TunedModel> {
  const files = await readCopies(localFiles(folder))
  const config = configOf(files, folder)
  const tokenizer = tokenizerOf(files, config)
  if (tokenizer) return { tokenizer, contextTokens: config.contextTokens }
  throw new FacetError(
    'tokenizer_missing',
    `${folder} has no tokenizer, by which lengths are counted; put tokenizer.json or tokenizer.model there.`,
    { field: 'model' },
  )
}

export interface Fitted {
  readonly turns: readonly Turn[]
  /** With bos and all control tokens. */
  readonly tokens: number
  readonly truncated: boolean
}

const BOS_TOKENS = 1

/** Of a whole conversation, with bos and all control tokens. */
export function lengthOf(turns: readonly Turn[], tokenizer: Tokenizer): number {
  return turns.reduce((sum, turn) => sum + turnIds(turn, tokenizer).length, BOS_TOKENS)
}

/**
 * The conversation, if it fits. Truncated, its last exchanges are left out until it does; of a single exchange the end
 * of the answer is cut off.
 *
 * @throws Rejection too-long
 */
export function fitted(
  turns: readonly Turn[],
  tokenizer: Tokenizer,
  contextTokens: number,
  truncate: boolean,
): Fitted {
  const lengths = turns.map((turn) => turnIds(turn, tokenizer).length)
  const lengthOfFirst = (count: number): number =>
    lengths.slice(0, count).reduce((sum, length) => sum + length, BOS_TOKENS)
  const all = lengthOfFirst(turns.length)
  if (all <= contextTokens) return { turns, tokens: all, truncated: false }
  const tooLong = new Rejection('too-long', `it has ${all} tokens, and the context ${contextTokens}`)
  if (!truncate) throw tooLong
  // Turns alternate, the user's first: an even number of them ends with an answer.
  for (let count = turns.length - 2; count >= 2; count -= 2) {
    const tokens = lengthOfFirst(count)
    if (tokens <= contextTokens) return { turns: turns.slice(0, count), tokens, truncated: true }
  }
  const [asked, answer] = turns as [Turn, Turn]
  const answered = cutTo(answer, contextTokens - lengthOfFirst(1), tokenizer)
  if (!answered) throw tooLong
  const cut = [asked, answered]
  return { turns: cut, tokens: lengthOf(cut, tokenizer), truncated: true }
}

/** Undefined: nothing of it fits. */
function cutTo(turn: Turn, tokens: number, tokenizer: Tokenizer): Turn | undefined {
  const ids = tokenizer.encode(turn.content)
  const around = turnIds({ ...turn, content: '' }, tokenizer).length
  for (let count = Math.min(ids.length, tokens - around); count > 0; count--) {
    // The stream keeps back what is not yet a whole character.
    const stream = tokenizer.stream()
    const content = ids
      .slice(0, count)
      .map((id) => stream.push(id))
      .join('')
      .trimEnd()
    if (content === '') return undefined
    // What is cut may be split into tokens in another way than it was as a part of the whole.
    if (turnIds({ ...turn, content }, tokenizer).length <= tokens) return { ...turn, content }
  }
  return undefined
}

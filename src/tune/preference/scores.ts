/** scores.jsonl, which a reward job writes: the reward of both answers of each held-out pair. */
import { isObject } from '../../check.ts'
import { FacetError } from '../../errors.ts'

/** In a reward job's result. */
export const SCORES_FILE = 'scores.jsonl'

export interface ScoredPair {
  /** The same for pairs of the same prompt, which are no independent observations. */
  readonly prompt: string
  readonly chosen: number
  readonly rejected: number
  /** Of the conversation, its prompt included: their difference is that of the answers. */
  readonly chosenTokens: number
  readonly rejectedTokens: number
  /** How much better people found it, where that is known. */
  readonly margin?: number
}

/**
 * @param file its name, for messages
 * @throws FacetError invalid_request, with the line; or there are none
 */
export function parseScores(text: string, file: string): ScoredPair[] {
  const lines = text.split('\n').flatMap((line, at) => (line.trim() === '' ? [] : [{ line, number: at + 1 }]))
  if (lines.length === 0) {
    throw new FacetError(
      'invalid_request',
      `${file} holds no scores; run the reward job with held-out pairs.`,
      {
        field: 'scores',
      },
    )
  }
  return lines.map(({ line, number }) => toPair(line, `${file}, line ${number}`))
}

function toPair(line: string, place: string): ScoredPair {
  const wrong = (problem: string): FacetError =>
    new FacetError('invalid_request', `${place} ${problem}; fetch the result of the reward job again.`, {
      field: 'scores',
    })
  let row: unknown
  try {
    row = JSON.parse(line)
  } catch {
    throw wrong('is no JSON')
  }
  if (!isObject(row)) throw wrong('is no object')
  const { prompt, margin } = row
  const number = (field: string): number => {
    const value = row[field]
    if (typeof value === 'number') return value
    throw wrong(`has no number as ${field}`)
  }
  if (typeof prompt !== 'string') throw wrong('names no prompt')
  return {
    prompt,
    chosen: number('chosen'),
    rejected: number('rejected'),
    chosenTokens: number('chosen_tokens'),
    rejectedTokens: number('rejected_tokens'),
    ...(margin !== undefined && { margin: number('margin') }),
  }
}

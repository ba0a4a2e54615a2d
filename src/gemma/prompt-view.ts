/** A prompt as people read it when something is wrong with it: token by token, control tokens told apart from text. */
import type { Tokenizer } from './tokenizer.ts'

export interface PromptToken {
  readonly id: number
  /** The vocabulary's own entry, in which ▁ is a space. */
  readonly token: string
  /** Means something to the model that no text can say. */
  readonly control: boolean
}

export function toPromptTokens(ids: readonly number[], tokenizer: Tokenizer): PromptToken[] {
  return ids.map((id) => {
    const token = tokenizer.tokenOf(id) ?? `<unknown ${id}>`
    // Single bytes of a character decode to something, too.
    return { id, token, control: /^<.+>$/.test(token) && tokenizer.decode([id]) === '' }
  })
}

/**
 * The prompt as one text.
 *
 * @param mark makes a control token stand out, which text of the same letters then does not
 */
export function toMarkedText(
  tokens: readonly PromptToken[],
  tokenizer: Tokenizer,
  mark: (token: string) => string,
): string {
  let text = ''
  let run: number[] = []
  const flush = (): void => {
    text += tokenizer.decode(run)
    run = []
  }
  for (const { id, token, control } of tokens) {
    if (!control) {
      run.push(id)
      continue
    }
    flush()
    text += mark(token)
  }
  flush()
  return text
}

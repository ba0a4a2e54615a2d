/** eval.json of the sample model, and how its pairs are asked. */

export type Pair = readonly [tool: string, description: string, command: string, platform: string]

export interface Evaluation {
  readonly train_documents: readonly string[]
  readonly heldout_documents: readonly string[]
  readonly train_pairs: readonly Pair[]
  readonly heldout_pairs: readonly Pair[]
}

export function questionOf([tool, description]: Pair): string {
  return `How do I ${description.charAt(0).toLowerCase()}${description.slice(1)} with ${tool}?`
}

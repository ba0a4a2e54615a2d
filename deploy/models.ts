/** The models that can be deployed: their names on Hugging Face, and their shapes. */
import type { GemmaConfig } from '../src/gemma/config.ts'
import { PUBLISHED_NAMES, type PublishedName, publishedConfig } from '../src/gemma/published.ts'

export interface Model {
  /** As a deployment names it: `gemma-7b-it`. Clients ask for this. */
  readonly id: string
  /** On Hugging Face: `google/gemma-7b-it`. All of them are gated: a token whose account accepted the licence. */
  readonly repository: string
  readonly published: PublishedName
  readonly config: GemmaConfig
}

const TUNED: Readonly<Partial<Record<PublishedName, readonly string[]>>> = {
  'gemma-2b': ['gemma-2b', 'gemma-2b-it', 'gemma-1.1-2b-it'],
  'gemma-7b': ['gemma-7b', 'gemma-7b-it', 'gemma-1.1-7b-it'],
}

/** Gemma 1 and 2 name the base model plainly, and so does the 270M; the rest of Gemma 3 adds -pt. */
const VARIANTS: ReadonlyMap<string, PublishedName> = new Map(
  PUBLISHED_NAMES.flatMap((name) => {
    const base = name.startsWith('gemma-3-') && name !== 'gemma-3-270m' ? `${name}-pt` : name
    return (TUNED[name] ?? [base, `${name}-it`]).map((id): [string, PublishedName] => [id, name])
  }),
)

export const MODEL_IDS: readonly string[] = [...VARIANTS.keys()]

/** With or without `google/`; undefined for names that are not in MODEL_IDS. */
export function modelOf(name: string): Model | undefined {
  const id = name.replace(/^google\//, '')
  const published = VARIANTS.get(id)
  return published && { id, repository: `google/${id}`, published, config: publishedConfig(published) }
}

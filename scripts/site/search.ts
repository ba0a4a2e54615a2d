/** What the search knows of a passage: shared by the build, which makes the index, and the page, which reads it. */
import type { Options } from 'minisearch'

export interface Found {
  /** Page and anchor. */
  readonly id: string
  readonly page: string
  readonly heading: string
}

export interface Indexed extends Found {
  readonly words: string
}

export const SEARCH: Options<Indexed> = {
  fields: ['heading', 'page', 'words'],
  storeFields: ['page', 'heading'],
  // Names such as `--max-running` and `context_length_exceeded` are found whole and by their parts.
  tokenize: (text) => {
    const whole = text.split(/[^\p{L}\p{N}_./-]+/u)
    return [...new Set(whole.flatMap((word) => [word, ...word.split(/[_./-]+/)]))].filter(Boolean)
  },
  searchOptions: {
    boost: { heading: 4, page: 2 },
    prefix: true,
    fuzzy: (term) => (term.length > 5 ? 0.2 : false),
    combineWith: 'AND',
  },
}

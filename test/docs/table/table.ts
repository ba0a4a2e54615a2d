/** How every command of the documentation is run, page by page. */
import type { PageEntries } from '../entry.ts'
import { CLOUD } from './cloud.ts'
import { EDGE } from './edge.ts'
import { EVALUATION } from './evaluation.ts'
import { MODELS } from './models.ts'
import { START } from './start.ts'
import { TUNING } from './tuning.ts'

export const TABLE: readonly PageEntries[] = [
  ...START,
  ...EDGE,
  ...CLOUD,
  ...MODELS,
  ...EVALUATION,
  ...TUNING,
]

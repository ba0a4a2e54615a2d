/** A row of a data set before anything is known of it, and where it stands. */
import { FacetError } from '../../../errors.ts'

export interface RowAt {
  /** From 1, where the row begins; of a file without lines, the number of the row. */
  readonly line: number
  /** As parsed, or as it stands there if it cannot be. */
  readonly row: unknown
  /** Why it cannot be read. */
  readonly problem?: string
}

/** A file that cannot be read on from some place, or at all. */
export function unreadable(file: string, problem: string, cause?: unknown): FacetError {
  return new FacetError('invalid_request', `${file} ${problem}.`, { field: 'files', cause })
}

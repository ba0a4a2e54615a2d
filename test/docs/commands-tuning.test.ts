/** The commands of the pages on tuning, run. */
import { runPages } from './run-pages.ts'
import { TUNING } from './table/tuning.ts'

runPages(TUNING)

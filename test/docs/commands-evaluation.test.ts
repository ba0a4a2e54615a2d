/** The commands of the page on evaluation, run. */
import { runPages } from './run-pages.ts'
import { EVALUATION } from './table/evaluation.ts'

runPages(EVALUATION)

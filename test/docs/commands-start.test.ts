/** The commands of the first pages, run. */
import { runPages } from './run-pages.ts'
import { START } from './table/start.ts'

runPages(START)

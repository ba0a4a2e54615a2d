/** The commands of the pages on serving, run. */
import { runPages } from './run-pages.ts'
import { EDGE } from './table/edge.ts'

runPages(EDGE)

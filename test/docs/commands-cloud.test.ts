/** The commands of the pages on deployments, run. */
import { runPages } from './run-pages.ts'
import { CLOUD } from './table/cloud.ts'

runPages(CLOUD)

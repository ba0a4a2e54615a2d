/** The commands of the page on models, run. */
import { runPages } from './run-pages.ts'
import { MODELS } from './table/models.ts'

runPages(MODELS)

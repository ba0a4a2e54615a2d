/** Writes docs/troubleshooting.md from the tables of errors and causes. */
import { writeFileSync } from 'node:fs'
import { toTroubleshooting } from './site/troubleshooting.ts'

writeFileSync(new URL('../docs/troubleshooting.md', import.meta.url), toTroubleshooting())

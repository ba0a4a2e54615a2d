/** Writes the catalog of frameworks into docs/integrations.md, between its markers. */
import { readFileSync, writeFileSync } from 'node:fs'
import { toMarkdown } from '../src/integrations/matrix.ts'

const PAGE = new URL('../docs/integrations.md', import.meta.url)

const text = readFileSync(PAGE, 'utf8')
const next = text.replace(
  /(<!-- matrix -->\n)[\s\S]*(<!-- \/matrix -->)/,
  (_, open: string, close: string) => `${open}${toMarkdown()}\n${close}`,
)
writeFileSync(PAGE, next)

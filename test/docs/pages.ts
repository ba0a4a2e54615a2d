/** The documentation's fenced blocks, page by page. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT: string = fileURLToPath(new URL('../../', import.meta.url))

/** Paths in the repository. */
export const PAGES: readonly string[] = [
  'README.md',
  ...readdirSync(join(ROOT, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
]

export interface Block {
  readonly page: string
  /** Of its first line of code, from 1. */
  readonly line: number
  readonly code: string
}

export const textOf = (page: string): string => readFileSync(join(ROOT, page), 'utf8')

/** @param language as it stands after the fence */
export function blocksOf(page: string, language: string): Block[] {
  const text = textOf(page)
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'gms'))].map(
    ({ index, 1: code }) => ({ page, line: text.slice(0, index).split('\n').length + 1, code: code! }),
  )
}

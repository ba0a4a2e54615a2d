/** The page of all exports: what each of the package's entries is for, and what it exports, by the sources' own docstrings. */
import { readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import manifest from '../../package.json' with { type: 'json' }

const ROOT = fileURLToPath(new URL('../../', import.meta.url))

interface Exported {
  readonly name: string
  readonly kind: string
  readonly says: string
}

/** Entry of the package -> source file. */
export const ENTRIES: ReadonlyMap<string, string> = new Map(
  Object.entries(manifest.exports).flatMap(([name, target]) => {
    if (typeof target === 'string') return []
    const { types } = 'node' in target ? target.node : target
    const path = types.replace(/^\.\/dist\//, '').replace(/\.d\.ts$/, '.ts')
    return [[`gemfacet${name.slice(1)}`, path.startsWith('deploy/') ? path : `src/${path}`] as const]
  }),
)

const textOf = (path: string): string => readFileSync(posix.join(ROOT, path), 'utf8')

/** The first sentence of a docstring's text. */
function sentenceOf(docstring: string): string {
  const text = docstring
    .replaceAll(/^\s*\*(?!\/) ?/gm, '')
    .split(/^@/m)[0]!
    .replaceAll(/\s+/g, ' ')
    .trim()
  return /^.*?[.:](?= |$)/.exec(text)?.[0].replace(/:$/, '.') ?? text
}

const DECLARATION =
  /(?:\/\*\*((?:(?!\*\/).)*)\*\/\s*)?^export (?:declare )?(?:default )?(?:async )?(?:abstract )?(function|const|class|interface|type)\*? (\w+)/gms
const FORWARDED = /^export (?:type )?(?:\{([^}]*)\}|\*) from '(\.[^']+)'/gms

/** What a file exports, followed to where it is declared. */
function exportsOf(path: string): Exported[] {
  const text = textOf(path)
  const declared = [...text.matchAll(DECLARATION)].map(([, docstring, kind, name]) => ({
    name: name!,
    kind: kind!,
    says: docstring ? sentenceOf(docstring) : '',
  }))
  const forwarded = [...text.matchAll(FORWARDED)].flatMap(([, names, from]) => {
    const there = exportsOf(posix.join(posix.dirname(path), from!))
    if (names === undefined) return there
    return [...names.matchAll(/(?:type )?(\w+)(?: as (\w+))?/g)].map(([, name, as]) => {
      const found = there.find((one) => one.name === name)
      if (!found) throw new Error(`${path} exports ${name} from ${from}, where it is not found.`)
      return { ...found, name: as ?? found.name }
    })
  })
  return [...declared, ...forwarded]
}

function toEntry(name: string, path: string): string {
  const [, opening] = /^\/\*\*(.*?)\*\//s.exec(textOf(path))!
  const rows = exportsOf(path)
    .toSorted((a, b) => a.name.localeCompare(b.name, 'en'))
    .map(({ name: exported, kind, says }) => `| \`${exported}\` | ${kind} | ${says.replaceAll('|', '\\|')} |`)
  return `## ${name}

${opening!.replaceAll(/\s+\*? ?/g, ' ').trim()} Source: [${path}](../${path}).

| name | kind | |
|---|---|---|
${rows.join('\n')}
`
}

export function toExportsPage(): string {
  return `# Exports

What each entry of the package exports, with the first sentence that its source says of it. Your editor shows the rest,
with all types: they come with the package.

${[...ENTRIES].map(([name, path]) => toEntry(name, path)).join('\n')}`
}

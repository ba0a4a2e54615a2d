/** The catalog as Markdown: what stands between the markers of docs/integrations.md. */
import { frameworkOf } from './catalog.ts'
import { FRAMEWORKS, type Framework, type Support } from './framework.ts'

const GENERATIONS = [
  ['gemma', 'Gemma 1'],
  ['gemma2', 'Gemma 2'],
  ['gemma3_text', 'Gemma 3'],
] as const

/** One line a framework, and below it the reasons and sources. */
export function toMarkdown(): string {
  const all = FRAMEWORKS.map(frameworkOf)
  return [
    '| framework | pinned | Gemma 1 | Gemma 2 | Gemma 3 (text) |',
    '|---|---|---|---|---|',
    ...all.map(
      (one) =>
        `| \`${one.name}\`: ${one.title} | ${one.version} | ${GENERATIONS.map(([key]) => toCell(one.support[key])).join(' | ')} |`,
    ),
    '',
    ...all.flatMap(toNotes),
  ].join('\n')
}

function toCell({ state, since, until, sizes }: Support): string {
  const from = since ? `from ${since}` : 'yes'
  const only = sizes ? `, ${sizes.map((name) => name.replace(/^.*-/, '').toUpperCase()).join(', ')}` : ''
  switch (state) {
    case 'supported':
      return from + only
    case 'dropped':
      return `**dropped**${until ? ` after ${until}` : ''}`
    case 'never':
      return '**no**'
    case 'unconfirmed':
      return 'not confirmed'
  }
}

function toNotes({ name, title, image, source, support }: Framework): string[] {
  const reasons = GENERATIONS.map(([key, generation]) => {
    const { because, instead, source: read } = support[key]
    const other = instead ? ` Instead: \`${instead}\`.` : ''
    return `- ${generation}: ${because ? `${because}${other} ` : ''}[source](${read.url}), ${read.looked}.`
  })
  const what = image ? `Image \`${image}\`` : 'No image'
  return [
    `**${title}** (\`${name}\`)`,
    '',
    `- ${what}: [source](${source.url}), ${source.looked}.`,
    ...reasons,
    '',
  ]
}

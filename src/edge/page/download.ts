/** The export menu: the conversation as a file on the reader's machine. */
import type { Conversation } from './conversation.ts'
import { element, make } from './dom.ts'
import { toJson, toMarkdown } from './export.ts'
import { systemPrompt } from './parameters.ts'

const FORMATS = [
  { button: 'export-json', write: toJson, type: 'application/json', ending: 'json' },
  { button: 'export-markdown', write: toMarkdown, type: 'text/markdown', ending: 'md' },
] as const

export function watchExport(conversation: Conversation): void {
  const menu = element('export-menu', HTMLElement)
  for (const { button, write, type, ending } of FORMATS) {
    element(button, HTMLButtonElement).addEventListener('click', () => {
      const now = new Date()
      const stamp = now.toISOString().slice(0, 19).replaceAll(':', '-')
      save(new Blob([write(conversation, systemPrompt(), now)], { type }), `facet-${stamp}.${ending}`)
      menu.hidePopover()
    })
  }
}

function save(blob: Blob, name: string): void {
  const link = make('a')
  link.href = URL.createObjectURL(blob)
  link.download = name
  link.click()
  // The download has begun with the click.
  URL.revokeObjectURL(link.href)
}

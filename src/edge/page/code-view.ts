/** The sheet with the request on screen as code. */
import { copies } from './copy.ts'
import { chosen, element } from './dom.ts'
import { type Language, type SnippetOptions, toSnippet } from './snippets.ts'

const sheet = element('code', HTMLElement)
const code = element('snippet', HTMLElement)
const note = element('snippet-note', HTMLElement)

export class CodeView {
  readonly #options: () => SnippetOptions
  #shown = false
  #drawing = 0

  constructor(options: () => SnippetOptions) {
    this.#options = options
    sheet.addEventListener('change', () => void this.update())
    copies(element('copy-snippet', HTMLButtonElement), () => code.textContent, code)
  }

  show(shown: boolean): void {
    this.#shown = shown
    void this.update()
  }

  /** Draws what is on screen now; nothing while the sheet is closed. */
  async update(): Promise<void> {
    if (!this.#shown) return
    const drawing = ++this.#drawing
    const language = chosen(sheet, 'language') as Language
    const options = this.#options()
    const text = await toSnippet(language, options)
    if (drawing !== this.#drawing) return
    code.textContent = text
    note.textContent = noteOf(language, options)
  }
}

function noteOf(language: Language, { keyed, local }: SnippetOptions): string {
  if (local && language !== 'gemfacet') {
    return 'The model runs in this page just now; this asks the server instead, which must be reachable.'
  }
  return keyed && !local
    ? 'Put your key into the environment variable FACET_API_KEY; it is never shown here.'
    : ''
}

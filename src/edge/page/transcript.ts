/** The conversation as the page shows it. Text is only ever set as text, so an answer cannot be markup. */
import { copyOf, element, inside } from './dom.ts'
import { type Piece, piecesOf } from './markup.ts'

const COPIED_MS = 1500
/** So near to the end counts as reading along. */
const NEAR_END_PX = 80

/** What the button beside an error says and does. */
export interface Remedy {
  readonly label: string
  readonly act: () => void
}

/** One question with its answer. */
export class Turn {
  readonly #item: HTMLElement = copyOf('turn-template')
  #said = ''
  #drawn = false

  constructor(question: string) {
    inside(this.#item, '.question').textContent = question
    this.#item.classList.add('busy')
    element('turns', HTMLOListElement).append(this.#item)
    toEnd()
  }

  /** Shows the answer so far, at most once a frame. */
  say(answer: string): void {
    this.#said = answer
    if (this.#drawn) return
    this.#drawn = true
    requestAnimationFrame(() => {
      this.#drawn = false
      this.#draw()
    })
  }

  /** @param facts one line below the answer */
  finish(facts: string): void {
    this.#draw(() => {
      this.#item.classList.remove('busy')
      const line = inside(this.#item, '.facts')
      line.textContent = facts
      line.hidden = facts === ''
    })
  }

  /** Shows an error in the answer's place, or below what had come of it. */
  fail(message: string, remedy: Remedy): void {
    this.#draw(() => {
      this.#item.classList.remove('busy')
      const problem = inside(this.#item, '.problem')
      inside(problem, 'span').textContent = message
      const button = inside(problem, '.retry')
      button.textContent = remedy.label
      button.addEventListener('click', remedy.act, { once: true })
      problem.hidden = false
    })
  }

  remove(): void {
    this.#item.remove()
  }

  /** Draws the answer anew after a change, and keeps a reader who is at the end there. */
  #draw(change: () => void = () => {}): void {
    const scroll = element('scroll', HTMLElement)
    const follows = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < NEAR_END_PX
    change()
    const open = this.#item.classList.contains('busy')
    inside(this.#item, '.answer').replaceChildren(...piecesOf(this.#said, open).map(nodeOf))
    if (follows) toEnd()
  }
}

function toEnd(): void {
  const scroll = element('scroll', HTMLElement)
  scroll.scrollTop = scroll.scrollHeight
}

function nodeOf({ type, text }: Piece): Node {
  if (type === 'text') return document.createTextNode(text)
  if (type === 'bold') {
    const strong = document.createElement('strong')
    strong.textContent = text
    return strong
  }
  const code = copyOf('code-template')
  code.classList.add(type === 'block' ? 'block' : 'inline')
  inside(code, 'code').textContent = text
  const button = inside(code, '.copy')
  button.addEventListener('click', async () => {
    await copy(text, inside(code, 'code'))
    button.classList.add('copied')
    button.setAttribute('aria-label', 'Copied')
    setTimeout(() => {
      button.classList.remove('copied')
      button.setAttribute('aria-label', 'Copy')
    }, COPIED_MS)
  })
  return code
}

/** Where the page was not opened over https or localhost there is no clipboard, only a selection. */
async function copy(text: string, source: HTMLElement): Promise<void> {
  if (navigator.clipboard) return navigator.clipboard.writeText(text)
  getSelection()?.selectAllChildren(source)
  document.execCommand('copy')
}

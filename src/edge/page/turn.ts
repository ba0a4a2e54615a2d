/** One exchange as the page shows it. Text is only ever set as text, so an answer cannot be markup. */
import type { Exchange } from './conversation.ts'
import { copies } from './copy.ts'
import { copyOf, element, inside, make } from './dom.ts'
import { factsOf } from './facts.ts'
import { type Piece, piecesOf } from './markup.ts'
import { drawTokens } from './tokens.ts'

/** So near to the end counts as reading along. */
const NEAR_END_PX = 80

/** What the button beside an error says and does. */
export interface Remedy {
  readonly label: string
  readonly act: () => void
}

export interface TurnActions {
  /** The question again, from this turn on, as it was or changed. */
  readonly again: (question: string) => void
  /** Answers are shown as tokens, or as text. */
  readonly tokensShown: () => boolean
  readonly showTokens: (shown: boolean) => void
}

export class Turn {
  readonly exchange: Exchange
  readonly #item: HTMLElement = copyOf('turn-template')
  readonly #actions: TurnActions
  #drawn = false

  constructor(exchange: Exchange, actions: TurnActions) {
    this.exchange = exchange
    this.#actions = actions
    inside(this.#item, '.question').textContent = exchange.question
    this.#item.classList.add('busy')
    inside(this.#item, '.edit').addEventListener('click', () => this.#edit())
    inside(this.#item, '.regenerate').addEventListener('click', () => actions.again(exchange.question))
    inside(this.#item, '.show-tokens').addEventListener('click', () =>
      actions.showTokens(!actions.tokensShown()),
    )
    copies(inside(this.#item, '.copy-answer'), () => exchange.answer, inside(this.#item, '.answer'))
    element('turns', HTMLOListElement).append(this.#item)
    toEnd()
  }

  /** Shows the exchange as it is now, at most once a frame while it runs. */
  update(): void {
    if (this.exchange.outcome !== 'running') {
      this.draw()
      return
    }
    if (this.#drawn) return
    this.#drawn = true
    requestAnimationFrame(() => {
      this.#drawn = false
      this.draw()
    })
  }

  /** Offers a way out beside the error. */
  offer({ label, act }: Remedy): void {
    const button = inside(this.#item, '.retry')
    button.textContent = label
    button.addEventListener('click', act, { once: true })
  }

  remove(): void {
    this.#item.remove()
  }

  /** Draws everything anew, and keeps a reader who is at the end there. */
  draw(): void {
    const scroll = element('scroll', HTMLElement)
    const follows = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < NEAR_END_PX
    const { answer, tokens, outcome, problem } = this.exchange
    const running = outcome === 'running'
    this.#item.classList.toggle('busy', running)
    this.#item.classList.toggle('broken', outcome === 'failed' && answer !== '')

    const asTokens = this.#actions.tokensShown() && tokens.length > 0
    const said = inside(this.#item, '.answer')
    said.classList.toggle('tokens', asTokens)
    if (asTokens) drawTokens(said, tokens)
    else said.replaceChildren(...this.#pieces(running).map(nodeOf))

    inside(this.#item, '.legend').hidden = !asTokens

    const failed = inside(this.#item, '.problem')
    const sentence =
      problem && answer !== '' ? `The answer above is not complete. ${problem}` : (problem ?? '')
    if (failed.hidden && problem !== undefined) {
      failed.hidden = false
      inside(failed, 'span').textContent = sentence
    }
    const facts = inside(this.#item, '.facts')
    facts.textContent = factsOf(this.exchange)
    facts.hidden = facts.textContent === ''
    inside(this.#item, '.edit').hidden = running
    inside(this.#item, '.actions').hidden = running || answer === ''
    const toggle = inside(this.#item, '.show-tokens')
    toggle.hidden = tokens.length === 0
    toggle.setAttribute('aria-pressed', String(asTokens))
    if (follows) toEnd()
  }

  /** JSON is shown as it is: backticks mean nothing in it. */
  #pieces(open: boolean): Piece[] {
    const { answer, parameters } = this.exchange
    const plain = (parameters.responseFormat?.type ?? 'text') === 'text'
    return plain || answer === '' ? piecesOf(answer, open) : [{ type: 'block', text: answer }]
  }

  /** Puts a form in the question's place. */
  #edit(): void {
    const asked = inside(this.#item, '.asked')
    const form = copyOf('edit-template') as HTMLFormElement
    const text = inside<HTMLTextAreaElement>(form, 'textarea')
    text.value = this.exchange.question
    const back = (): void => {
      form.remove()
      asked.hidden = false
      inside(asked, '.edit').focus()
    }
    inside(form, '.cancel').addEventListener('click', back)
    form.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') {
        event.stopPropagation() // it would stop a running answer
        back()
      } else if (event.key === 'Enter' && !event.shiftKey && !event.isComposing && event.target === text) {
        event.preventDefault()
        form.requestSubmit()
      }
    })
    form.addEventListener('submit', (event) => {
      event.preventDefault()
      const question = text.value.trim()
      if (question !== '') this.#actions.again(question)
    })
    asked.hidden = true
    asked.after(form)
    text.style.height = `${text.scrollHeight}px`
    text.focus()
  }
}

function toEnd(): void {
  const scroll = element('scroll', HTMLElement)
  scroll.scrollTop = scroll.scrollHeight
}

function nodeOf({ type, text }: Piece): Node {
  if (type === 'text') return document.createTextNode(text)
  if (type === 'bold') return make('strong', text)
  const code = copyOf('code-template')
  code.classList.add(type === 'block' ? 'block' : 'inline')
  const source = inside(code, 'code')
  source.textContent = text
  copies(inside(code, '.copy'), () => text, source)
  return code
}

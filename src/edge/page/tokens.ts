/**
 * An answer as its tokens, coloured by how likely each was, with what else the model thought of on hover
 * and on focus. One tab stop: the arrow keys, Home and End move from token to token.
 */
import type { TokenAlternative, TokenLogprob } from '../../index.ts'
import { element, make } from './dom.ts'

/** Lower bounds of the colours, from likely to unlikely; what lies below the last one is the least likely. */
const BOUNDS: readonly number[] = [0.9, 0.6, 0.3, 0.1]

/** Between a token and its card, and between the card and the window's edge. */
const GAP_PX = 6

const card = element('token-card', HTMLElement)

/** From likely (0) to unlikely (4). */
function likelihoodOf({ logprob }: TokenAlternative): number {
  const probability = Math.exp(logprob)
  const level = BOUNDS.findIndex((bound) => probability >= bound)
  return level < 0 ? BOUNDS.length : level
}

/** 0.934 -> "93%", 0.0042 -> "0.4%", 0.00001 -> "<0.1%". */
function toPercent(logprob: number): string {
  const percent = Math.exp(logprob) * 100
  if (percent < 0.1) return '<0.1%'
  return `${percent < 10 ? +percent.toFixed(1) : Math.round(percent)}%`
}

/** What cannot be seen is named. */
function toVisible(text: string): string {
  return text
    .replaceAll('\n', '⏎')
    .replaceAll('\t', '⇥')
    .replace(/^ +| +$/g, (spaces) => '␣'.repeat(spaces.length))
}

/** Shows tokens in an element, which keeps those it has: while an answer streams only new ones are made. */
export function drawTokens(parent: HTMLElement, tokens: readonly TokenLogprob[]): void {
  let list = parent.firstElementChild
  if (!list?.classList.contains('token-list')) {
    list = makeList()
    parent.replaceChildren(list)
  }
  for (const token of tokens.slice(list.childElementCount))
    list.append(makeToken(token, list.childElementCount === 0))
}

const shown = new WeakMap<Element, TokenLogprob>()

function makeList(): HTMLElement {
  const list = make('div', '', 'token-list')
  list.role = 'listbox'
  list.ariaLabel = 'Tokens of the answer'
  list.ariaOrientation = 'horizontal'
  list.addEventListener('keydown', onKey)
  list.addEventListener('focusin', ({ target }) => show(target as Element))
  list.addEventListener('focusout', hide)
  list.addEventListener('pointerover', ({ target }) => show(target as Element))
  list.addEventListener('pointerleave', ({ relatedTarget }) => {
    if (relatedTarget !== card && !card.contains(relatedTarget as Node | null)) hide()
  })
  return list
}

function makeToken(token: TokenLogprob, first: boolean): HTMLElement {
  const span = make('span', token.text, `token likely-${likelihoodOf(token)}`)
  span.role = 'option'
  span.ariaSelected = 'false'
  span.tabIndex = first ? 0 : -1
  const others = (token.top ?? []).filter(({ text }) => text !== token.text)
  const also = others.map(({ text, logprob }) => `${toVisible(text)} ${toPercent(logprob)}`).join(', ')
  span.ariaLabel = `${toVisible(token.text)}, ${toPercent(token.logprob)}${also ? `; also ${also}` : ''}`
  shown.set(span, token)
  return span
}

function onKey(event: KeyboardEvent): void {
  const current = event.target as HTMLElement
  const list = event.currentTarget as HTMLElement
  const to = {
    ArrowRight: current.nextElementSibling,
    ArrowDown: current.nextElementSibling,
    ArrowLeft: current.previousElementSibling,
    ArrowUp: current.previousElementSibling,
    Home: list.firstElementChild,
    End: list.lastElementChild,
  }[event.key]
  if (event.key === 'Escape' && !card.hidden) {
    event.stopPropagation()
    hide()
  }
  if (!(to instanceof HTMLElement)) return
  event.preventDefault()
  current.tabIndex = -1
  to.tabIndex = 0
  to.focus()
}

function show(target: Element): void {
  const token = shown.get(target)
  if (!token) return
  for (const selected of document.querySelectorAll('.token[aria-selected=true]'))
    selected.ariaSelected = 'false'
  target.ariaSelected = 'true'
  const rows = token.top?.length ? [...token.top] : [token]
  // A sampled token need not be among the likeliest.
  if (!rows.some(({ text }) => text === token.text)) rows.push(token)
  card.replaceChildren(...rows.map((row) => makeRow(row, row.text === token.text)))
  card.hidden = false
  place(target)
}

function makeRow({ text, logprob }: TokenAlternative, own: boolean): HTMLElement {
  const row = make('div', '', own ? 'row own' : 'row')
  const bar = make('span', '', 'bar')
  bar.style.setProperty('--share', String(Math.exp(logprob)))
  row.append(make('code', toVisible(text)), bar, make('span', toPercent(logprob), 'share'))
  return row
}

/** Below the token, or above where there is no room; inside the window. */
function place(target: Element): void {
  // A token that is broken over two lines has two boxes.
  const box = target.getClientRects()[0] ?? target.getBoundingClientRect()
  const { width, height } = card.getBoundingClientRect()
  const left = Math.max(GAP_PX, Math.min(box.left, innerWidth - width - GAP_PX))
  const below = box.bottom + GAP_PX
  const top = below + height > innerHeight ? box.top - height - GAP_PX : below
  card.style.left = `${left}px`
  card.style.top = `${Math.max(GAP_PX, top)}px`
}

function hide(): void {
  card.hidden = true
}

card.addEventListener('pointerleave', hide)
element('scroll', HTMLElement).addEventListener('scroll', hide)

/** What a page of the documentation does beyond being read: search, light and dark, the menu on wide screens. */
import MiniSearch from 'minisearch'
import { type Found, type Indexed, SEARCH } from '../search.ts'

const MOST_RESULTS = 12
const find = <T extends Element>(selector: string): T => document.querySelector<T>(selector)!

themes(find<HTMLButtonElement>('#theme'))
search(find<HTMLElement>('search'))
menu(find<HTMLDetailsElement>('.menu'))

function themes(button: HTMLButtonElement): void {
  const root = document.documentElement
  const system = matchMedia('(prefers-color-scheme: dark)')
  const isDark = (): boolean => (root.dataset.theme ? root.dataset.theme === 'dark' : system.matches)
  const show = (): void => button.setAttribute('aria-pressed', String(isDark()))
  button.addEventListener('click', () => {
    root.dataset.theme = isDark() ? 'light' : 'dark'
    localStorage.setItem('facet-theme', root.dataset.theme)
    show()
  })
  system.addEventListener('change', show)
  show()
  button.hidden = false
}

/** The menu is open where there is room for it beside the page. */
function menu(details: HTMLDetailsElement): void {
  const wide = matchMedia('(min-width: 60rem)')
  const show = (): void => {
    details.open = wide.matches
  }
  wide.addEventListener('change', show)
  show()
}

function search(place: HTMLElement): void {
  const input = place.querySelector('input')!
  const results = place.querySelector<HTMLElement>('.results')!
  const status = place.querySelector('p')!
  const list = place.querySelector('ul')!
  let index: Promise<MiniSearch<Indexed>> | undefined

  const close = (): void => {
    results.hidden = true
  }
  const look = async (): Promise<void> => {
    const query = input.value.trim()
    if (query === '') return close()
    index ??= loadIndex()
    const found = (await index).search(query) as unknown as Found[]
    // Somebody who types goes on while the index comes.
    if (query !== input.value.trim()) return
    list.replaceChildren(...found.slice(0, MOST_RESULTS).map(toItem))
    const one = found.length === 1 ? 'One passage' : `${found.length} passages`
    status.textContent = found.length === 0 ? `Nothing about ${query}.` : `${one} found.`
    results.hidden = false
  }
  input.addEventListener('input', () => void look())
  input.addEventListener('focus', () => void look())
  place.addEventListener('keydown', (event) => {
    const links = [...list.querySelectorAll('a')]
    const at = links.indexOf(document.activeElement as HTMLAnchorElement)
    if (event.key === 'Escape') {
      input.value = ''
      input.focus()
      close()
    } else if (event.key === 'ArrowDown') links[at + 1]?.focus()
    else if (event.key === 'ArrowUp') (links[at - 1] ?? input).focus()
    else if (event.key === 'Enter' && at < 0) links[0]?.click()
    else return
    event.preventDefault()
  })
  place.addEventListener('focusout', ({ relatedTarget }) => {
    if (!place.contains(relatedTarget as Node | null)) close()
  })
  document.addEventListener('keydown', (event) => {
    if (event.key !== '/' || event.ctrlKey || event.metaKey || document.activeElement === input) return
    event.preventDefault()
    input.focus()
  })
  place.hidden = false
}

function toItem({ id, page, heading }: Found): HTMLLIElement {
  const item = document.createElement('li')
  const link = document.createElement('a')
  const where = document.createElement('span')
  link.href = id
  link.textContent = heading
  where.textContent = page
  link.append(' ', where)
  item.append(link)
  return item
}

/** A script and no JSON: a page opened from a disk may not read files, but it may load scripts. */
function loadIndex(): Promise<MiniSearch<Indexed>> {
  return new Promise((resolve, reject) => {
    const script = document.createElement('script')
    script.src = 'assets/search-index.js'
    script.addEventListener('load', () => {
      const { facetIndex } = globalThis as unknown as { readonly facetIndex: string }
      resolve(MiniSearch.loadJSON(facetIndex, SEARCH))
    })
    script.addEventListener('error', () => reject(new Error('The search index cannot be loaded.')))
    document.head.append(script)
  })
}

/** The panel beside the conversation: settings, code and figures, one at a time. On a narrow page it lies over it. */
import { element } from './dom.ts'

/** Buttons in the header, the sheets they open, and the panel's title meanwhile. */
const SHEETS = {
  'show-settings': { sheet: 'settings-sheet', title: 'Settings' },
  'show-code': { sheet: 'code', title: 'Code' },
  'show-live': { sheet: 'live', title: 'Live figures' },
} as const

export type SheetButton = keyof typeof SHEETS

/** As in the style sheet: from here on there is room for the panel beside the conversation. */
const WIDE = matchMedia('(min-width: 60rem)')

const panel = element('panel', HTMLDialogElement)
const title = element('panel-title', HTMLElement)
let open: SheetButton | undefined

/** @param onChange told what is shown; undefined: nothing */
export function watchPanel(onChange: (open: SheetButton | undefined) => void): void {
  const show = (wanted: SheetButton | undefined): void => {
    const before = open
    open = wanted
    for (const [id, { sheet, title: text }] of Object.entries(SHEETS)) {
      element(id, HTMLButtonElement).setAttribute('aria-expanded', String(id === wanted))
      element(sheet, HTMLElement).hidden = id !== wanted
      if (id === wanted) title.textContent = text
    }
    panel.close()
    if (wanted) {
      if (WIDE.matches) panel.show()
      else panel.showModal()
      title.focus()
    } else if (before) {
      element(before, HTMLButtonElement).focus()
    }
    onChange(wanted)
  }
  for (const id of Object.keys(SHEETS) as SheetButton[]) {
    element(id, HTMLButtonElement).addEventListener('click', () => show(open === id ? undefined : id))
  }
  element('close-panel', HTMLButtonElement).addEventListener('click', () => show(undefined))
  panel.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape') return
    // Otherwise it would also stop a running answer.
    event.stopPropagation()
    event.preventDefault()
    show(undefined)
  })
  // Beside the panel, where it lies over the page.
  panel.addEventListener('click', ({ target }) => {
    if (target === panel && !WIDE.matches) show(undefined)
  })
  WIDE.addEventListener('change', () => {
    if (open) show(open)
  })
}

/** Shows a sheet, whatever is shown now. */
export function openSheet(button: SheetButton): void {
  if (open !== button) element(button, HTMLButtonElement).click()
}

/** Copy buttons: they put a text on the clipboard and say for a moment that they did. */

const COPIED_MS = 1500

/** @param text asked for at the click */
export function copies(button: HTMLElement, text: () => string, source: HTMLElement): void {
  const name = button.getAttribute('aria-label') ?? 'Copy'
  button.addEventListener('click', async () => {
    await copy(text(), source)
    button.classList.add('copied')
    button.setAttribute('aria-label', 'Copied')
    setTimeout(() => {
      button.classList.remove('copied')
      button.setAttribute('aria-label', name)
    }, COPIED_MS)
  })
}

/** Where the page was not opened over https or localhost there is no clipboard, only a selection. */
async function copy(text: string, source: HTMLElement): Promise<void> {
  if (navigator.clipboard) return navigator.clipboard.writeText(text)
  getSelection()?.selectAllChildren(source)
  document.execCommand('copy')
}

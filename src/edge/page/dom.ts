/** The page's elements by name. */

/** The element of that id; the page is built with it. */
export function element<T extends HTMLElement>(id: string, type: abstract new () => T): T {
  const found = document.getElementById(id)
  if (found instanceof type) return found
  throw new TypeError(`The page has no ${type.name} #${id}.`)
}

/** A fresh copy of a template's only element. */
export function copyOf(templateId: string): HTMLElement {
  return element(templateId, HTMLTemplateElement).content.firstElementChild!.cloneNode(true) as HTMLElement
}

/** The element below `parent` that a template put there. */
export function inside(parent: HTMLElement, selector: string): HTMLElement {
  return parent.querySelector<HTMLElement>(selector)!
}

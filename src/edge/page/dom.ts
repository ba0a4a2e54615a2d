/** The page's elements: by name, from templates, and made. */

/** The element of that id; the page is built with it. */
export function element<T extends Element>(id: string, type: abstract new () => T): T {
  const found = document.getElementById(id)
  if (found instanceof type) return found
  throw new TypeError(`The page has no ${type.name} #${id}.`)
}

/** A fresh copy of a template's only element. */
export function copyOf(templateId: string): HTMLElement {
  return element(templateId, HTMLTemplateElement).content.firstElementChild!.cloneNode(true) as HTMLElement
}

/** The element below `parent` that a template put there. */
export function inside<T extends Element = HTMLElement>(parent: Element, selector: string): T {
  return parent.querySelector<T>(selector)!
}

/** A new element with text; text cannot be markup. */
export function make<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  text: string = '',
  className: string = '',
): HTMLElementTagNameMap[Name] {
  const made = document.createElement(name)
  if (text !== '') made.textContent = text
  if (className !== '') made.className = className
  return made
}

/** The chosen one of the radio buttons of that name. */
export function chosen(form: ParentNode, name: string): string {
  return form.querySelector<HTMLInputElement>(`input[name="${name}"]:checked`)!.value
}

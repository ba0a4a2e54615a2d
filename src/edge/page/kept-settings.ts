/** Keeps the settings in this browser from one visit to the next. The API key is not among them. */

const NAME = 'facet-settings'

type Field = HTMLInputElement | HTMLTextAreaElement

function fieldsOf(form: HTMLFormElement): Field[] {
  return [...form.elements].filter(
    (field) => field instanceof HTMLInputElement || field instanceof HTMLTextAreaElement,
  )
}

const isTicked = (field: Field): field is HTMLInputElement =>
  field.type === 'checkbox' || field.type === 'radio'

/** Radio buttons have no id of their own. */
const nameOf = (field: Field): string => field.id || `${field.name}=${field.value}`

/** What differs from the defaults, so that new defaults reach those who never changed a setting. */
export function keepSettings(form: HTMLFormElement): void {
  const changed = fieldsOf(form).flatMap((field): [string, string | boolean][] => {
    const [now, before] = isTicked(field)
      ? [field.checked, field.defaultChecked]
      : [field.value, field.defaultValue]
    return now === before ? [] : [[nameOf(field), now]]
  })
  try {
    if (changed.length === 0) localStorage.removeItem(NAME)
    else localStorage.setItem(NAME, JSON.stringify(Object.fromEntries(changed)))
  } catch {
    // A browser that stores nothing, or no more: the settings last as long as the page.
  }
}

/** Sets the fields as they were left. What an older page kept and this one does not know is passed over. */
export function restoreSettings(form: HTMLFormElement): void {
  const kept = read()
  for (const field of fieldsOf(form)) {
    const value = kept[nameOf(field)]
    if (isTicked(field)) {
      if (typeof value === 'boolean') field.checked = value
    } else if (typeof value === 'string') field.value = value
  }
}

function read(): Readonly<Record<string, unknown>> {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(NAME) ?? '{}')
    return typeof kept === 'object' && kept !== null ? { ...kept } : {}
  } catch {
    return {} // not ours, or nothing can be read: the defaults
  }
}

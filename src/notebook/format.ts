/** The Jupyter notebook format, version 4.5, as far as notebooks are written here. */

export interface Notebook {
  readonly nbformat: 4
  readonly nbformat_minor: 5
  readonly metadata: Readonly<Record<string, unknown>>
  readonly cells: readonly Cell[]
}

interface CellBase {
  /** Differs from all others of the notebook. */
  readonly id: string
  readonly metadata: Readonly<Record<string, unknown>>
  /** Lines with their ends, as notebooks keep them so that changes can be told line by line. */
  readonly source: readonly string[]
}

export type Cell =
  | (CellBase & { readonly cell_type: 'markdown' })
  | (CellBase & {
      readonly cell_type: 'code'
      readonly execution_count: null
      readonly outputs: readonly never[]
    })

/** @param id letters, digits, - and _ */
export function markdownCell(id: string, text: string): Cell {
  return { cell_type: 'markdown', id, metadata: {}, source: toLines(text) }
}

export function codeCell(id: string, code: string): Cell {
  return { cell_type: 'code', id, metadata: {}, execution_count: null, outputs: [], source: toLines(code) }
}

function toLines(text: string): string[] {
  return text.trimEnd().split(/(?<=\n)/)
}

/** With a newline at its end, as Jupyter writes it: the same notebook gives the same text. */
export function serializeNotebook(notebook: Notebook): string {
  return `${JSON.stringify(notebook, null, 1)}\n`
}

/** The little markup that answers carry: code between backticks, fenced code, and bold words. */

export interface Piece {
  /** block: code that stands alone, fenced or as a span that is or ends its line. */
  readonly type: 'text' | 'bold' | 'code' | 'block'
  readonly text: string
}

// Sticky: each matches where it is set to, or not at all. An empty last group is an unclosed one.
const FENCE = /```[\w+-]*\n([\s\S]*?)(\n```[ \t]*(?:\n|$)|$)/y
const SPAN = /`([^`\n]+)(`|$)/y
const BOLD = /\*\*([^*\n]+)\*\*/y
const LINE_END = /[ \t]*(?:\n|$)/y

/**
 * Splits an answer into pieces, in order. What is not understood stays text.
 *
 * @param open more is to come: an unclosed backtick or fence already counts as code
 */
export function piecesOf(answer: string, open: boolean): Piece[] {
  const pieces: Piece[] = []
  let done = 0
  const add = (from: number, to: number, type: Piece['type'], text: string): void => {
    if (from > done) pieces.push({ type: 'text', text: answer.slice(done, from) })
    pieces.push({ type, text })
    done = to
  }
  for (const { index: at } of answer.matchAll(/[`*]/g)) {
    if (at < done) continue
    const line = answer.slice(answer.lastIndexOf('\n', at - 1) + 1, at)
    const fence = line === '' ? matchAt(FENCE, answer, at) : null
    const span = matchAt(SPAN, answer, at)
    const bold = matchAt(BOLD, answer, at)
    if (fence && (open || fence[2])) {
      add(at, at + fence[0].length, 'block', fence[1]!)
    } else if (span && (open || span[2])) {
      const end = at + span[0].length
      const lineEnd = /(^|[:-])[ \t]*$/.test(line) ? matchAt(LINE_END, answer, end) : null
      // A block makes its own line end.
      if (lineEnd) add(at, end + lineEnd[0].length, 'block', span[1]!)
      else add(at, end, 'code', span[1]!)
    } else if (bold) {
      add(at, at + bold[0].length, 'bold', bold[1]!)
    }
  }
  if (done < answer.length) pieces.push({ type: 'text', text: answer.slice(done) })
  return pieces
}

function matchAt(sticky: RegExp, text: string, at: number): RegExpExecArray | null {
  sticky.lastIndex = at
  return sticky.exec(text)
}

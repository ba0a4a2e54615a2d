/** A tokenizer's vocabulary as a tree of characters, in the order in which a search walks it. */
import type { Tokenizer } from '../../gemma/tokenizer.ts'

/** Tokens that share their beginning share its nodes. Nodes stand before those below them. */
export interface TokenTree {
  /** Code point of each node. */
  readonly chars: Int32Array
  /** Of each node, 1 for the first character of a token. */
  readonly depths: Int32Array
  /** The first node that is not below this one. */
  readonly skips: Int32Array
  /** Where the tokens that end at a node begin in `ids`; one more than there are nodes. */
  readonly starts: Int32Array
  readonly ids: Int32Array
  /** The node of each first character. */
  readonly roots: ReadonlyMap<number, number>
  /** Characters of the longest token. */
  readonly height: number
}

/** A vocabulary sorted by what its tokens write. */
export interface TokenTexts {
  /** Code points by id; undefined for control tokens and parts of characters. */
  readonly chars: readonly (readonly number[] | undefined)[]
  /** By id: the byte of a token that is part of a character, or -1. */
  readonly bytes: Int16Array
  /** By byte, from 0x80: the token that is this part of a character, or -1. */
  readonly byteIds: Int32Array
  /** Tokens of characters that stand in a JSON string as they are. */
  readonly plain: TokenTree
  /** Tokens with a quote, a backslash or a control character. */
  readonly special: TokenTree
}

export function isPlain(char: number): boolean {
  return char >= 0x20 && char !== 0x22 && char !== 0x5c
}

export function textsOf(tokenizer: Tokenizer): TokenTexts {
  const { vocabSize } = tokenizer
  const chars: (readonly number[] | undefined)[] = new Array(vocabSize).fill(undefined)
  const bytes = new Int16Array(vocabSize).fill(-1)
  const byteIds = new Int32Array(256).fill(-1)
  const texts: string[] = []
  for (let id = 0; id < vocabSize; id++) {
    const text = tokenizer.decode([id])
    const byte = text === '\ufffd' ? BYTE.exec(tokenizer.tokenOf(id) ?? '')?.[1] : undefined
    if (byte !== undefined) {
      bytes[id] = Number.parseInt(byte, 16)
      byteIds[bytes[id]!] = id
    } else if (text !== '') chars[id] = codesOf(text)
    texts.push(text)
  }
  // Code units will do: whatever begins alike stands together, and the shorter first.
  const sorted = Int32Array.from(chars.keys())
    .filter((id) => chars[id])
    .sort((a, b) => (texts[a]! < texts[b]! ? -1 : texts[a]! > texts[b]! ? 1 : a - b))
  const plain = sorted.filter((id) => chars[id]!.every(isPlain))
  const special = sorted.filter((id) => !chars[id]!.every(isPlain))
  return { chars, bytes, byteIds, plain: treeOf(plain, chars), special: treeOf(special, chars) }
}

const BYTE = /^<0x([0-9A-F]{2})>$/

function codesOf(text: string): number[] {
  const codes: number[] = []
  for (const char of text) codes.push(char.codePointAt(0)!)
  return codes
}

/** @param ids sorted by their texts */
function treeOf(ids: Int32Array, texts: TokenTexts['chars']): TokenTree {
  const chars: number[] = []
  const depths: number[] = []
  const starts: number[] = []
  let before: readonly number[] = []
  let height = 0
  for (const [at, id] of ids.entries()) {
    const text = texts[id]!
    let shared = 0
    while (shared < before.length && before[shared] === text[shared]) shared++
    // A text that has come before has its node, and no node comes between: only its tokens grow.
    for (let i = shared; i < text.length; i++) {
      chars.push(text[i]!)
      depths.push(i + 1)
      starts.push(at)
    }
    before = text
    height = Math.max(height, text.length)
  }
  starts.push(ids.length)
  return {
    chars: Int32Array.from(chars),
    depths: Int32Array.from(depths),
    skips: skipsOf(depths),
    ...tokensOf(starts, depths, ids, texts),
    ids,
    roots: new Map(chars.flatMap((char, node) => (depths[node] === 1 ? [[char, node] as const] : []))),
    height,
  }
}

/** Nodes above the end of a text get the range of their tokens emptied. */
function tokensOf(
  starts: readonly number[],
  depths: readonly number[],
  ids: Int32Array,
  texts: TokenTexts['chars'],
): Pick<TokenTree, 'starts'> {
  const exact = new Int32Array(starts.length)
  exact[depths.length] = ids.length
  // From the end: a node's tokens begin where the next node's do, unless some end at this one.
  for (let node = depths.length - 1; node >= 0; node--) {
    const ends = texts[ids[starts[node]!]!]!.length === depths[node]
    exact[node] = ends ? starts[node]! : exact[node + 1]!
  }
  return { starts: exact }
}

function skipsOf(depths: readonly number[]): Int32Array {
  const skips = new Int32Array(depths.length)
  const open: number[] = []
  for (let node = 0; node <= depths.length; node++) {
    const depth = depths[node] ?? 0
    while (open.length > 0 && depths[open.at(-1)!]! >= depth) skips[open.pop()!] = node
    open.push(node)
  }
  return skips
}

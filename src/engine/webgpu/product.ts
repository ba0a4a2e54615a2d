/** What all products with quantized weights share: shapes, codes, and what becomes of the results. */
import { type Bits, BLOCK, placeFunction } from './activations.ts'
import { type Binding, f32, read, readWrite, uniform, unroll } from './kernel.ts'

/** What becomes of a product. */
export type Finish =
  /** y[token][row]. */
  | { readonly kind: 'store' }
  /** Added to the residual, which lies as activations do. */
  | { readonly kind: 'add' }
  /** gelu(gate) * up, as activations. Two weights of the same shape, of which each may have its own bits. */
  | { readonly kind: 'geglu' }
  /** Logits of the wanted rows, capped. */
  | { readonly kind: 'logits'; readonly softcap: number | undefined }

/** How weights lie in their buffers. */
export interface WeightOrder {
  /** Of the activations, for all weights of a model. */
  readonly order: Bits
  /** Weights of a row that share a scale. */
  readonly blockSize: number
}

export interface ProductShape extends WeightOrder {
  readonly name: string
  readonly bits: Bits
  /** Of the second weight, where there are two. */
  readonly bits2: Bits
  readonly rows: number
  readonly columns: number
  readonly finish: Finish
}

/** Which rows of a weight the bound buffers hold. */
export const SPAN: string = 'struct Span { first: u32, rows: u32 }\n'

/** What a product's input is: activations; the residual, to be normalized; or 8-bit codes of activations. */
export type Input = 'floats' | 'residual' | 'codes'

export function bindingsOf({ kind }: Finish, input: Input): Readonly<Record<string, Binding>> {
  return {
    span: uniform('Span'),
    job: read('array<u32>'),
    x: read(input === 'codes' ? 'array<vec4u>' : 'array<vec4f>'),
    ...(input === 'codes' && { xScales: read('array<f32>') }),
    ...(input === 'residual' && { norm: read('array<vec4f>') }),
    codes: read('array<vec4u>'),
    scales: read('array<u32>'),
    ...(kind === 'geglu' && { codes2: read('array<vec4u>'), scales2: read('array<u32>') }),
    y: readWrite('array<f32>'),
  }
}

/** The bfloat16 scale of BLOCK weights, those with the number `at` of their matrix, as f32. */
export function scaleAt(suffix: string, at: string, blockSize: number): string {
  const index = blockSize === BLOCK ? `(${at})` : `((${at}) / ${blockSize / BLOCK}u)`
  return `bitcast<f32>(((scales${suffix}[${index} >> 1u] >> ((${index} & 1u) * 16u)) & 0xffffu) << 16u)`
}

/** The words of a block's codes, by vectors of four. */
export function loadCodes(bits: Bits, q: string, suffix: string, at: string): string {
  return unroll(bits / 4, (i) => `${q}${i} = codes${suffix}[${bits === 4 ? at : `(${at}) * 2u + ${i}u`}];`)
}

/**
 * The four codes that go with vector j of a block, less their zero point, as floats. A code in the low bits of a
 * float's mantissa, below an exponent that makes its last bit 1, is that float less a power of two: two operations
 * of the widest units, where converting an integer takes a narrow one.
 */
export function codes(bits: Bits, order: Bits, q: string, j: number): string {
  const { words, low } = wordsOf(bits, order, q, j)
  const pair = (make: (shift: number) => string): string => `${make(low)}, ${make(low + 8)}`
  const four = (type: string, make: (shift: number) => string): string =>
    `${type}(${pair(make)}, ${pair(make)})`
  const masks = four('vec4u', (shift) => `${(2 ** bits - 1) << shift}u`)
  const exponents = four('vec4u', (shift) => `${(150 - shift) * 2 ** 23}u`)
  const zeros = four('vec4f', (shift) => `${2 ** (23 - shift) + 2 ** (bits - 1)}.0`)
  return `(bitcast<vec4f>((${words} & ${masks}) | ${exponents}) - ${zeros})`
}

/** `vec4u(..)` with the four codes of vector j, each from bit `low` of its word on, the second and fourth 8 bits higher. */
function wordsOf(
  bits: Bits,
  order: Bits,
  q: string,
  j: number,
): { readonly words: string; readonly low: number } {
  if (bits === order) {
    const word = wordAt(q, bits === 4 ? j & 3 : j)
    const low = bits === 4 && j >= 4 ? 4 : 0
    return { words: `vec4u(${word}, ${word}, ${word} >> 16u, ${word} >> 16u)`, low }
  }
  const [a, b] = everySecond(q, j)
  return { words: `vec4u(${a}, ${a} >> 8u, ${b}, ${b} >> 8u)`, low: 0 }
}

/** Four codes a word, for products of integers: signed, in the order of activations. Of 4 bits they are 16 fold. */
export function signedCodes(bits: Bits, order: Bits, q: string, j: number): string {
  if (bits === 4) {
    const word = wordAt(q, j & 3)
    return `(${j < 4 ? `(${word} << 4u)` : word} & 0xf0f0f0f0u) ^ 0x80808080u`
  }
  if (order === 8) return `${wordAt(q, j)} ^ 0x80808080u`
  const [a, b] = everySecond(q, j)
  const low = `(${a} & 0xffu) | ((${a} >> 8u) & 0xff00u)`
  return `(${low} | ((${b} & 0xffu) << 16u) | ((${b} << 8u) & 0xff000000u)) ^ 0x80808080u`
}

function wordAt(q: string, index: number): string {
  return `${q}${index >> 2}.${'xyzw'[index & 3]}`
}

/**
 * Codes of 8 bits where activations lie as 4 bits want them: elements 0, 2, 4, 6 of eight, or 1, 3, 5, 7, are bytes
 * 0 and 2 of these two words.
 */
function everySecond(q: string, j: number): readonly [string, string] {
  const [a, b] = [wordAt(q, 2 * (j & 3)), wordAt(q, 2 * (j & 3) + 1)]
  return j < 4 ? [a, b] : [`(${a} >> 8u)`, `(${b} >> 8u)`]
}

export function finishCall(gated: boolean, value: string, up: string, row: string): string {
  return gated ? `finish(t, ${row}, ${value}, ${up});` : `finish(t, ${row}, ${value});`
}

export function finishFunction({ rows, order, finish }: ProductShape): string {
  switch (finish.kind) {
    case 'store':
      return `fn finish(t: u32, row: u32, value: f32) { y[t * ${rows}u + row] = value; }`
    case 'add':
      return `${placeFunction(rows, order)}
fn finish(t: u32, row: u32, value: f32) { y[t * ${rows}u + placeOf(row)] += value; }`
    case 'logits': {
      const cap = finish.softcap
      const capped =
        cap === undefined ? 'value' : `${f32(cap)} * tanh(clamp(value / ${f32(cap)}, -15.0, 15.0))`
      return `fn finish(t: u32, row: u32, value: f32) { y[t * ${rows}u + row] = ${capped}; }`
    }
    case 'geglu':
      return `${placeFunction(rows, order)}
fn finish(t: u32, row: u32, gate: f32, up: f32) {
  let inner = 0.7978845608028654 * (gate + 0.044715 * gate * gate * gate);
  y[t * ${rows}u + placeOf(row)] = 0.5 * gate * (1.0 + tanh(clamp(inner, -15.0, 15.0))) * up;
}`
  }
}

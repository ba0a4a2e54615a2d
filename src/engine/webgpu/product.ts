/** What all products with quantized weights share: shapes, codes, and what becomes of the results. */
import { type Bits, placeFunction } from './activations.ts'
import { type Binding, f32, read, readWrite, uniform } from './kernel.ts'

/** What becomes of a product. */
export type Finish =
  /** y[token][row]. */
  | { readonly kind: 'store' }
  /** Added to the residual, which lies as activations do. */
  | { readonly kind: 'add' }
  /** gelu(gate) * up, as activations. Two weights of the same shape. */
  | { readonly kind: 'geglu' }
  /** Logits of the wanted rows, capped. */
  | { readonly kind: 'logits'; readonly softcap: number | undefined }

export interface ProductShape {
  readonly name: string
  readonly bits: Bits
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

/** bfloat16 scale number `at`, as f32. */
export function scaleAt(suffix: string, at: string): string {
  return `bitcast<f32>(((scales${suffix}[(${at}) >> 1u] >> (((${at}) & 1u) * 16u)) & 0xffffu) << 16u)`
}

/**
 * The four codes that go with vector j of a block, less their zero point, as floats. A code in the low bits of a
 * float's mantissa, below an exponent that makes its last bit 1, is that float less a power of two: two operations
 * of the widest units, where converting an integer takes a narrow one.
 */
export function codes(bits: Bits, q: string, j: number, numbered = false): string {
  const number = bits === 8 ? `${numbered ? '' : '_'}${j >> 2}` : numbered ? '0' : ''
  const word = `${q}${number}.${'xyzw'[j & 3]}`
  const low = bits === 4 && j >= 4 ? 4 : 0
  const pair = (make: (shift: number) => string): string => `${make(low)}, ${make(low + 8)}`
  const four = (type: string, make: (shift: number) => string): string =>
    `${type}(${pair(make)}, ${pair(make)})`
  const masks = four('vec4u', (shift) => `${(2 ** bits - 1) << shift}u`)
  const exponents = four('vec4u', (shift) => `${(150 - shift) * 2 ** 23}u`)
  const zeros = four('vec4f', (shift) => `${2 ** (23 - shift) + 2 ** (bits - 1)}.0`)
  return `(bitcast<vec4f>((vec4u(${word}, ${word}, ${word} >> 16u, ${word} >> 16u) & ${masks}) | ${exponents}) - ${zeros})`
}

export function finishCall(gated: boolean, value: string, up: string, row: string): string {
  return gated ? `finish(t, ${row}, ${value}, ${up});` : `finish(t, ${row}, ${value});`
}

export function finishFunction({ rows, bits, finish }: ProductShape): string {
  switch (finish.kind) {
    case 'store':
      return `fn finish(t: u32, row: u32, value: f32) { y[t * ${rows}u + row] = value; }`
    case 'add':
      return `${placeFunction(rows, bits)}
fn finish(t: u32, row: u32, value: f32) { y[t * ${rows}u + placeOf(row)] += value; }`
    case 'logits': {
      const cap = finish.softcap
      const capped =
        cap === undefined ? 'value' : `${f32(cap)} * tanh(clamp(value / ${f32(cap)}, -15.0, 15.0))`
      return `fn finish(t: u32, row: u32, value: f32) { y[t * ${rows}u + row] = ${capped}; }`
    }
    case 'geglu':
      return `${placeFunction(rows, bits)}
fn finish(t: u32, row: u32, gate: f32, up: f32) {
  let inner = 0.7978845608028654 * (gate + 0.044715 * gate * gate * gate);
  y[t * ${rows}u + placeOf(row)] = 0.5 * gate * (1.0 + tanh(clamp(inner, -15.0, 15.0))) * up;
}`
  }
}

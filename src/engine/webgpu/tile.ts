/** WGSL of what a tile of a product is kept as in workgroup memory, and multiplied with, in each arithmetic. */
import { type Bits, BLOCK } from './activations.ts'
import { f32, unroll } from './kernel.ts'
import { codes, signedCodes } from './product.ts'

/**
 * What products of many tokens multiply: float32; float16 (products are added up in float32); or 8-bit integers,
 * to which activations are rounded in blocks of 32.
 */
export type Arithmetic = 'f32' | 'f16' | 'int8'

/** Rows and tokens of a tile; lanes of its workgroup: each brings a row's block and a token's block. */
export const TILE = 64
const QUARTER: number = TILE / 4
/** Words of a block's 8-bit codes. */
const WORDS: number = BLOCK / 4

/**
 * Text for a workgroup whose lanes have a block of weights each in `q0`, `q1` (vec4u) and `scale`, and compute
 * rows `column`, `column + 8` (quads) for tokens `line`, `line + 8` (quads) in `low0` to `low7` and `high0` to `high7`.
 */
export interface TileArithmetic {
  readonly declarations: string
  /** Registers for a block of a token. */
  readonly registers: string
  /** Fills them: block `b` of token `token0 + lane`. */
  readonly load: (columns: number, b: string) => string
  /** From registers to workgroup memory. */
  readonly store: (bits: Bits, order: Bits) => string
  readonly multiply: string
}

const TOKENS = 8
const token = (name: string, t: number): string => `${name}${t >> 2}[${t & 3}]`
const each = (make: (t: number) => string): string => unroll(TOKENS, make)
/** Rows and tokens of the lane, at step k of the block. */
const OPERANDS = `let w0 = weights[k * ${QUARTER}u + column];
      let w1 = weights[k * ${QUARTER}u + ${QUARTER / 2}u + column];
      let y0 = tokens[k * ${QUARTER}u + line];
      let y1 = tokens[k * ${QUARTER}u + ${QUARTER / 2}u + line];`

function place(array: string, k: number, value: string): string {
  return `${array}[${k * QUARTER}u + lane / 4u][lane % 4u] = ${value};`
}

const FLOAT_REGISTERS: string = unroll(WORDS, (j) => `var x${j}: vec4f;`)
const loadFloats = (columns: number, b: string): string =>
  unroll(WORDS, (j) => `x${j} = x[(token0 + lane) * ${columns / 4}u + ${(j * columns) / BLOCK}u + ${b}];`)

const SINGLE: TileArithmetic = {
  declarations: `
var<workgroup> weights: array<vec4f, ${BLOCK * QUARTER}>;
var<workgroup> tokens: array<vec4f, ${BLOCK * QUARTER}>;`,
  registers: FLOAT_REGISTERS,
  load: loadFloats,
  store: (bits, order) =>
    unroll(
      WORDS,
      (j) => `{
      let w = ${codes(bits, order, 'q', j)} * scale;
      ${unroll(4, (c) => place('weights', 4 * j + c, `w[${c}]`) + place('tokens', 4 * j + c, `x${j}[${c}]`))}
    }`,
    ),
  multiply: `for (var k = 0u; k < ${BLOCK}u; k++) {
      ${OPERANDS}
      ${each((t) => `low${t} = fma(w0, vec4f(${token('y', t)}), low${t}); high${t} = fma(w1, vec4f(${token('y', t)}), high${t});`)}
    }`,
}

/**
 * Codes of weights are exact in float16, at most 8 and never less than 1 / 16 of what they multiply, so that
 * products neither overflow nor vanish; scales are applied to a block's float32 sums.
 */
const MOST_HALF = 8000
const HALF: TileArithmetic = {
  declarations: `
alias real = f16;
var<workgroup> weights: array<vec4<real>, ${BLOCK * QUARTER}>;
var<workgroup> tokens: array<vec4<real>, ${BLOCK * QUARTER}>;
var<workgroup> weightScales: array<vec4f, ${QUARTER}>;`,
  registers: FLOAT_REGISTERS,
  load: loadFloats,
  store: (bits, order) => `${place('weightScales', 0, `scale * ${f32(2 ** bits / 16)}`)}
    ${unroll(
      WORDS,
      (j) => `{
      let w = vec4<real>(${codes(bits, order, 'q', j)} * ${f32(16 / 2 ** bits)});
      let y = vec4<real>(clamp(x${j}, vec4f(-${MOST_HALF}.0), vec4f(${MOST_HALF}.0)));
      ${unroll(4, (c) => place('weights', 4 * j + c, `w[${c}]`) + place('tokens', 4 * j + c, `y[${c}]`))}
    }`,
    )}`,
  multiply: `${each((t) => `var part${t} = vec4f(); var more${t} = vec4f();`)}
    for (var k = 0u; k < ${BLOCK}u; k++) {
      ${OPERANDS}
      ${each((t) => `part${t} += vec4f(w0 * ${token('y', t)}); more${t} += vec4f(w1 * ${token('y', t)});`)}
    }
    let scale0 = weightScales[column];
    let scale1 = weightScales[column + ${QUARTER / 2}u];
    ${each((t) => `low${t} = fma(part${t}, scale0, low${t}); high${t} = fma(more${t}, scale1, high${t});`)}`,
}

/** A block's sum of products is below 2^24, and exact in float32 too. */
const INTEGER: TileArithmetic = {
  declarations: `
var<workgroup> weights: array<vec4u, ${WORDS * QUARTER}>;
var<workgroup> tokens: array<vec4u, ${WORDS * QUARTER}>;
var<workgroup> weightScales: array<vec4f, ${QUARTER}>;
var<workgroup> tokenScales: array<vec4f, ${QUARTER}>;
fn dots(w: vec4u, y: u32) -> vec4i {
  return vec4i(dot4I8Packed(w.x, y), dot4I8Packed(w.y, y), dot4I8Packed(w.z, y), dot4I8Packed(w.w, y));
}`,
  registers: 'var x0: vec4u; var x1: vec4u; var xScale: f32;',
  load: (columns, b) => `{
      let at = (token0 + lane) * ${columns / BLOCK}u + ${b};
      x0 = x[at * 2u];
      x1 = x[at * 2u + 1u];
      xScale = xScales[at];
    }`,
  store: (bits, order) => `${place('weightScales', 0, `scale * ${f32(bits === 4 ? 1 / 16 : 1)}`)}
    ${place('tokenScales', 0, 'xScale')}
    ${unroll(WORDS, (j) => place('weights', j, signedCodes(bits, order, 'q', j)) + place('tokens', j, `x${j >> 2}[${j & 3}]`))}`,
  multiply: `${each((t) => `var part${t} = vec4i(); var more${t} = vec4i();`)}
    for (var k = 0u; k < ${WORDS}u; k++) {
      ${OPERANDS}
      ${each((t) => `part${t} += dots(w0, ${token('y', t)}); more${t} += dots(w1, ${token('y', t)});`)}
    }
    let scale0 = weightScales[column];
    let scale1 = weightScales[column + ${QUARTER / 2}u];
    let yScale0 = tokenScales[line];
    let yScale1 = tokenScales[line + ${QUARTER / 2}u];
    ${each((t) => `low${t} = fma(vec4f(part${t}), scale0 * ${token('yScale', t)}, low${t}); high${t} = fma(vec4f(more${t}), scale1 * ${token('yScale', t)}, high${t});`)}`,
}

export const TILE_ARITHMETIC: Readonly<Record<Arithmetic, TileArithmetic>> = {
  f32: SINGLE,
  f16: HALF,
  int8: INTEGER,
}

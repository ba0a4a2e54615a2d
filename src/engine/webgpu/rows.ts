/** WGSL of what is done to whole rows of activations: embedding, RMSNorm. */
import { type Bits, BLOCK, placeFunction } from './activations.ts'
import { RESULT_WORDS } from './choices.ts'
import { CHOSEN_BEFORE, JOB_FUNCTIONS } from './job.ts'
import { f32, type Kernel, kernel, read, readWrite, uniform } from './kernel.ts'
import { type ProductShape, scaleAt, type WeightOrder } from './product.ts'

const LANES = 256

export interface RowShape {
  readonly columns: number
  /** Of activations. */
  readonly order: Bits
}

/** Rows of the embedding, scaled, for the tokens whose ids these buffers hold. One workgroup a token. */
export function embed(shape: WeightOrder & Pick<ProductShape, 'columns' | 'bits'>, scale: number): Kernel {
  const { columns, bits, order, blockSize } = shape
  const words = (columns * bits) / 32
  const perWord = 32 / bits
  return kernel({
    name: 'embedding',
    bindings: {
      span: uniform('Span'),
      job: read('array<u32>'),
      codes: read('array<u32>'),
      scales: read('array<u32>'),
      results: read('array<u32>'),
      y: readWrite('array<f32>'),
    },
    workgroupSize: LANES,
    declarations: `struct Span { first: u32, rows: u32 }
${JOB_FUNCTIONS}${placeFunction(columns, order)}`,
    body: `
  let t = workgroup.x;
  var id = tokenWordOf(t);
  if (id >= ${CHOSEN_BEFORE}u) { id = results[(id - ${CHOSEN_BEFORE}u) * ${RESULT_WORDS}u]; }
  if (id < span.first || id >= span.first + span.rows) { return; }
  let row = id - span.first;
  for (var i = lane; i < ${words}u; i += ${LANES}u) {
    let word = codes[row * ${words}u + i];
    let at = row * ${columns / BLOCK}u + i * ${perWord}u / ${BLOCK}u;
    let factor = ${scaleAt('', 'at', blockSize)};
    for (var k = 0u; k < ${perWord}u; k++) {
      let code = f32((word >> (k * ${bits}u)) & ${2 ** bits - 1}u) - ${2 ** (bits - 1)}.0;
      y[t * ${columns}u + placeOf(i * ${perWord}u + k)] = code * factor * ${f32(scale)};
    }
  }`,
  })
}

/** RMSNorm of the residual, before products of many tokens. One workgroup a token. */
export function normalize(columns: number, eps: number): Kernel {
  const vectors = columns / 4
  return kernel({
    name: 'norm',
    bindings: { x: read('array<vec4f>'), norm: read('array<vec4f>'), y: readWrite('array<vec4f>') },
    workgroupSize: LANES,
    declarations: SUM,
    body: `
  let origin = workgroup.x * ${vectors}u;
  var square = 0.0;
  for (var i = lane; i < ${vectors}u; i += ${LANES}u) { square += dot(x[origin + i], x[origin + i]); }
  let factor = inverseSqrt(sumOf(square, lane) / ${columns}.0 + ${f32(eps)});
  for (var i = lane; i < ${vectors}u; i += ${LANES}u) { y[origin + i] = x[origin + i] * factor * norm[i]; }`,
  })
}

/** Adds RMSNorm of a product to the residual (Gemma 2 and 3). One workgroup a token. */
export function addNormalized({ columns, order }: RowShape, eps: number): Kernel {
  return kernel({
    name: 'norm after a product',
    bindings: { x: read('array<f32>'), norm: read('array<f32>'), y: readWrite('array<f32>') },
    workgroupSize: LANES,
    declarations: `${SUM}${placeFunction(columns, order)}`,
    body: `
  let origin = workgroup.x * ${columns}u;
  var square = 0.0;
  for (var i = lane; i < ${columns}u; i += ${LANES}u) { square += x[origin + i] * x[origin + i]; }
  let factor = inverseSqrt(sumOf(square, lane) / ${columns}.0 + ${f32(eps)});
  for (var i = lane; i < ${columns}u; i += ${LANES}u) { y[origin + placeOf(i)] += x[origin + i] * factor * norm[i]; }`,
  })
}

const SUM = `
var<workgroup> parts: array<f32, ${LANES}>;
fn sumOf(value: f32, lane: u32) -> f32 {
  parts[lane] = value;
  workgroupBarrier();
  for (var step = ${LANES / 2}u; step > 0u; step >>= 1u) {
    if (lane < step) { parts[lane] += parts[lane + step]; }
    workgroupBarrier();
  }
  return parts[0];
}
`

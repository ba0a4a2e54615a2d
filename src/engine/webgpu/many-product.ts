/** WGSL of the products with quantized weights for many tokens: tiles through workgroup memory. */
import { BLOCK } from './activations.ts'
import { JOB_FUNCTIONS } from './job.ts'
import { type Kernel, kernel, unroll } from './kernel.ts'
import { bindingsOf, codes, finishCall, finishFunction, type ProductShape, SPAN, scaleAt } from './product.ts'

export interface ManyShape extends ProductShape {
  /** Read the next blocks while these are multiplied. */
  readonly ahead: boolean
}

/** Rows and tokens of a tile. */
export const TILE = 64

/** The same for many tokens: tiles of 64 rows by 64 tokens through workgroup memory, 8 by 8 a lane. */
export function manyProduct(shape: ManyShape): Kernel {
  const { bits, columns, finish, ahead } = shape
  const blocks = columns / BLOCK
  const gated = finish.kind === 'geglu'
  const half = TILE / 2
  const span = gated ? half : TILE
  const quarter = TILE / 4
  const load = (b: string): string => {
    const row = gated ? `lane % ${half}u` : 'lane'
    const at = `min(first + ${row}, span.rows - 1u) * ${blocks}u + ${b}`
    const words = unroll(bits / 4, (i) => {
      const word = (suffix: string): string => `codes${suffix}[${bits === 4 ? at : `(${at}) * 2u + ${i}u`}]`
      return gated
        ? `if (lane < ${half}u) { q${i} = ${word('')}; } else { q${i} = ${word('2')}; }`
        : `q${i} = ${word('')};`
    })
    const scale = gated
      ? `if (lane < ${half}u) { scale = ${scaleAt('', at)}; } else { scale = ${scaleAt('2', at)}; }`
      : `scale = ${scaleAt('', at)};`
    return `${words}
    ${scale}
    ${unroll(8, (j) => `x${j} = x[(token0 + lane) * ${columns / 4}u + ${j * blocks}u + ${b}];`)}`
  }
  const body = `
  let first = (workgroup.x + workgroup.y * workgroups.x) * ${span}u;
  if (first >= span.rows) { return; }
  let token0 = workgroup.z * ${TILE}u;
  let column = lane % 8u;
  let line = lane / 8u;
  ${unroll(bits / 4, (i) => `var q${i}: vec4u;`)}
  var scale: f32;
  ${unroll(8, (j) => `var x${j}: vec4f;`)}
  ${unroll(8, (t) => `var low${t} = vec4f(); var high${t} = vec4f();`)}
  ${ahead ? load('0u') : ''}
  for (var b = 0u; b < ${blocks}u; b++) {
    ${ahead ? '' : load('b')}
    ${unroll(
      8,
      (j) => `{
      let w = ${codes(bits, 'q', j, true)} * scale;
      ${unroll(4, (c) => `weights[${(4 * j + c) * quarter}u + lane / 4u][lane % 4u] = w[${c}]; tokens[${(4 * j + c) * quarter}u + lane / 4u][lane % 4u] = x${j}[${c}];`)}
    }`,
    )}
    workgroupBarrier();
    ${ahead ? `if (b + 1u < ${blocks}u) { let next = b + 1u; ${load('next')} }` : ''}
    for (var k = 0u; k < ${BLOCK}u; k++) {
      let w0 = weights[k * ${quarter}u + column];
      let w1 = weights[k * ${quarter}u + ${quarter / 2}u + column];
      let y0 = tokens[k * ${quarter}u + line];
      let y1 = tokens[k * ${quarter}u + ${quarter / 2}u + line];
      ${unroll(8, (t) => `low${t} = fma(w0, vec4f(y${t >> 2}[${t & 3}]), low${t}); high${t} = fma(w1, vec4f(y${t >> 2}[${t & 3}]), high${t});`)}
    }
    workgroupBarrier();
  }
  ${unroll(
    8,
    (t) => `{
    let t = token0 + ${(t >> 2) * half + (t & 3)}u + line * 4u;
    if (t < tokenCount()) {
      ${unroll(4, (c) => {
        const row = `first + column * 4u + ${c}u`
        if (gated) return finishCall(true, `low${t}[${c}]`, `high${t}[${c}]`, `span.first + ${row}`)
        const guarded = (value: string, at: string): string =>
          `if (${at} < span.rows) { ${finishCall(false, value, '', `span.first + ${at}`)} }`
        return `${guarded(`low${t}[${c}]`, row)} ${guarded(`high${t}[${c}]`, `${row} + ${half}u`)}`
      })}
    }
  }`,
  )}`
  return kernel({
    name: `${shape.name} of many`,
    bindings: bindingsOf(finish, false),
    workgroupSize: TILE,
    declarations: `${SPAN}${JOB_FUNCTIONS}${finishFunction(shape)}
var<workgroup> weights: array<vec4f, ${BLOCK * quarter}>;
var<workgroup> tokens: array<vec4f, ${BLOCK * quarter}>;`,
    body,
  })
}

/** WGSL of the products with quantized weights for many tokens: tiles through workgroup memory. */
import { type Bits, BLOCK } from './activations.ts'
import { JOB_FUNCTIONS } from './job.ts'
import { type Kernel, kernel, unroll } from './kernel.ts'
import {
  bindingsOf,
  finishCall,
  finishFunction,
  loadCodes,
  type ProductShape,
  SPAN,
  scaleAt,
} from './product.ts'
import { type Arithmetic, TILE, TILE_ARITHMETIC } from './tile.ts'

export interface ManyShape extends ProductShape {
  /** Read the next blocks while these are multiplied. */
  readonly ahead: boolean
  readonly arithmetic: Arithmetic
}

/** The same for many tokens: tiles of 64 rows by 64 tokens through workgroup memory, 8 by 8 a lane. */
export function manyProduct(shape: ManyShape): Kernel {
  const { bits, bits2, order, blockSize, columns, finish, ahead, arithmetic } = shape
  const tile = TILE_ARITHMETIC[arithmetic]
  const blocks = columns / BLOCK
  const gated = finish.kind === 'geglu'
  const half = TILE / 2
  const span = gated ? half : TILE
  const load = (b: string): string => {
    const row = gated ? `lane % ${half}u` : 'lane'
    const at = `min(first + ${row}, span.rows - 1u) * ${blocks}u + ${b}`
    const take = (suffix: string, bits: Bits): string =>
      `${loadCodes(bits, 'q', suffix, at)} scale = ${scaleAt(suffix, at, blockSize)};`
    return `${gated ? `if (lane < ${half}u) { ${take('', bits)} } else { ${take('2', bits2)} }` : take('', bits)}
    ${tile.load(columns, b)}`
  }
  const store =
    bits === bits2
      ? tile.store(bits, order)
      : `if (lane < ${half}u) { ${tile.store(bits, order)} } else { ${tile.store(bits2, order)} }`
  const body = `
  let first = (workgroup.x + workgroup.y * workgroups.x) * ${span}u;
  if (first >= span.rows) { return; }
  let token0 = workgroup.z * ${TILE}u;
  let column = lane % 8u;
  let line = lane / 8u;
  ${unroll(Math.max(bits, bits2) / 4, (i) => `var q${i}: vec4u;`)}
  var scale: f32;
  ${tile.registers}
  ${unroll(8, (t) => `var low${t} = vec4f(); var high${t} = vec4f();`)}
  ${ahead ? load('0u') : ''}
  for (var b = 0u; b < ${blocks}u; b++) {
    ${ahead ? '' : load('b')}
    ${store}
    workgroupBarrier();
    ${ahead ? `if (b + 1u < ${blocks}u) { let next = b + 1u; ${load('next')} }` : ''}
    ${tile.multiply}
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
    name: `${shape.name} of many${arithmetic === 'f32' ? '' : ` in ${arithmetic}`}`,
    bindings: bindingsOf(finish, arithmetic === 'int8' ? 'codes' : 'floats'),
    f16: arithmetic === 'f16',
    workgroupSize: TILE,
    declarations: `${SPAN}${JOB_FUNCTIONS}${finishFunction(shape)}${tile.declarations}`,
    body,
  })
}

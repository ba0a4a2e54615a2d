/** WGSL of activations rounded to 8 bits, for products that multiply integers. */
import { BLOCK } from './activations.ts'
import { type Kernel, kernel, read, readWrite, unroll } from './kernel.ts'

const LANES = 64

/** Workgroups of a token. */
export function quantizeGroups(columns: number): number {
  return Math.ceil(columns / BLOCK / LANES)
}

/**
 * Each block of 32 activations gets the scale absmax / 127 and codes rounded half to even. Word j of a block's
 * eight is vector j of the block. One lane a block.
 */
export function quantize(columns: number): Kernel {
  const blocks = columns / BLOCK
  return kernel({
    name: `rounding of ${columns} to 8 bits`,
    bindings: { x: read('array<vec4f>'), codes: readWrite('array<vec4u>'), scales: readWrite('array<f32>') },
    workgroupSize: LANES,
    body: `
  let b = workgroup.x * ${LANES}u + lane;
  if (b >= ${blocks}u) { return; }
  let at = workgroup.y * ${blocks}u + b;
  var most4 = vec4f();
  ${unroll(8, (j) => `let x${j} = x[workgroup.y * ${columns / 4}u + ${j * blocks}u + b]; most4 = max(most4, abs(x${j}));`)}
  let most = max(max(most4.x, most4.y), max(most4.z, most4.w));
  // So little that its inverse might be infinite counts as nothing.
  let inverse = select(0.0, 127.0 / most, most > 1e-30);
  ${unroll(8, (j) => `let code${j} = pack4xI8(vec4i(round(x${j} * inverse)));`)}
  codes[at * 2u] = vec4u(code0, code1, code2, code3);
  codes[at * 2u + 1u] = vec4u(code4, code5, code6, code7);
  scales[at] = most / 127.0;`,
  })
}

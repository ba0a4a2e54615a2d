/** WGSL of the products with quantized weights for a few tokens: each weight is read once for all of them. */
import { BLOCK } from './activations.ts'
import { JOB_FUNCTIONS } from './job.ts'
import { f32, type Kernel, kernel, unroll } from './kernel.ts'
import { bindingsOf, codes, finishCall, finishFunction, type ProductShape, SPAN, scaleAt } from './product.ts'

export interface FewShape extends ProductShape {
  /** Tokens computed at once, so that weights are read once for them. */
  readonly tokens: number
  /** Whether the input is the residual, to be normalized on the way. */
  readonly norm: number | undefined
  /** Lanes along a row. */
  readonly lanes: number
  /** Rows of a workgroup; of `geglu` half of them are the gate's. */
  readonly groupRows: number
  readonly subgroups: boolean
}

/**
 * W (rows, columns) @ x (tokens, columns): a workgroup takes `groupRows` rows, its lanes take blocks of 32
 * columns. The arithmetic of a token is the same however many tokens there are.
 */
export function fewProduct(shape: FewShape): Kernel {
  const { bits, columns, tokens, norm, lanes, groupRows, finish, subgroups } = shape
  const blocks = columns / BLOCK
  const gated = finish.kind === 'geglu'
  const span = gated ? groupRows / 2 : groupRows
  const each = (make: (r: number, t: number) => string): string =>
    unroll(groupRows, (r) => unroll(tokens, (t) => make(r, t)))
  const cells = groupRows * tokens + (norm === undefined ? 0 : tokens)
  const parts = subgroups ? lanes / 4 : lanes // a subgroup has at least four lanes
  const source = finish.kind === 'logits' ? 'wantedOf(token)' : 'token'
  const body = `
  let first = (workgroup.x + workgroup.y * workgroups.x) * ${span}u;
  if (first >= span.rows) { return; }
  let token0 = workgroup.z * ${tokens}u;
  ${unroll(tokens, (t) => `var token = token0 + ${t}u; let from${t} = ${source} * ${columns / 4}u;`.replace('var token', t === 0 ? 'var token' : 'token'))}
  ${each((r, t) => `var sum${r}_${t} = 0.0;`)}
  ${norm === undefined ? '' : unroll(tokens, (t) => `var square${t} = 0.0;`)}
  for (var b = lane; b < ${blocks}u; b += ${lanes}u) {
    ${unroll(groupRows, (r) => loadBlock(shape, r, `(first + ${r % span}u) * ${blocks}u + b`, gated && r >= span ? '2' : ''))}
    ${each((r, t) => `var dot${r}_${t} = 0.0;`)}
    ${unroll(tokens, (t) => `var zero${t} = 0.0;`)}
    ${unroll(
      8,
      (j) => `{
      let at = ${j * blocks}u + b;
      ${unroll(groupRows, (r) => `let w${r} = ${codes(bits, `q${r}`, j)};`)}
      ${norm === undefined ? '' : 'let weight = norm[at];'}
      ${unroll(tokens, (t) =>
        norm === undefined
          ? `let x${t} = x[from${t} + at];`
          : `let raw${t} = x[from${t} + at]; square${t} = chain(raw${t}, raw${t}, square${t}); let x${t} = raw${t} * weight;`,
      )}
      ${unroll(tokens, (t) => `zero${t} += (x${t}.x + x${t}.y) + (x${t}.z + x${t}.w);`)}
      ${each((r, t) => `dot${r}_${t} = chain(w${r}, x${t}, dot${r}_${t});`)}
    }`,
    )}
    ${each((r, t) => `sum${r}_${t} += scale${r} * (dot${r}_${t} - ${2 ** (bits - 1)}.0 * zero${t});`)}
  }
  ${each((r, t) => keep(subgroups, r * tokens + t, `sum${r}_${t}`, parts))}
  ${norm === undefined ? '' : unroll(tokens, (t) => keep(subgroups, groupRows * tokens + t, `square${t}`, parts))}
  workgroupBarrier();
  for (var i = lane; i < ${span * tokens}u; i += ${lanes}u) {
    let t = token0 + i % ${tokens}u;
    if (t < ${finish.kind === 'logits' ? 'rowCount()' : 'tokenCount()'}) {
      let factor = ${norm === undefined ? '1.0' : `inverseSqrt(total(${groupRows * tokens}u + i % ${tokens}u${subgroups ? ', subgroupSize' : ''}) / ${columns}.0 + ${f32(norm)})`};
      ${finishCall(gated, `total(i${subgroups ? ', subgroupSize' : ''}) * factor`, `total(i + ${span * tokens}u${subgroups ? ', subgroupSize' : ''}) * factor`, `span.first + first + i / ${tokens}u`)}
    }
  }`
  return kernel({
    name: `${shape.name} of ${tokens}`,
    bindings: bindingsOf(finish, norm !== undefined),
    subgroups,
    workgroupSize: lanes,
    declarations: `${SPAN}${JOB_FUNCTIONS}${finishFunction(shape)}
// Explicit, so that every compiler rounds alike, whatever stands around it.
fn chain(a: vec4f, b: vec4f, sum: f32) -> f32 { return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, sum)))); }
var<workgroup> parts: array<f32, ${cells * parts}>;
fn total(cell: u32${subgroups ? ', subgroupSize: u32' : ''}) -> f32 {
  var sum = 0.0;
  for (var i = 0u; i < ${subgroups ? `(${lanes}u + subgroupSize - 1u) / subgroupSize` : `${lanes}u`}; i++) { sum += parts[cell * ${parts}u + i]; }
  return sum;
}`,
    body,
  })
}

function loadBlock({ bits }: ProductShape, r: number, at: string, suffix: string): string {
  const words =
    bits === 4
      ? `let q${r} = codes${suffix}[at${r}];`
      : `let q${r}_0 = codes${suffix}[at${r} * 2u]; let q${r}_1 = codes${suffix}[at${r} * 2u + 1u];`
  return `let at${r} = ${at}; ${words} let scale${r} = ${scaleAt(suffix, `at${r}`)};`
}

/** Adds up a cell over a subgroup, or leaves that to `total`. */
function keep(subgroups: boolean, cell: number, value: string, parts: number): string {
  return subgroups
    ? `{ let sum = subgroupAdd(${value}); if (subgroupLane == 0u) { parts[${cell * parts}u + lane / subgroupSize] = sum; } }`
    : `parts[${cell * parts}u + lane] = ${value};`
}

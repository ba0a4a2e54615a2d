/** WGSL of the products with quantized weights for a few tokens: each weight is read once for all of them. */
import { type Bits, BLOCK } from './activations.ts'
import { JOB_FUNCTIONS } from './job.ts'
import { f32, type Kernel, kernel, unroll } from './kernel.ts'
import {
  bindingsOf,
  codes,
  finishCall,
  finishFunction,
  loadCodes,
  type ProductShape,
  SPAN,
  scaleAt,
} from './product.ts'

/** How a product of few tokens is shared out. */
export interface FewCut {
  /** Lanes along a row. */
  readonly lanes: number
  /** Rows of a workgroup; of `geglu` half of them are the gate's. */
  readonly groupRows: number
  /** Tokens of a lane; as many groups of lanes as it takes share the weights that one of them has read. */
  readonly laneTokens: number
  /** Size of the smallest subgroup; undefined: subgroups are not used. */
  readonly subgroupLanes: number | undefined
}

export interface FewShape extends ProductShape, FewCut {
  /** Tokens computed at once, so that weights are read once for them. */
  readonly tokens: number
  /** Whether the input is the residual, to be normalized on the way. */
  readonly norm: number | undefined
}

/** Cells of the sums in workgroup memory: each row and token, and each token's squares. */
export function fewCells(rows: number, tokens: number, norm: boolean): number {
  return (rows + (norm ? 1 : 0)) * tokens
}

/**
 * W (rows, columns) @ x (tokens, columns): a workgroup takes `groupRows` rows, its lanes take blocks of 32
 * columns. The arithmetic of a token is the same however many tokens there are.
 */
export function fewProduct(shape: FewShape): Kernel {
  const { bits, bits2, order, columns, tokens, norm, lanes, groupRows, laneTokens, finish } = shape
  const subgroups = shape.subgroupLanes !== undefined
  const blocks = columns / BLOCK
  const gated = finish.kind === 'geglu'
  const span = gated ? groupRows / 2 : groupRows
  const bitsOf = (r: number): Bits => (r < span ? bits : bits2)
  const each = (make: (r: number, t: number) => string): string =>
    unroll(groupRows, (r) => unroll(laneTokens, (t) => make(r, t)))
  const parts = lanes / (shape.subgroupLanes ?? 1)
  const cells = fewCells(groupRows, tokens, norm !== undefined)
  const source = (token: string): string => (finish.kind === 'logits' ? `wantedOf(${token})` : `(${token})`)
  const total = (cell: string): string => `total(${cell}${subgroups ? ', subgroupSize' : ''})`
  const body = `
  let first = (workgroup.x + workgroup.y * workgroups.x) * ${span}u;
  if (first >= span.rows) { return; }
  let token0 = workgroup.z * ${tokens}u;
  let own = lane / ${lanes}u * ${laneTokens}u;
  ${unroll(laneTokens, (t) => `let from${t} = ${source(`token0 + own + ${t}u`)} * ${columns / 4}u;`)}
  ${each((r, t) => `var sum${r}_${t} = 0.0;`)}
  ${norm === undefined ? '' : unroll(laneTokens, (t) => `var square${t} = 0.0;`)}
  for (var b = lane % ${lanes}u; b < ${blocks}u; b += ${lanes}u) {
    ${unroll(groupRows, (r) => loadBlock(shape, r, bitsOf(r), `(first + ${r % span}u) * ${blocks}u + b`, r < span ? '' : '2'))}
    ${each((r, t) => `var dot${r}_${t} = 0.0;`)}
    ${unroll(
      8,
      (j) => `{
      let at = ${j * blocks}u + b;
      ${norm === undefined ? '' : 'let weight = norm[at];'}
      ${unroll(laneTokens, (t) =>
        norm === undefined
          ? `let x${t} = x[from${t} + at];`
          : `let raw${t} = x[from${t} + at]; square${t} = chain(raw${t}, raw${t}, square${t}); let x${t} = raw${t} * weight;`,
      )}
      ${unroll(
        groupRows,
        (r) => `{
        let w = ${codes(bitsOf(r), order, `q${r}_`, j)};
        ${unroll(laneTokens, (t) => `dot${r}_${t} = chain(w, x${t}, dot${r}_${t});`)}
      }`,
      )}
    }`,
    )}
    ${each((r, t) => `sum${r}_${t} = fma(scale${r}, dot${r}_${t}, sum${r}_${t});`)}
  }
  ${each((r, t) => keep(subgroups, `${r * tokens + t}u + own`, `sum${r}_${t}`, shape))}
  ${norm === undefined ? '' : unroll(laneTokens, (t) => keep(subgroups, `${groupRows * tokens + t}u + own`, `square${t}`, shape))}
  workgroupBarrier();
  for (var i = lane; i < ${span * tokens}u; i += ${(lanes * tokens) / laneTokens}u) {
    let t = token0 + i % ${tokens}u;
    if (t < ${finish.kind === 'logits' ? 'rowCount()' : 'tokenCount()'}) {
      let factor = ${norm === undefined ? '1.0' : `inverseSqrt(${total(`${groupRows * tokens}u + i % ${tokens}u`)} / ${columns}.0 + ${f32(norm)})`};
      ${finishCall(gated, `${total('i')} * factor`, `${total(`i + ${span * tokens}u`)} * factor`, `span.first + first + i / ${tokens}u`)}
    }
  }`
  return kernel({
    name: `${shape.name} of ${tokens}`,
    bindings: bindingsOf(finish, norm === undefined ? 'floats' : 'residual'),
    subgroups,
    workgroupSize: (lanes * tokens) / laneTokens,
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

function loadBlock({ blockSize }: ProductShape, r: number, bits: Bits, at: string, suffix: string): string {
  const words = loadCodes(bits, `let q${r}_`, suffix, `at${r}`)
  return `let at${r} = ${at}; ${words} let scale${r} = ${scaleAt(suffix, `at${r}`, blockSize)};`
}

/** Adds up a cell over a subgroup, or leaves that to `total`. */
function keep(subgroups: boolean, cell: string, value: string, { lanes, subgroupLanes = 1 }: FewCut): string {
  const at = `(${cell}) * ${lanes / subgroupLanes}u`
  return subgroups
    ? `{ let sum = subgroupAdd(${value}); if (subgroupLane == 0u) { parts[${at} + lane % ${lanes}u / subgroupSize] = sum; } }`
    : `parts[${at} + lane % ${lanes}u] = ${value};`
}

/** The order of kernels that a pass runs: Gemma's layers, for a few tokens or for many. */
import type { GemmaConfig } from '../../gemma/config.ts'
import { ropeKey } from '../../gemma/rope.ts'
import { EMBEDDING } from '../../gemma/weights.ts'
import { attend, merge } from './attention.ts'
import { type FewShape, fewCells, fewProduct } from './few-product.ts'
import type { Kernel } from './kernel.ts'
import { manyProduct } from './many-product.ts'
import type { GpuMemory, Part } from './memory.ts'
import type { GpuPlan } from './plan.ts'
import type { Finish, ProductShape } from './product.ts'
import type { Dispatch, Groups, PassSize } from './program.ts'
import { quantize, quantizeGroups } from './quantize.ts'
import { rotate } from './rotation.ts'
import { addNormalized, embed, normalize } from './rows.ts'
import { TILE } from './tile.ts'
import type { Tuning } from './tuning.ts'

export interface Subgroups {
  readonly smallest: number
  readonly largest: number
}

export interface ChainParts {
  readonly config: GemmaConfig
  readonly plan: GpuPlan
  readonly memory: GpuMemory
  /** Sizes of the smallest and largest subgroup; undefined: none. */
  readonly subgroups: Subgroups | undefined
  readonly tuning: Tuning
}

/** Tokens computed at once: each product's weights are read once for them. Or tiles of many. */
export type Width = number | 'many'

/** Lanes and bytes of a workgroup that every device has. */
const MOST_LANES = 256
const WORKGROUP_BYTES = 16_384
/** A dimension of a dispatch may be at most 65,535. */
const MOST_GROUPS = 65_535

function grid(groups: number, z: number): Groups {
  if (groups <= MOST_GROUPS) return [groups, 1, z]
  const y = Math.ceil(groups / MOST_GROUPS)
  return [Math.ceil(groups / y), y, z]
}

/** Builds the dispatches of a pass. */
export class Chain {
  readonly #parts: ChainParts
  readonly #width: Width
  /** Layers share kernels. */
  readonly #kernels = new Map<string, Kernel>()

  constructor(parts: ChainParts, width: Width) {
    this.#parts = parts
    this.#width = width
  }

  /** From token ids to the residual after the last layer. */
  layers(): Dispatch[] {
    const { config, plan, memory } = this.#parts
    const { working } = memory
    const all: Dispatch[] = []
    const { bits } = plan.matrices.get(EMBEDDING)!
    const rows = { columns: config.hiddenSize, bits, order: plan.order, blockSize: plan.blockSize }
    for (const { span, codes, scales } of memory.matrices.get(EMBEDDING)!) {
      all.push({
        kernel: this.#kernel('embed', () => embed(rows, config.embeddingScale)),
        buffers: { span, job: working.job, codes, scales, results: working.results, y: working.x },
        groups: ({ tokens }) => [tokens, 1, 1],
      })
    }
    for (let index = 0; index < config.layers.length; index++) {
      all.push(...this.#attention(index), ...this.#mlp(index))
    }
    return all
  }

  /** What most of a pass's time goes to: the products of the first layers' MLPs. */
  probe(layers: number): Dispatch[] {
    const count = Math.min(layers, this.#parts.config.layers.length)
    return Array.from({ length: count }, (_, index) => this.#mlp(index)).flat()
  }

  /** From the residual of the wanted rows to their logits. */
  head(): Dispatch[] {
    const { config, memory } = this.#parts
    const finish = { kind: 'logits', softcap: config.logitSoftcap } as const
    return this.#product(EMBEDDING, finish, {
      x: memory.working.x,
      y: memory.working.logits,
      norm: 'model.norm.weight',
    })
  }

  #attention(index: number): Dispatch[] {
    const { config, plan, memory } = this.#parts
    const { working } = memory
    const { heads, kvHeads } = config
    const layer = config.layers[index]!
    const name = (part: string): string => `model.layers.${index}.${part}.weight`
    const keys = memory.keys[index]!
    const values = memory.values[index]!
    const { job, qkv, sums, tops } = working
    const angles = memory.angles.get(ropeKey(layer))!
    // Tokens of a prompt need each other's keys, and norms of queries and keys a sum: these turn beforehand.
    const rotates = this.#width !== 'many' && !config.qkNorm
    const attention = (split: number | undefined): Kernel =>
      this.#kernel(`attend ${layer.window} ${split}`, () =>
        attend(config, layer, { order: plan.order, cacheBits: plan.cacheBits, split, rotates }),
      )
    const cached = { job, ...(rotates && { angles }), qkv, keys, values }
    const turned: Dispatch = {
      kernel: this.#kernel('rotate', () => rotate(config, plan.cacheBits)),
      buffers: {
        job,
        angles,
        qkv,
        keys,
        values,
        ...(config.qkNorm && {
          queryNorm: memory.norms.get(name('self_attn.q_norm'))!,
          keyNorm: memory.norms.get(name('self_attn.k_norm'))!,
        }),
      },
      groups: ({ tokens }) => [tokens, heads + 2 * kvHeads, 1],
    }
    const whole: Dispatch = {
      kernel: attention(undefined),
      buffers: { ...cached, y: working.attended },
      groups: ({ tokens, splits }) => (splits === 1 ? [tokens, kvHeads, 1] : undefined),
    }
    const split: Dispatch[] = [
      {
        kernel: attention(plan.split),
        buffers: { ...cached, sums, tops },
        groups: ({ tokens, splits }) => (splits > 1 ? [tokens, kvHeads, splits] : undefined),
      },
      {
        kernel: this.#kernel('merge', () => merge(config, plan.order)),
        buffers: { job, sums, tops, y: working.attended },
        groups: ({ tokens, splits }) => (splits > 1 ? [tokens, heads, 1] : undefined),
      },
    ]
    return [
      ...this.#normed(name('self_attn.qkv_proj'), { kind: 'store' }, name('input_layernorm'), qkv),
      ...(rotates ? [] : [turned]),
      whole,
      ...(this.#width === 'many' ? [] : split),
      ...this.#added(name('self_attn.o_proj'), working.attended, name('post_attention_layernorm')),
    ]
  }

  #mlp(index: number): Dispatch[] {
    const { config, memory } = this.#parts
    const { working } = memory
    const name = (part: string): string => `model.layers.${index}.${part}.weight`
    const norm = config.postNorms ? 'pre_feedforward_layernorm' : 'post_attention_layernorm'
    return [
      ...this.#normed(
        name('mlp.gate_proj'),
        { kind: 'geglu' },
        name(norm),
        working.gated,
        name('mlp.up_proj'),
      ),
      ...this.#added(name('mlp.down_proj'), working.gated, name('post_feedforward_layernorm')),
    ]
  }

  /** A product with the normalized residual: few tokens are normalized on the way, many before. */
  #normed(weight: string, finish: Finish, norm: string, y: GPUBuffer, second?: string): Dispatch[] {
    const { config, memory } = this.#parts
    const { x, normed } = memory.working
    if (this.#width !== 'many') return this.#product(weight, finish, { x, y, norm }, second)
    return [
      {
        kernel: this.#kernel('normalize', () => normalize(config.hiddenSize, config.rmsNormEps)),
        buffers: { x, norm: memory.norms.get(norm)!, y: normed },
        groups: ({ tokens }) => [tokens, 1, 1],
      },
      ...this.#product(weight, finish, { x: normed, y }, second),
    ]
  }

  /** A product added to the residual, through a norm where the model has one. */
  #added(weight: string, x: GPUBuffer, norm: string): Dispatch[] {
    const { config, memory, plan } = this.#parts
    const { working } = memory
    if (!config.postNorms) return this.#product(weight, { kind: 'add' }, { x, y: working.x })
    const row = { columns: config.hiddenSize, order: plan.order }
    return [
      ...this.#product(weight, { kind: 'store' }, { x, y: working.product }),
      {
        kernel: this.#kernel('addNormalized', () => addNormalized(row, config.rmsNormEps)),
        buffers: { x: working.product, norm: memory.norms.get(norm)!, y: working.x },
        groups: ({ tokens }) => [tokens, 1, 1],
      },
    ]
  }

  /** One dispatch for each part of the weight; `second` is the up projection beside the gate. */
  #product(
    weight: string,
    finish: Finish,
    { x, y, norm }: { readonly x: GPUBuffer; readonly y: GPUBuffer; readonly norm?: string },
    second?: string,
  ): Dispatch[] {
    const { config, plan, memory, tuning } = this.#parts
    const { rows, columns, bits } = plan.matrices.get(weight)!
    const bits2 = second === undefined ? bits : plan.matrices.get(second)!.bits
    const name = weight.replace(/^model\.(layers\.\d+\.)?/, '').replace(/\.weight$/, '')
    const { order, blockSize } = plan
    const shape: ProductShape = { name, bits, bits2, order, blockSize, rows, columns, finish }
    const few: FewShape | undefined =
      this.#width === 'many'
        ? undefined
        : this.#few(shape, norm === undefined ? undefined : config.rmsNormEps)
    const kernel = this.#kernel(`product ${name} ${bits} ${bits2}`, () =>
      few ? fewProduct(few) : manyProduct({ ...shape, ahead: tuning.ahead, arithmetic: tuning.arithmetic }),
    )
    const groupRows = (few ? few.groupRows : TILE) / (finish.kind === 'geglu' ? 2 : 1)
    const tokens = few ? few.tokens : TILE
    const count = ({ tokens, rows }: PassSize): number => (finish.kind === 'logits' ? rows : tokens)
    const integers = !few && tuning.arithmetic === 'int8'
    const { codes: xCodes, codeScales: xScales } = memory.working
    const rounded: Dispatch = {
      kernel: this.#kernel(`quantize ${columns}`, () => quantize(columns)),
      buffers: { x, codes: xCodes, scales: xScales },
      groups: (size) => [quantizeGroups(columns), count(size), 1],
    }
    const products = memory.matrices.get(weight)!.map((part: Part, i): Dispatch => {
      const other = second === undefined ? undefined : memory.matrices.get(second)![i]!
      return {
        kernel,
        buffers: {
          span: part.span,
          job: memory.working.job,
          ...(integers ? { x: xCodes, xScales } : { x }),
          ...(norm !== undefined && { norm: memory.norms.get(norm)! }),
          codes: part.codes,
          scales: part.scales,
          ...(other && { codes2: other.codes, scales2: other.scales }),
          y,
        },
        groups: (size) => grid(Math.ceil(part.rows / groupRows), Math.ceil(count(size) / tokens)),
      }
    })
    return integers ? [rounded, ...products] : products
  }

  #few(shape: ProductShape, norm: number | undefined): FewShape {
    const { subgroups, tuning } = this.#parts
    const tokens = this.#width as number
    const wished = Math.min(tuning.lanes, 2 ** Math.max(5, Math.ceil(Math.log2(shape.columns / 128))))
    // Without subgroups every lane keeps its sums in workgroup memory; with them, none may span two groups.
    const lanes = subgroups ? Math.max(wished, subgroups.largest) : Math.min(wished, 64)
    const subgroupLanes = subgroups?.smallest
    const parts = lanes / (subgroupLanes ?? 1)
    const groups = Math.floor(MOST_LANES / lanes)
    const laneTokens = Math.max(Math.min(tokens, tuning.laneTokens), tokens / groups)
    let groupRows = tuning.rows[tokens]!
    while (fewCells(groupRows, tokens, norm !== undefined) * parts * 4 > WORKGROUP_BYTES) groupRows /= 2
    return { ...shape, tokens, norm, lanes, groupRows, laneTokens, subgroupLanes }
  }

  #kernel(key: string, make: () => Kernel): Kernel {
    const known = this.#kernels.get(key)
    if (known) return known
    const made = make()
    this.#kernels.set(key, made)
    return made
  }
}

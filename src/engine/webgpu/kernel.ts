/** A WGSL kernel as data: its code, and the buffers it is bound to. */

export type Access = 'read' | 'read_write' | 'uniform'

export interface Binding {
  readonly access: Access
  /** WGSL type, for example `array<vec4f>`. */
  readonly type: string
}

export interface Kernel {
  /** For messages and traces. */
  readonly name: string
  readonly code: string
  /** In the order of their @binding numbers. */
  readonly bindings: Readonly<Record<string, Binding>>
}

export interface KernelParts {
  readonly name: string
  readonly bindings: Readonly<Record<string, Binding>>
  /** Whether the code uses subgroup built-ins. */
  readonly subgroups?: boolean
  /** Whether it uses float16. */
  readonly f16?: boolean
  /** Functions and workgroup variables. */
  readonly declarations?: string
  readonly workgroupSize: number
  /** Body of main; may use `workgroup`, `workgroups` (vec3u), `lane` (u32) and, with subgroups, `subgroupLane` and `subgroupSize`. */
  readonly body: string
}

export const read = (type: string): Binding => ({ access: 'read', type })
export const readWrite = (type: string): Binding => ({ access: 'read_write', type })
export const uniform = (type: string): Binding => ({ access: 'uniform', type })

/** Writes the declarations that every kernel has around its body. */
export function kernel(parts: KernelParts): Kernel {
  const { name, bindings, subgroups = false, f16 = false, declarations = '', workgroupSize, body } = parts
  const declared = Object.entries(bindings).map(([variable, { access, type }], i) => {
    const space = access === 'uniform' ? 'var<uniform>' : `var<storage, ${access}>`
    return `@group(0) @binding(${i}) ${space} ${variable}: ${type};`
  })
  const lanes = subgroups
    ? ', @builtin(subgroup_invocation_id) subgroupLane: u32, @builtin(subgroup_size) subgroupSize: u32'
    : ''
  const code = `${subgroups ? 'enable subgroups;' : ''}${f16 ? 'enable f16;' : ''}
${declared.join('\n')}
${declarations}
@compute @workgroup_size(${workgroupSize})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) workgroups: vec3u,
  @builtin(local_invocation_index) lane: u32${lanes}) {
${body}
}
`
  return { name, code, bindings }
}

/** `make(0)` to `make(count - 1)`, one after the other: loops whose counters must be constants. */
export function unroll(count: number, make: (i: number) => string): string {
  return Array.from({ length: count }, (_, i) => make(i)).join('\n')
}

/** A number as WGSL's f32; 1e-6 and the like keep all their digits. */
export function f32(value: number): string {
  return `f32(${Math.fround(value)})`
}

/** From where GKE takes the machines: a ComputeClass, tried from top to bottom. */
import type { JsonObject } from '../target.ts'
import { type Identity, type KubeObject, toObject } from './object.ts'

export interface Capacity {
  /** Name of the class; pods ask for it by `Serving.computeClass`. */
  readonly name: string
  /** For example `g2-standard-12`. */
  readonly machineType: string
  /** Left out where the machine type says it, as for TPUs. */
  readonly gpu?: { readonly label: string; readonly count: number }
  readonly tpu?: { readonly label: string; readonly topology: string; readonly count: number }
  /** In the order in which they are tried. */
  readonly sources: readonly Source[]
  /** Zones to take machines from; left out: all of the cluster's. */
  readonly zones?: readonly string[]
}

export type Source =
  /** One of this name, or any that fits. */
  | { readonly type: 'reservation'; readonly name?: string; readonly project?: string }
  | { readonly type: 'on-demand' }
  /** Waits for capacity, and ends after at most this time. */
  | { readonly type: 'flex-start'; readonly maxRunMs: number }
  | { readonly type: 'spot' }

/** Cluster-wide: not in any namespace. */
export function toComputeClass(identity: Identity, capacity: Capacity): KubeObject {
  const { namespace: _, ...clusterWide } = identity
  return toObject(
    'cloud.google.com/v1',
    'ComputeClass',
    clusterWide,
    {
      spec: {
        priorities: capacity.sources.map((source) => toPriority(capacity, source)),
        // Other machines would be other prices and other memory: rather wait, and say why.
        whenUnsatisfiable: 'DoNotScaleUp',
        nodePoolAutoCreation: { enabled: true },
        activeMigration: { optimizeRulePriority: false },
      },
    },
    { name: capacity.name },
  )
}

function toPriority({ machineType, gpu, tpu, zones }: Capacity, source: Source): JsonObject {
  return {
    machineType,
    ...(gpu ? { gpu: { type: gpu.label, count: gpu.count } } : {}),
    ...(tpu ? { tpu: { type: tpu.label, topology: tpu.topology, count: tpu.count } } : {}),
    ...(zones ? { location: { zones: [...zones] } } : {}),
    ...toSource(source),
  }
}

function toSource(source: Source): JsonObject {
  switch (source.type) {
    case 'reservation':
      return { reservations: toReservations(source) }
    case 'on-demand':
      return { spot: false }
    case 'flex-start':
      return {
        flexStart: { enabled: true },
        maxRunDurationSeconds: Math.floor(source.maxRunMs / 1000),
      }
    case 'spot':
      return { spot: true }
  }
}

function toReservations({ name, project }: Extract<Source, { type: 'reservation' }>): JsonObject {
  if (name === undefined) return { affinity: 'AnyBestEffort' }
  return { affinity: 'Specific', specific: [{ name, ...(project === undefined ? {} : { project }) }] }
}

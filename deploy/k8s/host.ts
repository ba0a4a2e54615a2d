/** How much of a machine the model server asks for. */
import { type AcceleratorName, accelerator, type Machine } from '../profiles.ts'
import type { HostResources } from './serving.ts'

/** Of a server: beyond this only more weights would help, and the 7B has 16 GiB of them. */
const MOST_MEMORY_GIB = 96
const MOST_VCPUS = 32

/** For a server of so many devices. */
export function hostShare(name: AcceleratorName, devices: number): HostResources {
  const machine = accelerator(name).machines.find((one) => one.devices === devices)!
  const { vcpus, memoryGiB } = twoThirds(machine)
  const memory = Math.min(memoryGiB, MOST_MEMORY_GIB)
  return { cpu: String(Math.min(vcpus, MOST_VCPUS)), memory: `${memory}Gi`, ephemeralStorage: '40Gi' }
}

/** About what pods can have of a machine: the node's own services and GCS FUSE's sidecar need the rest. */
export function twoThirds({ vcpus, memoryGiB }: Machine): Pick<Machine, 'vcpus' | 'memoryGiB'> {
  const whole = (of: number): number => Math.floor((of * 2) / 3)
  return { vcpus: whole(vcpus), memoryGiB: whole(memoryGiB) }
}

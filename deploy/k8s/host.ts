/** How much of a machine the model server asks for. */
import { type AcceleratorName, accelerator } from '../profiles.ts'
import type { HostResources } from './serving.ts'

/** About two thirds of what the machine has: the node's own services and GCS FUSE's sidecar need the rest. */
export function hostShare(name: AcceleratorName, devices: number): HostResources {
  const { vcpus, memoryGiB } = accelerator(name).machines.find((machine) => machine.devices === devices)!
  const whole = (of: number): number => Math.floor((of * 2) / 3)
  // Beyond this only more weights would help, and the 7B has 16 GiB of them.
  const memory = Math.min(whole(memoryGiB), 96)
  return { cpu: String(Math.min(whole(vcpus), 32)), memory: `${memory}Gi`, ephemeralStorage: '40Gi' }
}

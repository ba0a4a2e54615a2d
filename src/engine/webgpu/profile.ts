/** How long each kernel takes, by timestamps of the GPU. */
import { FacetError } from '../../errors.ts'
import type { Runner, Work } from './runner.ts'

/** Nanoseconds of each dispatch, in their order. With a pass of its own, each takes a few thousand more. */
export type KernelTimes = readonly { readonly name: string; readonly tookNs: number }[]

/** A query set holds 4,096 timestamps. */
const MOST_DISPATCHES = 2048

/** @throws FacetError unsupported when the device was opened without timestamps */
export async function profile(device: GPUDevice, runner: Runner, work: Work): Promise<KernelTimes> {
  if (!device.features.has('timestamp-query')) {
    throw new FacetError('unsupported', 'This graphics device gives no timestamps; use another adapter.')
  }
  const { QUERY_RESOLVE, COPY_SRC, COPY_DST, MAP_READ } = GPUBufferUsage
  const querySet = device.createQuerySet({ type: 'timestamp', count: MOST_DISPATCHES * 2 })
  const resolved = device.createBuffer({ size: MOST_DISPATCHES * 16, usage: QUERY_RESOLVE | COPY_SRC })
  const readback = device.createBuffer({ size: MOST_DISPATCHES * 16, usage: COPY_DST | MAP_READ })
  const encoder = device.createCommandEncoder()
  const names: string[] = []
  for (const program of runner.programs(work)) {
    names.push(...program.encodeTimed(encoder, work, querySet, names.length))
  }
  encoder.resolveQuerySet(querySet, 0, names.length * 2, resolved, 0)
  encoder.copyBufferToBuffer(resolved, 0, readback, 0, names.length * 16)
  device.queue.submit([encoder.finish()])
  await readback.mapAsync(GPUMapMode.READ)
  const times = new BigInt64Array(readback.getMappedRange())
  const took = names.map((name, i) => ({ name, tookNs: Number(times[2 * i + 1]! - times[2 * i]!) }))
  for (const each of [querySet, resolved, readback]) each.destroy()
  return took
}

/** How fast the GPU reads its own memory: one kernel that does nothing else. */
import { openGpu } from '../../src/engine/webgpu/device.ts'
import { serveSubject, timed } from '../subject.ts'

const LANES = 256
/** Enough workgroups to fill a small and a large GPU. */
const GROUPS = [256, 1024, 4096, 16_384] as const
/** Reads are repeated until a submission takes about this long. */
const LONG_MS = 50
const MOST_REPEATS = 1000

const CODE = `
@group(0) @binding(0) var<storage, read> data: array<vec4u>;
@group(0) @binding(1) var<storage, read_write> found: array<u32>;
@compute @workgroup_size(${LANES})
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  var mixed = vec4u();
  for (var i = id.x; i < arrayLength(&data); i += groups.x * ${LANES}u) { mixed ^= data[i]; }
  // Never true, but the compiler cannot know.
  if (all(mixed == vec4u(1, 2, 3, 4))) { found[0] = id.x; }
}`

serveSubject({
  /** GB/s, the best of several grids, reading a buffer of this many bytes (or the most that may be bound). */
  read: async (wantedBytes) => {
    const gpu = await openGpu()
    const { device } = gpu
    const { maxBufferSize, maxStorageBufferBindingSize } = device.limits
    const size = Math.floor(Math.min(wantedBytes!, maxBufferSize, maxStorageBufferBindingSize) / 16) * 16
    const data = device.createBuffer({ size, usage: GPUBufferUsage.STORAGE })
    const found = device.createBuffer({ size: 16, usage: GPUBufferUsage.STORAGE })
    const module = device.createShaderModule({ code: CODE })
    const pipeline = await device.createComputePipelineAsync({
      layout: 'auto',
      compute: { module, entryPoint: 'main' },
    })
    const bindGroup = device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: [data, found].map((buffer, binding) => ({ binding, resource: { buffer } })),
    })
    const msOf = (groups: number, repeats: number): Promise<number> =>
      timed(async () => {
        const encoder = device.createCommandEncoder()
        const pass = encoder.beginComputePass()
        pass.setPipeline(pipeline)
        pass.setBindGroup(0, bindGroup)
        for (let i = 0; i < repeats; i++) pass.dispatchWorkgroups(groups)
        pass.end()
        device.queue.submit([encoder.finish()])
        await device.queue.onSubmittedWorkDone()
      })
    let best = 0
    for (const groups of GROUPS) {
      await msOf(groups, 1)
      const repeats = Math.min(MOST_REPEATS, Math.ceil(LONG_MS / (await msOf(groups, 1))))
      best = Math.max(best, (size * repeats) / 1e6 / (await msOf(groups, repeats)))
    }
    gpu.release()
    return [best]
  },
})

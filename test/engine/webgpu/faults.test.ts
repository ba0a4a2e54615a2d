import { describe, expect, it } from 'vitest'
import { create, globals } from 'webgpu'
import type { ModelFiles } from '../../../src/engine/model-files.ts'
import { openGpu } from '../../../src/engine/webgpu/device.ts'
import { createWebGpuGraph, type WebGpuGraph } from '../../../src/engine/webgpu/graph.ts'
import { type Kernel, kernel } from '../../../src/engine/webgpu/kernel.ts'
import { Compiler } from '../../../src/engine/webgpu/program.ts'
import { DATA_FILE } from '../../../src/gemma/manifest.ts'
import { quantizedFixture, type TestModel } from '../wasm/models.ts'

Object.assign(globalThis, globals)

/** Software compiles the kernels in seconds, not milliseconds. */
const SLOW = { timeout: 300_000 }

/** Small enough to compile soon. */
const open = (model: TestModel, options: { gpu?: GPU; bindingBytes?: number } = {}): Promise<WebGpuGraph> =>
  createWebGpuGraph({
    model,
    sequences: 1,
    contextTokens: 64,
    tuning: { lanes: 32, rows: { 1: 2 }, ahead: false },
    ...options,
  })

/** WebGPU whose devices a test can reach. */
function watchedGpu(): { gpu: GPU; devices: GPUDevice[] } {
  const real = create([])
  const devices: GPUDevice[] = []
  const requestAdapter = async (options?: GPURequestAdapterOptions): Promise<GPUAdapter | null> => {
    const adapter = await real.requestAdapter(options)
    if (!adapter) return null
    const { info, features, limits } = adapter
    const requestDevice = async (descriptor?: GPUDeviceDescriptor): Promise<GPUDevice> => {
      const device = await adapter.requestDevice(descriptor)
      devices.push(device)
      return device
    }
    return { info, features, limits, requestDevice } as GPUAdapter
  }
  return { gpu: { requestAdapter } as GPU, devices }
}

/** The same files, but the weights are another's business. */
const withData = (model: TestModel, open: ModelFiles['open']): TestModel => ({
  ...model,
  files: {
    ...model.files,
    open: (path, range) => (path === DATA_FILE ? open(path, range) : model.files.open(path, range)),
  },
})

describe('WebGPU', () => {
  it('says that there is no adapter', async () => {
    const gpu = { requestAdapter: async () => null } as unknown as GPU
    await expect(openGpu({ gpu })).rejects.toMatchObject({
      code: 'unsupported',
      message: expect.stringMatching(/no graphics adapter/),
    })
  })

  it('names the kernel and the adapter when a kernel does not compile', async () => {
    const gpu = await openGpu()
    const broken: Kernel = kernel({
      name: 'riddle',
      bindings: {},
      workgroupSize: 1,
      body: 'let x: u32 = 1.5;',
    })
    const program = new Compiler(gpu).program([{ kernel: broken, buffers: {}, groups: () => [1, 1, 1] }])
    await expect(program).rejects.toMatchObject({
      code: 'unsupported',
      message: expect.stringMatching(new RegExp(`"riddle" does not compile on ${gpu.adapterName}`)),
    })
    gpu.destroy()
  })

  it('refuses with figures what does not fit, before a byte of the weights is read', async () => {
    let reads = 0
    const model = withData(await quantizedFixture('gemma-mqa'), async () => {
      reads++
      return undefined
    })
    await expect(open(model, { bindingBytes: 4096 })).rejects.toMatchObject({
      code: 'out_of_memory',
      message: expect.stringMatching(/weights .*kB, KV cache .*kB for 1 x 64 tokens.*this device allows/),
    })
    expect(reads).toBe(0)
  })

  it('refuses weights that are not quantized', async () => {
    const model = await quantizedFixture('gemma-mqa')
    const plain = { ...model, manifest: { ...model.manifest, quantization: null } }
    await expect(open(plain)).rejects.toMatchObject({ code: 'unsupported', field: 'quantization' })
  })
})

describe('a graph on WebGPU', () => {
  it('finds corrupt weights, and gives the device back', SLOW, async () => {
    const model = await quantizedFixture('gemma-mqa')
    const flip = new TransformStream<Uint8Array, Uint8Array>({
      transform: (piece, controller) => {
        const copy = piece.slice()
        copy[5]! ^= 1
        controller.enqueue(copy)
      },
    })
    const corrupt = withData(model, async (path) => (await model.files.open(path))?.pipeThrough(flip))
    const { gpu, devices } = watchedGpu()
    await expect(open(corrupt, { gpu })).rejects.toMatchObject({ code: 'checksum_mismatch' })
    expect((await devices[0]!.lost).reason).toBe('destroyed')
  })

  it(
    'fails a step in which the device is lost and every one after it, until it is closed',
    SLOW,
    async () => {
      const { gpu, devices } = watchedGpu()
      const graph = await open(await quantizedFixture('gemma-mqa'), { gpu })
      const cache = graph.open(64)
      await graph.step([{ cache, tokens: [2, 3, 4] }])
      const step = graph.step([{ cache, tokens: [5] }])
      devices[0]!.destroy()
      await expect(step).rejects.toMatchObject({ code: 'unavailable' })
      await expect(graph.step([{ cache, tokens: [5] }])).rejects.toMatchObject({
        code: 'unavailable',
        message: expect.stringMatching(/device was lost/),
      })
      await graph.dispose()
      await expect(graph.step([{ cache, tokens: [5] }])).rejects.toThrow('closed')
    },
  )
})

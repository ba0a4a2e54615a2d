import { describe, expect, it } from 'vitest'
import type { ModelFiles } from '../../../src/engine/model-files.ts'
import { filesFromDirectory } from '../../../src/engine/node.ts'
import { type Replacement, recovering } from '../../../src/engine/recovery.ts'
import { openGpu } from '../../../src/engine/webgpu/device.ts'
import { createWebGpuGraph, type WebGpuGraph, type WebGpuOptions } from '../../../src/engine/webgpu/graph.ts'
import { type Kernel, kernel } from '../../../src/engine/webgpu/kernel.ts'
import { planGpu } from '../../../src/engine/webgpu/plan.ts'
import { probeGpu } from '../../../src/engine/webgpu/probe.ts'
import { Compiler } from '../../../src/engine/webgpu/program.ts'
import { DATA_FILE, type Manifest } from '../../../src/gemma/manifest.ts'
import { publishedConfig } from '../../../src/gemma/published.ts'
import { greedy, MODEL_DIRECTORY } from '../golden.ts'
import { quantizedFixture, type TestModel, wasmGraph } from '../wasm/models.ts'
import { dawn } from './dawn.ts'

/** Software compiles the kernels in seconds, not milliseconds. */
const SLOW = { timeout: 300_000 }

/** Small enough to compile soon. */
const open = (model: TestModel, options: Partial<WebGpuOptions> = {}): Promise<WebGpuGraph> =>
  createWebGpuGraph({
    model,
    sequences: 1,
    contextTokens: 64,
    tuning: { lanes: 32, rows: { 1: 2 }, laneTokens: 1, ahead: false },
    gpu: dawn,
    ...options,
  })

interface WatchedGpu {
  readonly gpu: GPU
  readonly devices: GPUDevice[]
  /** What each device was asked for. */
  readonly wanted: GPUDeviceDescriptor[]
}

/**
 * WebGPU whose devices a test can reach.
 *
 * @param less what the adapter pretends to have
 */
function watchedGpu(less: Partial<Pick<GPUAdapter, 'features' | 'limits'>> = {}): WatchedGpu {
  const devices: GPUDevice[] = []
  const wanted: GPUDeviceDescriptor[] = []
  const requestAdapter = async (options?: GPURequestAdapterOptions): Promise<GPUAdapter | null> => {
    const adapter = await dawn.requestAdapter(options)
    if (!adapter) return null
    const { info, features, limits } = adapter
    const requestDevice = async (descriptor: GPUDeviceDescriptor): Promise<GPUDevice> => {
      const device = await adapter.requestDevice(descriptor)
      devices.push(device)
      wanted.push(descriptor)
      return device
    }
    return { info, features, limits, requestDevice, ...less } as GPUAdapter
  }
  return { gpu: { requestAdapter } as GPU, devices, wanted }
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
    gpu.release()
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

  it('plans, and refuses with figures, from the two smallest files', async () => {
    const read = new Set<string>()
    const files = filesFromDirectory(MODEL_DIRECTORY)
    const counted: ModelFiles = {
      ...files,
      open: (path, range) => {
        read.add(path)
        return files.open(path, range)
      },
    }
    const probe = await probeGpu(counted, { slots: 2, contextTokens: 512 })
    expect(probe.adapterName).toMatch(/./)
    expect(probe.weightBytes + probe.cacheBytes + probe.workingBytes).toBe(probe.totalBytes)
    // Keys and values of 10 layers, 64 elements of float16 each, for 2 x 512 positions.
    expect(probe.cacheBytes).toBe(10 * 2 * 64 * 2 * 1024)
    const exact = await probeGpu(counted, { slots: 2, contextTokens: 512, cacheBits: 32 })
    expect(exact.cacheBytes).toBe(2 * probe.cacheBytes)
    expect(probe.maxStorageBufferBindingSize).toBeGreaterThanOrEqual(128 * 1024 ** 2)
    await expect(probeGpu(counted, { slots: 400_000, plain: true })).rejects.toMatchObject({
      code: 'out_of_memory',
      message: expect.stringMatching(/needs .*TB of graphics memory: weights .*MB, KV cache .*TB.*134 MB/),
    })
    expect([...read].sort()).toEqual(['config.json', 'facet.json'])
  })

  it('splits what is larger than one buffer may be: the head of the 2B needs two', async () => {
    const config = publishedConfig('gemma-2b')
    const manifest = { quantization: { bits: 4, blockSize: 32 } } as Manifest
    const bindingBytes = 128 * 1024 ** 2
    const { matrices } = planGpu(config, manifest, { sequences: 4, contextTokens: 8192, bindingBytes })
    const { rows, columns, spans } = matrices.get('model.embed_tokens.weight')!
    expect((rows * columns) / 2).toBe(250 * 1024 ** 2)
    expect(spans).toHaveLength(2)
    expect(spans.reduce((sum, span) => sum + span.rows, 0)).toBe(rows)
    for (const span of spans) expect((span.rows * columns) / 2).toBeLessThanOrEqual(bindingBytes)
  })

  it('splits a gate and what it gates alike, though one has 8 bits and would have to be, and the other 4', () => {
    const name = (part: string): string => `model.layers.0.mlp.${part}_proj.weight`
    const quantization = { bits: 4, blockSize: 32, int8: [name('gate')] }
    const { matrices } = planGpu(publishedConfig('gemma-7b'), { quantization } as unknown as Manifest, {
      sequences: 1,
      contextTokens: 128,
      bindingBytes: 60_000_000,
    })
    const [gate, up] = [matrices.get(name('gate'))!, matrices.get(name('up'))!]
    expect([gate.bits, up.bits]).toEqual([8, 4])
    expect(gate.spans).toHaveLength(2)
    expect(up.spans).toEqual(gate.spans)
  })

  it('refuses with figures what the device has no memory for, before a byte of the weights is read', async () => {
    let reads = 0
    const model = withData(await quantizedFixture('gemma-mqa'), async () => {
      reads++
      return undefined
    })
    const { gpu, devices } = watchedGpu()
    const full: GPU = {
      ...gpu,
      requestAdapter: async () => {
        const adapter = (await gpu.requestAdapter())!
        const requestDevice = async (descriptor?: GPUDeviceDescriptor): Promise<GPUDevice> => {
          const device = await adapter.requestDevice(descriptor)
          device.popErrorScope = async () => new GPUOutOfMemoryError('no memory left')
          return device
        }
        return { ...adapter, requestDevice } as GPUAdapter
      },
    }
    await expect(open(model, { gpu: full })).rejects.toMatchObject({
      code: 'out_of_memory',
      message: expect.stringMatching(/weights .*kB, KV cache .*kB.*would not give; lower contextTokens/),
    })
    expect(reads).toBe(0)
    expect((await devices[0]!.lost).reason).toBe('destroyed')
  })

  it('refuses weights that are not quantized', async () => {
    const model = await quantizedFixture('gemma-mqa')
    const plain = { ...model, manifest: { ...model.manifest, quantization: null } }
    await expect(open(plain)).rejects.toMatchObject({ code: 'unsupported', field: 'quantization' })
  })
})

describe('a graph on WebGPU', () => {
  it('asks an adapter without features and with minimum limits for no more, and computes', SLOW, async () => {
    const limits = { maxBufferSize: 256 * 1024 ** 2, maxStorageBufferBindingSize: 128 * 1024 ** 2 }
    const { gpu, wanted, devices } = watchedGpu({
      features: new Set(),
      limits: limits as unknown as GPUSupportedLimits,
    })
    const graph = await open(await quantizedFixture('gemma-mqa'), { gpu })
    expect(wanted).toEqual([{ requiredFeatures: [], requiredLimits: limits }])
    for (const feature of ['subgroups', 'shader-f16']) expect(devices[0]!.features.has(feature)).toBe(false)
    const [logits] = await graph.step([{ cache: graph.open(8), tokens: [2, 3, 4] }])
    expect(logits!.every(Number.isFinite)).toBe(true)
    await graph.dispose()
  })

  it('computes the same beside another on one device, which outlives both', SLOW, async () => {
    const shared = await openGpu({ gpu: dawn })
    const { device } = shared
    const model = await quantizedFixture('gemma-mqa')
    const [one, two] = await Promise.all([open(model, { device }), open(model, { device })])
    const ids = (graph: WebGpuGraph) => greedy(graph, [{ ids: [2, 30, 40], length: 4 }])
    const [first, second] = await Promise.all([ids(one!), ids(two!)])
    expect(second).toEqual(first)
    await one!.dispose()
    expect(await ids(two!)).toEqual(first)
    await two!.dispose()
    shared.check()
    shared.release()
  })

  it(
    'is replaced in the middle of a step when its device is lost, and goes on with the same ids',
    SLOW,
    async () => {
      const { gpu, devices } = watchedGpu()
      const model = await quantizedFixture('gemma-mqa')
      const replaced: Replacement[] = []
      const graph = recovering(await open(model, { gpu }), {
        again: () => open(model, { gpu }),
        fallback: async () => {
          throw new Error('not needed')
        },
        onReplaced: (replacement) => replaced.push(replacement),
      })
      const answer = [{ ids: [2, 30, 40], length: 6 }]
      const [undisturbed] = await greedy(graph, answer)
      const { step } = graph
      let steps = 0
      graph.step = (batch) => {
        const result = step.call(graph, batch)
        if (++steps === 4) setImmediate(() => devices[0]!.destroy())
        return result
      }
      const [disturbed] = await greedy(graph, answer)
      expect(disturbed!.ids).toEqual(undisturbed!.ids)
      expect(replaced).toMatchObject([{ failure: { code: 'unavailable' } }])
      await graph.dispose()
    },
  )

  it('goes on in WebAssembly when the device refuses a command', SLOW, async () => {
    const { gpu, devices } = watchedGpu()
    const model = await quantizedFixture('gemma-mqa')
    const graph = recovering(await open(model, { gpu }), {
      again: async () => {
        throw new Error('not needed')
      },
      fallback: () => wasmGraph(model),
    })
    const cache = graph.open(64)
    await graph.step([{ cache, tokens: [2, 3, 4] }])
    devices[0]!.createBuffer({ size: 16, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.MAP_WRITE })
    await graph.step([{ cache, tokens: [5] }])
    await graph.step([{ cache, tokens: [6] }])
    expect(graph.name).toMatch(/wasm/i)
    expect(cache.length).toBe(5)
    await graph.dispose()
  })

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

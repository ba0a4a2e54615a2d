/** The GPU: found before a byte is read, with the limits a model needs, and its failures as typed errors. */
import { FacetError } from '../../errors.ts'

/** A device, and what has happened to it. */
export interface Gpu {
  readonly device: GPUDevice
  /** As the driver says, for people. */
  readonly adapterName: string
  readonly subgroups: boolean
  /** @throws FacetError unavailable once the device is lost, internal once it has refused something */
  check(): void
  /** `cause` as what the device's state makes of it. */
  toError(cause: unknown): FacetError
  destroy(): void
}

export interface GpuOptions {
  /** Default: the runtime's own WebGPU, or the npm package `webgpu`. */
  readonly gpu?: GPU
  /** Use no optional feature and no more than WebGPU's guaranteed limits. */
  readonly plain?: boolean
  /** Ask for timestamps, to measure kernels with. */
  readonly timestamps?: boolean
}

/** Limits that are asked for as high as the adapter has them: they cost nothing. */
const RAISED = ['maxBufferSize', 'maxStorageBufferBindingSize'] as const

/** @throws FacetError unsupported when there is no WebGPU or no adapter */
export async function openGpu(options: GpuOptions = {}): Promise<Gpu> {
  const gpu = options.gpu ?? (await findGpu())
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' })
  if (!adapter) {
    throw new FacetError(
      'unsupported',
      'WebGPU finds no graphics adapter on this machine; use --engine wasm, or install a driver.',
      { field: 'graph' },
    )
  }
  const { vendor, architecture, description } = adapter.info
  const adapterName = description || [vendor, architecture].filter(Boolean).join(' ') || 'unknown adapter'
  const subgroups = options.plain !== true && adapter.features.has('subgroups')
  const features: GPUFeatureName[] = subgroups ? ['subgroups'] : []
  if (options.timestamps && adapter.features.has('timestamp-query')) features.push('timestamp-query')
  const requiredLimits = Object.fromEntries(
    options.plain === true ? [] : RAISED.map((limit) => [limit, adapter.limits[limit]]),
  )
  let device: GPUDevice
  try {
    device = await adapter.requestDevice({ requiredFeatures: features, requiredLimits })
  } catch (cause) {
    const message = `${adapterName} gives no WebGPU device: ${(cause as Error).message}; use --engine wasm.`
    throw new FacetError('unsupported', message, { field: 'graph', cause })
  }
  return watched(device, adapterName, subgroups)
}

function watched(device: GPUDevice, adapterName: string, subgroups: boolean): Gpu {
  let failure: FacetError | undefined
  let destroyed = false
  void device.lost.then(({ message }) => {
    if (destroyed) return
    const why = message ? `: ${message.replaceAll(/\s+/g, ' ')}` : ''
    failure = new FacetError('unavailable', `The graphics device was lost${why}; load the model again.`)
  })
  device.onuncapturederror = ({ error }) => {
    const message = error.message.replaceAll(/\s+/g, ' ')
    failure ??= new FacetError('internal', `${adapterName} refused what Facet asked of it: ${message}`, {
      cause: error,
    })
  }
  return {
    device,
    adapterName,
    subgroups,
    check: () => {
      if (failure) throw failure
    },
    toError: (cause) => {
      if (failure) return failure
      if (cause instanceof FacetError) return cause
      const message = cause instanceof Error ? cause.message : String(cause)
      return new FacetError('unavailable', `${adapterName} could not finish a step: ${message}`, { cause })
    },
    destroy: () => {
      destroyed = true
      device.destroy()
    },
  }
}

async function findGpu(): Promise<GPU> {
  const own = (globalThis.navigator as Navigator | undefined)?.gpu
  if (own) return own
  dawn ??= importDawn()
  return dawn
}

/** One for the process: it must outlive its devices. */
let dawn: Promise<GPU> | undefined

async function importDawn(): Promise<GPU> {
  try {
    // Not a literal: bundlers for browsers would follow it into a package that only Node can load.
    const name: string = 'webgpu'
    const { create, globals } = (await import(/* @vite-ignore */ name)) as typeof import('webgpu')
    Object.assign(globalThis, globals)
    return create([])
  } catch (cause) {
    throw new FacetError(
      'unsupported',
      'This runtime has no WebGPU; run: npm install webgpu, or use --engine wasm.',
      { field: 'graph', cause },
    )
  }
}

/**
 * Runs what allocates, and turns a device that is out of memory into an error with these figures.
 *
 * @param figures what was asked for, as a sentence without its end
 */
export async function allocating<Result>(
  { device }: Gpu,
  figures: string,
  make: () => Result | Promise<Result>,
): Promise<Result> {
  device.pushErrorScope('out-of-memory')
  device.pushErrorScope('validation')
  let result: Result
  try {
    result = await make()
  } catch (cause) {
    await Promise.all([device.popErrorScope(), device.popErrorScope()])
    throw cause
  }
  const [invalid, exhausted] = await Promise.all([device.popErrorScope(), device.popErrorScope()])
  if (!invalid && !exhausted) return result
  throw new FacetError(
    'out_of_memory',
    `${figures}, which the graphics device would not give; lower contextTokens or slots, or use a smaller model.`,
    { cause: exhausted ?? invalid },
  )
}

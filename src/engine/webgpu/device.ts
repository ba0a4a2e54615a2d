/** The GPU: found before a byte is read, with the limits a model needs, and its failures as typed errors. */
import { FacetError } from '../../errors.ts'

/** A device, and what has happened to it. */
export interface Gpu {
  readonly device: GPUDevice
  /** As the driver says, for people. */
  readonly adapterName: string
  readonly subgroups: boolean
  /** Kernels may compute in float16. */
  readonly f16: boolean
  /** Kernels may multiply packed 8-bit integers. */
  readonly integers: boolean
  /** Why the device is of no use any more: unavailable when it was lost, out_of_memory, internal when it refused something. */
  readonly failure: FacetError | undefined
  /** @throws FacetError the failure, once there is one */
  check(): void
  /** `cause` as what the device's state makes of it. What is no error of ours makes the device a failed one. */
  toError(cause: unknown): FacetError
  /** Gives the device back; one that was brought along is only let go. */
  release(): void
}

export interface AdapterOptions {
  /** Default: the runtime's own WebGPU, or the npm package `webgpu`. */
  readonly gpu?: GPU
  /** Use no optional feature and no more than WebGPU's guaranteed limits. */
  readonly plain?: boolean
}

export interface GpuOptions extends AdapterOptions {
  /** A device that others use too. Its features and limits are taken as they are, and it outlives the graph. */
  readonly device?: GPUDevice
  /** Ask for timestamps, to measure kernels with. */
  readonly timestamps?: boolean
}

/** What is known of an adapter before a device is asked for. */
export interface FoundAdapter {
  readonly adapter: GPUAdapter
  readonly adapterName: string
  /** Optional features that kernels have a use for, as far as the adapter has them. */
  readonly features: readonly GPUFeatureName[]
  /** Kernels may multiply packed 8-bit integers. */
  readonly integers: boolean
  /** As high as the adapter has them: they cost nothing. */
  readonly limits: Readonly<Record<(typeof RAISED)[number], number>>
}

const RAISED = ['maxBufferSize', 'maxStorageBufferBindingSize'] as const
/** What every adapter grants, by WebGPU's table of limits. */
const GUARANTEED: FoundAdapter['limits'] = {
  maxBufferSize: 256 * 1024 * 1024,
  maxStorageBufferBindingSize: 128 * 1024 * 1024,
}
const FEATURES = ['subgroups', 'shader-f16'] as const satisfies readonly GPUFeatureName[]

/** @throws FacetError unsupported when there is no WebGPU or no adapter */
export async function findAdapter(options: AdapterOptions = {}): Promise<FoundAdapter> {
  const gpu = options.gpu ?? (await findGpu())
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' })
  if (!adapter) {
    throw new FacetError(
      'unsupported',
      'WebGPU finds no graphics adapter on this machine; use --engine wasm, or install a driver.',
      { field: 'graph' },
    )
  }
  const plain = options.plain === true
  return {
    adapter,
    adapterName: nameOf(adapter.info),
    integers: !plain && multipliesIntegers(gpu),
    features: plain ? [] : FEATURES.filter((feature) => adapter.features.has(feature)),
    limits: plain
      ? GUARANTEED
      : {
          maxBufferSize: adapter.limits.maxBufferSize,
          maxStorageBufferBindingSize: adapter.limits.maxStorageBufferBindingSize,
        },
  }
}

/** @throws FacetError unsupported when there is no WebGPU, no adapter or no device */
export async function openGpu(options: GpuOptions = {}): Promise<Gpu> {
  if (options.device) {
    const { device, gpu = await findGpu() } = options
    const adapterName = nameOf(device.adapterInfo)
    return watched(device, { adapterName, integers: multipliesIntegers(gpu), shared: true })
  }
  const { adapter, adapterName, features, integers, limits } = await findAdapter(options)
  const timed = options.timestamps === true && adapter.features.has('timestamp-query')
  try {
    const device = await adapter.requestDevice({
      requiredFeatures: [...features, ...(timed ? (['timestamp-query'] as const) : [])],
      requiredLimits: limits,
    })
    return watched(device, { adapterName, integers, shared: false })
  } catch (cause) {
    const message = `${adapterName} gives no WebGPU device: ${oneLine(cause)}; use --engine wasm.`
    throw new FacetError('unsupported', message, { field: 'graph', cause })
  }
}

function multipliesIntegers({ wgslLanguageFeatures }: Partial<GPU>): boolean {
  return wgslLanguageFeatures?.has('packed_4x8_integer_dot_product') === true
}

function watched(
  device: GPUDevice,
  {
    adapterName,
    integers,
    shared,
  }: { readonly adapterName: string; readonly integers: boolean; readonly shared: boolean },
): Gpu {
  let failure: FacetError | undefined
  let released = false
  void device.lost.then((lost) => {
    if (released) return
    const why = lost.message ? `: ${oneLine(lost)}` : ''
    failure = new FacetError('unavailable', `The graphics device was lost${why}; try again.`)
  })
  const onError = ({ error }: GPUUncapturedErrorEvent): void => {
    failure ??= refusal(adapterName, error)
  }
  device.addEventListener('uncapturederror', onError)
  return {
    device,
    adapterName,
    subgroups: device.features.has('subgroups'),
    f16: device.features.has('shader-f16'),
    integers,
    get failure() {
      return failure
    },
    check: () => {
      if (failure) throw failure
    },
    toError: (cause) => {
      if (failure) return failure
      if (cause instanceof FacetError) return cause
      const message = `${adapterName} could not finish a step: ${oneLine(cause)}`
      failure = new FacetError('unavailable', message, { cause })
      return failure
    },
    release: () => {
      released = true
      device.removeEventListener('uncapturederror', onError)
      if (!shared) device.destroy()
    },
  }
}

function refusal(adapterName: string, error: GPUError): FacetError {
  // By name: the class is a global only where WebGPU is the runtime's own.
  if (error.constructor.name === 'GPUOutOfMemoryError') {
    const message = `${adapterName} has no graphics memory left: ${oneLine(error)}; lower contextTokens or slots, or use a smaller model.`
    return new FacetError('out_of_memory', message, { cause: error })
  }
  return new FacetError('internal', `${adapterName} refused what Facet asked of it: ${oneLine(error)}`, {
    cause: error,
  })
}

function nameOf({ vendor, architecture, description }: GPUAdapterInfo): string {
  return description || [vendor, architecture].filter(Boolean).join(' ') || 'unknown adapter'
}

function oneLine(cause: unknown): string {
  const text = (cause as { message?: string }).message ?? String(cause)
  return text.replaceAll(/\s+/g, ' ')
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

/** What JavaScript has to do with a GPU: bytes it reads back, and how long it waits for them. */

/** Sums since the watching began. */
export interface GpuTraffic {
  readonly readBytes: number
  /** Milliseconds from when this thread had nothing more to do until what it reads was there. */
  readonly waitedMs: number
}

/** Listens at the methods by which buffers are read, for the rest of the process. */
export function watchTraffic(): GpuTraffic {
  const sums = { readBytes: 0, waitedMs: 0 }
  const { mapAsync } = GPUBuffer.prototype
  GPUBuffer.prototype.mapAsync = async function (
    this: GPUBuffer,
    mode,
    offset = 0,
    size = this.size - offset,
  ) {
    const mapped = mapAsync.call(this, mode, offset, size)
    if ((mode & GPUMapMode.READ) === 0) return mapped
    sums.readBytes += size
    // Whatever else is done before the thread turns to waiting is done when this microtask runs.
    await undefined
    const start = performance.now()
    try {
      return await mapped
    } finally {
      sums.waitedMs += performance.now() - start
    }
  }
  return sums
}

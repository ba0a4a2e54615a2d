/** What this machine's memory gives to a reader: a gigabyte summed or searched on every core at once. */
import { availableParallelism } from 'node:os'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import asc from 'assemblyscript/asc'
import { serveSubject, timed } from '../subject.ts'

const BYTES = 1024 ** 3

/** Sums `bytes` from `start`, as one stream or as four that run beside each other. */
const SOURCE = `
function sum(start: usize, bytes: usize, streams: usize): v128 {
  let a = i64x2.splat(0), b = a, c = a, d = a, e = a, f = a, g = a, h = a
  const part = bytes / streams, two = streams == 1 ? 64 : part, three = 2 * two, four = 3 * two
  const step: usize = streams == 1 ? 256 : 64
  for (let p = start, end = start + part; p < end; p += step) {
    a = i64x2.add(a, v128.load(p)); b = i64x2.add(b, v128.load(p, 16))
    c = i64x2.add(c, v128.load(p, 32)); d = i64x2.add(d, v128.load(p, 48))
    e = i64x2.add(e, v128.load(p + two)); f = i64x2.add(f, v128.load(p + two, 16))
    g = i64x2.add(g, v128.load(p + two, 32)); h = i64x2.add(h, v128.load(p + two, 48))
    a = i64x2.add(a, v128.load(p + three)); b = i64x2.add(b, v128.load(p + three, 16))
    c = i64x2.add(c, v128.load(p + three, 32)); d = i64x2.add(d, v128.load(p + three, 48))
    e = i64x2.add(e, v128.load(p + four)); f = i64x2.add(f, v128.load(p + four, 16))
    g = i64x2.add(g, v128.load(p + four, 32)); h = i64x2.add(h, v128.load(p + four, 48))
  }
  return v128.or(v128.or(v128.or(a, b), v128.or(c, d)), v128.or(v128.or(e, f), v128.or(g, h)))
}
export function read(start: usize, bytes: usize, streams: usize): i32 {
  return v128.any_true(sum(start, bytes, streams)) ? 1 : 0
}
`

interface Share {
  readonly module: WebAssembly.Module
  readonly memory: WebAssembly.Memory
  readonly start: number
  readonly bytes: number
}

async function compile(): Promise<WebAssembly.Module> {
  let wasm: Uint8Array<ArrayBuffer> | undefined
  const flags = '-O3 --runtime stub --enable simd --enable threads --importMemory --sharedMemory'
  const memory = '--initialMemory 1 --maximumMemory 65536 --outFile read.wasm'
  const { error, stderr } = await asc.main(['read.ts', ...flags.split(' '), ...memory.split(' ')], {
    readFile: (name) => (name === 'read.ts' ? SOURCE : null),
    writeFile: (_, contents) => {
      wasm = new Uint8Array(contents as Uint8Array)
    },
    listFiles: () => [],
  })
  if (error || !wasm) throw new Error(`${error?.message} ${stderr}`)
  return WebAssembly.compile(wasm)
}

/** 1 and 4: that many streams in WebAssembly. 0: the C library's search for a byte that is not there. */
const WAYS = [1, 4, 0]

function readShare({ module, memory, start, bytes }: Share): (way: number) => void {
  const { exports } = new WebAssembly.Instance(module, { env: { memory } })
  const read = exports.read as (start: number, bytes: number, streams: number) => number
  const native = Buffer.from(memory.buffer, start, bytes)
  return (way) => {
    if (way === 0 ? native.indexOf(1) !== -1 : read(start, bytes, way) !== 0)
      throw new Error('It was not zero.')
  }
}

async function start(): Promise<void> {
  const module = await compile()
  const memory = new WebAssembly.Memory({ initial: BYTES / 65_536, maximum: BYTES / 65_536, shared: true })
  // Untouched pages would all be the one page of zeros, which stays in the cache.
  const all = new Uint8Array(memory.buffer)
  for (let at = 0; at < BYTES; at += 4096) all[at] = 0
  const threads = availableParallelism()
  const bytes = Math.floor(BYTES / threads / 4096) * 4096
  const share = (i: number): Share => ({ module, memory, start: i * bytes, bytes })
  const workers = Array.from(
    { length: threads - 1 },
    (_, i) => new Worker(new URL(import.meta.url), { workerData: share(i + 1) }),
  )
  const here = readShare(share(0))
  const inAll = async (way: number): Promise<void> => {
    const done = workers.map((worker) => new Promise((resolve) => worker.once('message', resolve)))
    for (const worker of workers) worker.postMessage(way)
    here(way)
    await Promise.all(done)
  }
  for (const way of WAYS) await inAll(way)
  serveSubject({
    /** GB/s of every way. */
    read: async () => {
      const rates: number[] = []
      for (const way of WAYS) rates.push((bytes * threads) / 1e6 / (await timed(() => inAll(way))))
      return rates
    },
  })
}

if (isMainThread) {
  await start()
} else {
  const read = readShare(workerData as Share)
  parentPort!.on('message', (way: number) => {
    read(way)
    parentPort!.postMessage('done')
  })
}

/** Measures the Workers template on workerd: size, cold start to the first token, CPU time, memory. Linux only. */
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { bundleWorker, peakHeapBytes, startWorker } from './workerd.ts'

const RUNS = 7

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

interface Span {
  readonly wallMs: number
  readonly cpuMs: number
}

const bundle = await bundleWorker('deploy/workers')
const body = JSON.stringify({
  messages: [{ role: 'user', content: 'How do I find files by name?' }],
  temperature: 0,
  stream: true,
})

/** To the first token, and from there to the end of an answer of nine. */
async function answer(origin: string, pid: string): Promise<{ first: Span; rest: Span }> {
  const startMs = performance.now()
  const startCpuMs = cpuMs(pid)
  const response = await fetch(`${origin}/v1/chat/completions`, { method: 'POST', body })
  if (response.status !== 200) throw new Error(await response.text())
  const reader = response.body!.getReader()
  await reader.read()
  const firstMs = performance.now()
  const firstCpuMs = cpuMs(pid)
  while (!(await reader.read()).done);
  return {
    first: { wallMs: firstMs - startMs, cpuMs: firstCpuMs - startCpuMs },
    rest: { wallMs: performance.now() - firstMs, cpuMs: cpuMs(pid) - firstCpuMs },
  }
}

const cold: Span[] = []
const warm: Span[] = []
const whole: Span[] = []
let heapBytes = 0
for (let run = 0; run < RUNS; run++) {
  const worker = startWorker(bundle, at('../models'))
  const { origin } = await worker.ready
  const pid = workerdPid()
  cold.push((await answer(origin, pid)).first)
  for (let again = 0; again < 5; again++) {
    const { first, rest } = await answer(origin, pid)
    warm.push(first)
    whole.push({ wallMs: first.wallMs + rest.wallMs, cpuMs: first.cpuMs + rest.cpuMs })
  }
  await worker.dispose()
  const fresh = startWorker(bundle, at('../models'))
  const url = (await fresh.ready).origin
  heapBytes = Math.max(heapBytes, await peakHeapBytes(fresh, () => answer(url, workerdPid())))
  await fresh.dispose()
}
bundle.remove()

console.log(`bundle, gzipped      ${(bundle.gzipBytes / 1024).toFixed(0)} KiB`)
console.log(`heap at its peak     ${(heapBytes / 1e6).toFixed(1)} MB beside the kernels' memory`)
tell('cold, to first token', cold)
tell('warm, to first token', warm)
tell('warm, nine tokens   ', whole)

function tell(what: string, spans: readonly Span[]): void {
  const median = (values: readonly number[]): string =>
    values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!.toFixed(0)
  const wall = median(spans.map(({ wallMs }) => wallMs))
  console.log(
    `${what} ${wall} ms, CPU ${median(spans.map((span) => span.cpuMs))} ms (median of ${spans.length})`,
  )
}

/** Of the one workerd that this process has started. */
function workerdPid(): string {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  const pid = pids.find((each) => {
    const [comm, , ppid] = statOf(each)
    return comm === 'workerd' && ppid === String(process.pid)
  })
  if (pid === undefined) throw new Error('workerd is not there')
  return pid
}

/** Of all threads that still live; those of workerd do. */
function cpuMs(pid: string): number {
  const threads = readdirSync(`/proc/${pid}/task`)
  const nanoseconds = threads.map((thread) =>
    Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]),
  )
  return nanoseconds.reduce((sum, each) => sum + each, 0) / 1e6
}

/** Name, state, parent and so on, as in proc(5); nothing for a process that has just ended. */
function statOf(pid: string): string[] {
  try {
    const [, name = '', rest = ''] =
      /^\d+ \((.*)\) (.*)$/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8').trim()) ?? []
    return [name, ...rest.split(' ')]
  } catch {
    return []
  }
}

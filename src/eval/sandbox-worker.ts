/** A process that runs Python programs in pyodide, one after another, and can reach nothing of the machine it is on. */
import { constants } from 'node:fs'
import { pathToFileURL } from 'node:url'

/** What the process is started with, as its only argument, in JSON. */
export interface WorkerStart {
  /** Folder of the package pyodide, with a slash at its end. */
  readonly pyodide: string
  readonly memoryBytes: number
  /** Of standard output and error together. */
  readonly outputBytes: number
  /** Exit status where a program writes more. */
  readonly overflowStatus: number
}

/** snapshot: start Python, and send its memory. load: begin with that memory, in a seventh of the time. */
export type WorkerRequest =
  | { readonly type: 'snapshot' }
  | { readonly type: 'load'; readonly snapshot: Uint8Array }
  | { readonly type: 'run'; readonly source: string }

export type WorkerMessage =
  | { readonly type: 'snapshot'; readonly snapshot: Uint8Array }
  | { readonly type: 'ready' }
  /** Python could not be started. */
  | { readonly type: 'unusable'; readonly reason: string }
  /** error: the last line of the traceback; undefined where there is none. */
  | { readonly type: 'ended'; readonly error?: string; readonly fatal: boolean }

/** Files of a program lie in memory; all that it writes to them may be so long. */
const FILES_BYTES = 16 * 2 ** 20

/** Ways from Python to JavaScript, and to packages that are not there. */
const CUT_OFF = ['js', 'pyodide_js', 'pyodide', '_pyodide', '_pyodide_core', 'micropip', 'ctypes', '_ctypes']

/** Ways from JavaScript to the machine. The permission model of Node.js stands behind them. */
const HOST_GLOBALS =
  /^(process|Buffer|global|fetch|WebSocket|EventSource|BroadcastChannel|Message(Channel|Port)|XMLHttpRequest|Worker|navigator|(local|session)Storage)$/

/** What programs import most. */
const PRELOAD =
  'import bisect, collections, copy, datetime, functools, hashlib, heapq, itertools, json, math, operator, random, re, shutil, statistics, string, traceback, typing'

/**
 * Everything that a program may have changed for the next one is put back: modules and what stands in them, the
 * recursion limit, files. Only what lies deeper, inside of shared objects, would stay.
 */
const RUNNER = `
import builtins, gc, os, shutil, sys, traceback

for name in list(sys.modules):
    if any(name == cut or name.startswith(cut + '.') for cut in CUT_OFF):
        del sys.modules[name]
for cut in CUT_OFF:
    sys.modules[cut] = None
for held in gc.get_objects():
    if isinstance(held, dict):
        for name in [name for name, value in held.items() if type(value).__name__ == 'JsProxy']:
            held[name] = None
sys.meta_path[:] = [finder for finder in sys.meta_path if 'pyodide' not in type(finder).__module__]

def runner():
    modules = dict(sys.modules)
    kept = [(vars(module), dict(vars(module))) for module in modules.values() if module is not None]
    meta_path, path, home, limit = list(sys.meta_path), list(sys.path), os.getcwd(), sys.getrecursionlimit()
    run, clear, collect, rmtree, chdir = exec, sys.modules.clear, gc.collect, shutil.rmtree, os.chdir
    listdir, remove, isdir, join = os.listdir, os.remove, os.path.isdir, os.path.join
    last_line, set_limit = traceback.format_exception_only, sys.setrecursionlimit

    def restore():
        set_limit(limit)
        for variables, was in kept:
            for name in [name for name in variables if name not in was]:
                del variables[name]
            variables.update(was)
        clear()
        sys.modules.update(modules)
        sys.meta_path[:], sys.path[:] = meta_path, path
        chdir(home)
        for folder in ('/tmp', home):
            for name in listdir(folder):
                place = join(folder, name)
                rmtree(place) if isdir(place) else remove(place)
        collect()

    def run_program(source):
        try:
            run(compile(source, '<program>', 'exec'), {'__name__': '__main__', '__builtins__': builtins})
            return None
        except BaseException as error:
            lines = last_line(error)
            return (lines[-1].strip() or type(error).__name__)[:500]
        finally:
            restore()

    # What is there for good need not be gone through after each program.
    collect()
    gc.freeze()
    return run_program

runner()
`

/** As far as it is used here; the package's own types want the DOM. */
interface Pyodide {
  readonly FS: {
    readonly filesystems: { readonly MEMFS: FileStorage }
    readonly ErrnoError: new (errno: number) => Error
  }
  runPython(code: string, options?: { readonly globals: unknown }): unknown
  makeMemorySnapshot(): Uint8Array
  toPy(value: object): unknown
  setStdin(options: { readonly error: boolean }): void
  setStdout(options: Output): void
  setStderr(options: Output): void
}

interface Output {
  readonly write: (bytes: Uint8Array) => number
}

interface FileStorage {
  expandFileStorage(node: { readonly usedBytes: number }, bytes: number): void
  resizeFileStorage(node: { readonly usedBytes: number }, bytes: number): void
}

const host = process
const send = (message: WorkerMessage): void => {
  host.send!(message)
}

/** Of the program that runs. */
const used = { outputBytes: 0, fileBytes: 0 }

type Load = (options: object) => Promise<Pyodide>

async function serve(options: WorkerStart): Promise<void> {
  // The permission model refuses this old call; pyodide takes nothing but these from it.
  Object.assign(host, { binding: () => ({ fs: constants }) })
  limitMemory(options.memoryBytes)
  const { loadPyodide } = (await import(pathToFileURL(`${options.pyodide}pyodide.mjs`).href)) as {
    readonly loadPyodide: Load
  }
  const load: Load = (more) => loadPyodide({ indexURL: options.pyodide, ...more })
  let run: Run | undefined
  const answer = async (request: WorkerRequest): Promise<WorkerMessage> => {
    if (request.type === 'run') return ended(run!, request.source)
    if (request.type === 'snapshot') return { type: 'snapshot', snapshot: await takeSnapshot(load) }
    run = await startPython(load, request.snapshot, options)
    return { type: 'ready' }
  }
  host.on('message', (request: WorkerRequest) => {
    answer(request).then(send, (error: unknown) => send({ type: 'unusable', reason: String(error) }))
  })
}

async function takeSnapshot(load: Load): Promise<Uint8Array> {
  const python = await load({ _makeSnapshot: true })
  python.runPython(PRELOAD)
  return python.makeMemorySnapshot()
}

type Run = (source: string) => string | undefined

async function startPython(load: Load, snapshot: Uint8Array, options: WorkerStart): Promise<Run> {
  const python = await load({ jsglobals: Object.create(null), _loadSnapshot: snapshot })
  limitFiles(python)
  const output: Output = {
    write: ({ length }) => {
      used.outputBytes += length
      if (used.outputBytes > options.outputBytes) host.exit(options.overflowStatus)
      return length
    },
  }
  python.setStdin({ error: true })
  python.setStdout(output)
  python.setStderr(output)
  const run = python.runPython(RUNNER, { globals: python.toPy({ CUT_OFF }) }) as Run
  for (const name of Object.getOwnPropertyNames(globalThis))
    if (HOST_GLOBALS.test(name)) Reflect.deleteProperty(globalThis, name)
  return run
}

function ended(run: Run, source: string): WorkerMessage {
  used.outputBytes = 0
  used.fileBytes = 0
  try {
    const error = run(source)
    return { type: 'ended', fatal: false, ...(error !== undefined && { error }) }
  } catch (error) {
    // Python itself is broken, by a stack that is full or an end that it was told to make.
    return { type: 'ended', fatal: true, error: String(error).slice(0, 500) }
  }
}

/** WebAssembly knows no limit but what a module declares; Python finds a refusal to be MemoryError. */
function limitMemory(bytes: number): void {
  const grow = WebAssembly.Memory.prototype.grow
  WebAssembly.Memory.prototype.grow = function limited(this: WebAssembly.Memory, pages: number): number {
    if (this.buffer.byteLength + pages * 65_536 > bytes) throw new RangeError('The memory limit is reached.')
    return grow.call(this, pages)
  }
}

function limitFiles({ FS }: Pyodide): void {
  const { MEMFS } = FS.filesystems
  for (const name of ['expandFileStorage', 'resizeFileStorage'] as const) {
    const change = MEMFS[name].bind(MEMFS)
    MEMFS[name] = (node, bytes) => {
      used.fileBytes += Math.max(0, bytes - node.usedBytes)
      if (used.fileBytes > FILES_BYTES) throw new FS.ErrnoError(NO_SPACE)
      change(node, bytes)
    }
  }
}

/** ENOSPC, as Emscripten numbers it. */
const NO_SPACE = 51

await serve(JSON.parse(host.argv[2]!) as WorkerStart)

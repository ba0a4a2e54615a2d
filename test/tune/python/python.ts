/** Python (pyodide) with real folders: runs what runs inside of tuning jobs. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { loadPyodide, type PyodideAPI } from 'pyodide'

const TESTS = fileURLToPath(new URL('./', import.meta.url))
export const SCRIPTS: string = fileURLToPath(new URL('../../../src/tune/python/', import.meta.url))

export interface Ran {
  /** What `sys.exit` was called with; 0 where it was not. */
  readonly status: number
  /** Lines of standard output. */
  readonly lines: readonly string[]
}

export class Python {
  readonly #python: PyodideAPI
  readonly #folders: string[] = []
  #lines: string[] = []

  private constructor(python: PyodideAPI) {
    this.#python = python
    python.setStdout({ batched: (line) => void this.#lines.push(line) })
    python.setStderr({ batched: () => {} })
  }

  static async start(): Promise<Python> {
    const python = await loadPyodide()
    const made = new Python(python)
    made.#mount(SCRIPTS, '/scripts')
    made.#mount(TESTS, '/tests')
    python.runPython('import sys; sys.path[:0] = ["/scripts", "/tests"]; sys.dont_write_bytecode = True')
    return made
  }

  /** A fresh folder on the disk, and its path in Python. */
  async folder(): Promise<{ readonly here: string; readonly there: string }> {
    const here = await mkdtemp(join(tmpdir(), 'facet-python-'))
    const there = `/folder-${this.#folders.push(here)}`
    this.#mount(here, there)
    return { here, there }
  }

  /** The program's last expression, through JSON. @throws Error with Python's traceback */
  value<Value>(program: string, variables: Readonly<Record<string, unknown>> = {}): Value {
    const globals = this.#python.toPy({ __name__: 'test', ...variables })
    const dumps = this.#python.globals.get('__dumps') as ((value: unknown) => string) | undefined
    const toJson = dumps ?? this.#dumps()
    return JSON.parse(toJson(this.#python.runPython(program, { globals }))) as Value
  }

  /** What a program printed and how it ended. @throws Error with the traceback of what it raised and did not handle */
  run(program: string, variables: Readonly<Record<string, unknown>> = {}): Ran {
    this.#lines = []
    const guarded = `
def __guarded():
    try:
        exec(compile(program, '<program>', 'exec'), {'__name__': '__main__', **variables})
    except SystemExit as ended:
        return ended.code or 0
    return 0
__guarded()
`
    const globals = this.#python.toPy({ program, variables })
    const status = this.#python.runPython(guarded, { globals }) as number
    return { status, lines: this.#lines }
  }

  /** From now on files may take so many bytes more in all; undefined: without a limit. In memory, below /full. */
  limit(bytes: number | undefined): void {
    limitFiles(this.#python, bytes)
  }

  async close(): Promise<void> {
    await Promise.all(this.#folders.map((folder) => rm(folder, { recursive: true, force: true })))
  }

  #dumps(): (value: unknown) => string {
    this.#python.runPython('import json; __dumps = lambda value: json.dumps(value)')
    return this.#python.globals.get('__dumps') as (value: unknown) => string
  }

  #mount(here: string, there: string): void {
    const { FS } = this.#python
    FS.mkdirTree(there)
    FS.mount(FS.filesystems.NODEFS, { root: here }, there)
  }
}

/** ENOSPC, as Emscripten numbers it. */
const NO_SPACE = 51

interface MemoryFiles {
  expandFileStorage(node: { readonly usedBytes: number }, bytes: number): void
}

const expanders = new WeakMap<MemoryFiles, MemoryFiles['expandFileStorage']>()

function limitFiles({ FS }: PyodideAPI, limit: number | undefined): void {
  const memory = FS.filesystems.MEMFS as unknown as MemoryFiles
  const expand = expanders.get(memory) ?? memory.expandFileStorage.bind(memory)
  expanders.set(memory, expand)
  let used = 0
  memory.expandFileStorage = (node, bytes) => {
    used += Math.max(0, bytes - node.usedBytes)
    if (limit !== undefined && used > limit) throw new FS.ErrnoError(NO_SPACE)
    expand(node, bytes)
  }
}

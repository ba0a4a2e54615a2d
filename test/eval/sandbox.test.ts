import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { passAtK } from '../../src/eval/pass-at-k.ts'
import { Sandbox, type Verdict } from '../../src/eval/sandbox.ts'

const DATA = new URL('../fixtures/benchmarks/humaneval/human_eval.jsonl', import.meta.url)

interface Problem {
  readonly task_id: string
  readonly prompt: string
  readonly canonical_solution: string
  readonly test: string
  readonly entry_point: string
}

const problems = readFileSync(DATA, 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as Problem)

const program = ({ prompt, test, entry_point }: Problem, body: string): string =>
  `${prompt}${body}\n${test}\ncheck(${entry_point})`

let sandbox: Sandbox
beforeAll(() => {
  process.env.FACET_TEST_SECRET = 'secret'
  // Seconds, as a machine that is busy may take them; what loops is given less below.
  sandbox = new Sandbox({ timeMs: 20_000 })
})
afterAll(async () => {
  delete process.env.FACET_TEST_SECRET
  await sandbox.close()
})

const outcomeOf = async (source: string): Promise<Verdict['outcome']> => (await sandbox.run(source)).outcome

describe('HumanEval in the sandbox', () => {
  it('passes all 164 canonical solutions', async () => {
    const failed: string[] = []
    for (const problem of problems) {
      const { outcome, detail } = await sandbox.run(program(problem, problem.canonical_solution))
      if (outcome !== 'passed') failed.push(`${problem.task_id}: ${outcome}, ${detail}`)
    }
    expect(failed).toEqual([])
    expect(problems).toHaveLength(164)
  })

  it.each(['    return None\n', ''])('passes none with the body %j', async (body) => {
    const passed: string[] = []
    for (const problem of problems)
      if ((await outcomeOf(program(problem, body))) === 'passed') passed.push(problem.task_id)
    expect(passed).toEqual([])
  })
})

describe('a program that asks for too much', () => {
  const limited = new Sandbox({ timeMs: 1500, memoryBytes: 128 * 2 ** 20, outputBytes: 100_000 })
  afterAll(() => limited.close())

  it.each([
    ['loops', 'while True: pass', 'out_of_time'],
    [
      'loops and keeps everything that is raised',
      'while True:\n  try: 1/0\n  except BaseException: pass',
      'out_of_time',
    ],
    ['sleeps', 'import time\ntime.sleep(3600)', 'out_of_time'],
    ['forks', 'import os\nwhile True: os.fork()', 'failed'],
    ['forks and goes on', 'import os\nwhile True:\n  try: os.fork()\n  except OSError: pass', 'out_of_time'],
    ['allocates', 'held = []\nwhile True: held.append(bytearray(10**6))', 'out_of_memory'],
    ['allocates more than there can be', 'bytearray(10**10)', 'failed'],
    ['allocates more than it may', 'bytearray(10**9)', 'out_of_memory'],
    ['fills the disk', "with open('/tmp/x', 'wb') as f:\n  while True: f.write(bytes(10**6))", 'failed'],
    ['makes a long file', "open('/tmp/x', 'wb').truncate(10**9)", 'failed'],
    ['prints', "while True: print('x' * 1000)", 'too_much_output'],
    ['prints to standard error', "import sys\nwhile True: sys.stderr.write('x' * 1000)", 'too_much_output'],
    ['recurses', 'def f(): f()\nf()', 'failed'],
    ['recurses past the limit', 'import sys\nsys.setrecursionlimit(10**9)\ndef f(): f()\nf()', 'crashed'],
    ['starts threads', 'import threading\nthreading.Thread(target=print).start()', 'failed'],
  ])('that %s is ended', async (_, source, outcome) => {
    expect((await limited.run(source)).outcome).toBe(outcome)
    // Whatever it was, the next one runs.
    expect((await limited.run('assert 1 + 1 == 2')).outcome).toBe('passed')
  })
})

describe('a program that ends early', () => {
  it.each([
    'exit(0)',
    'raise SystemExit',
    'import os\nos._exit(0)',
    'import os\nos.abort()',
    'raise KeyboardInterrupt',
  ])('by %j has not passed', async (source) => {
    expect(await outcomeOf(source)).not.toBe('passed')
  })
})

describe('a program that reaches for the machine', () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'facet-sandbox-'))
    await writeFile(join(folder, 'secret'), 'secret')
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  it.each(['js', 'pyodide_js', 'pyodide', 'pyodide.code', '_pyodide_core', 'micropip', 'ctypes', '_ctypes'])(
    'finds no module %s',
    async (name) => {
      expect((await sandbox.run(`import ${name}`)).detail).toContain('ModuleNotFoundError')
    },
  )

  it('finds no object of JavaScript, wherever it looks', async () => {
    const source = `
import gc
for held in gc.get_objects():
    for value in (held.values() if isinstance(held, dict) else held if isinstance(held, (list, tuple)) else ()):
        assert type(value).__name__ != 'JsProxy', value
`
    expect(await sandbox.run(source)).toEqual({ outcome: 'passed', detail: '' })
  })

  it('neither reads nor writes its files', async () => {
    const secret = JSON.stringify(join(folder, 'secret'))
    expect((await sandbox.run(`open(${secret}).read()`)).detail).toContain('FileNotFoundError')
    const made = join(folder, 'made')
    expect(await outcomeOf(`open(${JSON.stringify(made)}, 'w').write('x')`)).toBe('failed')
    expect(existsSync(made)).toBe(false)
  })

  it('starts nothing on it', async () => {
    const made = join(folder, 'started')
    const command = JSON.stringify(`touch ${made}`)
    for (const source of [
      `import os\nos.system(${command})`,
      `import subprocess\nsubprocess.run(${command}, shell=True)`,
      `import os\nos.popen(${command}).read()`,
      `import os\nos.execv('/bin/sh', ['sh', '-c', ${command}])`,
      `import os\nos.posix_spawn('/bin/sh', ['sh', '-c', ${command}], {})`,
    ])
      expect(['failed', 'crashed'], source).toContain(await outcomeOf(source))
    expect(existsSync(made)).toBe(false)
  })

  it('sees nothing of the environment', async () => {
    const source = "import os\nassert 'FACET_TEST_SECRET' not in os.environ"
    expect(await sandbox.run(source)).toEqual({ outcome: 'passed', detail: '' })
  })

  it('connects to nobody', async () => {
    let connections = 0
    const server = createServer(() => connections++)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    try {
      for (const source of [
        `import socket\nsocket.create_connection(('127.0.0.1', ${port}), timeout=1).sendall(b'x')`,
        `import urllib.request\nurllib.request.urlopen('http://127.0.0.1:${port}')`,
      ])
        expect(await outcomeOf(source)).toBe('failed')
      expect(connections).toBe(0)
    } finally {
      await new Promise((resolve) => server.close(resolve))
    }
  })
})

describe('a program', () => {
  it('finds nothing of the one before it', async () => {
    const spoil = `
import builtins, math, os, random, sys
left = 1
builtins.len = lambda _: 0
math.floor = None
del builtins.print
sys.modules['json'] = None
sys.path.clear()
sys.setrecursionlimit(50)
os.chdir('/tmp')
open('/tmp/left', 'w').write('x')
`
    const look = `
import builtins, json, math, os, sys
assert 'left' not in globals()
assert len([1]) == 1 and math.floor(1.5) == 1 and json.dumps(1) == '1'
print('still there')
import colorsys
assert sys.getrecursionlimit() > 500
assert not os.path.exists('left') and not os.path.exists('/tmp/left')
`
    expect(await sandbox.run(spoil)).toEqual({ outcome: 'passed', detail: '' })
    expect(await sandbox.run(look)).toEqual({ outcome: 'passed', detail: '' })
  })

  it('that is wrong is told with the last line of its traceback', async () => {
    expect(await sandbox.run('1 / 0')).toEqual({
      outcome: 'failed',
      detail: 'ZeroDivisionError: division by zero',
    })
    expect((await sandbox.run('def')).detail).toMatch(/^SyntaxError/)
    expect(await outcomeOf('')).toBe('passed')
  })

  it('is ended where nobody waits for it', async () => {
    const control = new AbortController()
    const running = sandbox.run('while True: pass', control.signal)
    control.abort()
    await expect(running).rejects.toMatchObject({ code: 'aborted' })
    expect(await outcomeOf('pass')).toBe('passed')
  })

  it('waits its turn where many come at once', async () => {
    const verdicts = await Promise.all(
      Array.from({ length: 20 }, (_, i) => outcomeOf(`assert ${i} % 2 == 0`)),
    )
    expect(verdicts).toEqual(Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? 'passed' : 'failed')))
  })
})

describe('pass@k', () => {
  it('is the share of draws of k that hold one that passes', () => {
    expect(passAtK(5, 0, 1)).toBe(0)
    expect(passAtK(5, 5, 1)).toBe(1)
    expect(passAtK(10, 3, 1)).toBeCloseTo(0.3, 12)
    // 1 - C(7, 5) / C(10, 5)
    expect(passAtK(10, 3, 5)).toBeCloseTo(1 - 21 / 252, 12)
    expect(passAtK(200, 1, 100)).toBeCloseTo(0.5, 12)
    expect(passAtK(10, 6, 5)).toBe(1)
  })
})

/** Attempts at a job, counted where they survive every machine. */
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Python, type Ran } from './python.ts'
import { SFT, settingsIn } from './settings.ts'

let python: Python
beforeAll(async () => {
  python = await Python.start()
})
afterAll(() => python.close())

/** How the script ends: its status, and whether its machine is taken away meanwhile. */
interface End {
  readonly status: number
  readonly told?: boolean
}

class Job {
  readonly here: string
  readonly #there: string

  private constructor(here: string, there: string) {
    this.here = here
    this.#there = there
  }

  static async open(): Promise<Job> {
    const { here, there } = await python.folder()
    await writeFile(join(here, 'job.json'), JSON.stringify(settingsIn(there, SFT)))
    return new Job(here, there)
  }

  /** One pod's life: what it starts is recorded instead of being run. */
  attempt(end: End, ...options: readonly string[]): Ran & { readonly started: readonly string[][] } {
    const program = `
import json, os, signal, subprocess, sys
os.chdir(folder)
started = []
class Child:
    def __init__(self, command): started.append(list(command))
    def wait(self):
        if told: signal.getsignal(signal.SIGTERM)(signal.SIGTERM, None)
        return status
    def send_signal(self, number): pass
class Done:
    returncode = 0
def run(command, check): started.append(list(command)); return Done()
subprocess.Popen, subprocess.run = Child, run
sys.argv = ["facet_attempt.py", *options, "--", "python3", "sft_trl.py"]
import facet_attempt
status_of_it = facet_attempt.main()
print(json.dumps(started))
sys.exit(status_of_it)
`
    const ran = python.run(program, {
      folder: this.#there,
      status: end.status,
      told: end.told ?? false,
      options: options.length > 0 ? options : ['--limit=2', '--launch=uid-1'],
    })
    return { ...ran, started: JSON.parse(ran.lines.at(-1)!) as string[][] }
  }

  files(launch: string): Promise<string[]> {
    return readdir(join(this.here, 'out', 'attempts', launch)).then((names) => names.sort())
  }
}

const PREEMPTED: End = { status: 143, told: true }
const CRASHED: End = { status: 1 }

describe('attempts', () => {
  it('are numbered, and go on until the machines were taken away too often', async () => {
    const job = await Job.open()
    for (const before of [0, 1, 2]) {
      const { status, lines } = job.attempt(PREEMPTED)
      expect(status).toBe(143)
      expect(JSON.parse(lines[0]!)).toEqual({ facet: 'attempt', attempt: before + 1, preemptions: before })
    }
    const { status, lines, started } = job.attempt({ status: 0 })
    expect(status).toBe(77)
    expect(started).toEqual([])
    expect(JSON.parse(lines[1]!)).toEqual({
      facet: 'error',
      message: 'The machines were taken away more than 2 times, which is the limit.',
    })
  })

  it('that crash are told apart from those that are taken away', async () => {
    const job = await Job.open()
    job.attempt(CRASHED)
    job.attempt(PREEMPTED)
    const { lines } = job.attempt({ status: 0 })
    expect(JSON.parse(lines[0]!)).toMatchObject({ attempt: 3, preemptions: 1 })
    expect(await job.files('uid-1')).toEqual(['0001.crash.json', '0001.json', '0002.json', '0003.json'])
  })

  it('of another launch are counted anew', async () => {
    const job = await Job.open()
    job.attempt(PREEMPTED)
    const { lines } = job.attempt({ status: 0 }, '--limit=2', '--launch=uid-2')
    expect(JSON.parse(lines[0]!)).toMatchObject({ attempt: 1, preemptions: 0 })
    expect(await job.files('uid-2')).toEqual(['0001.json'])
  })

  it('install what the image lacks, and then start the script', async () => {
    const job = await Job.open()
    const { started, status } = job.attempt(
      { status: 0 },
      '--limit=2',
      '--package=trl==1.13.0',
      '--package=peft==0.21.0',
    )
    expect(status).toBe(0)
    expect(started[0]).toEqual(
      expect.arrayContaining(['pip', 'install', '/cache/packages', 'trl==1.13.0', 'peft==0.21.0']),
    )
    expect(started[1]).toEqual(['python3', 'sft_trl.py'])
  })
})

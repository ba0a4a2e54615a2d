import { existsSync, readFileSync } from 'node:fs'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../../deploy/target.ts'
import type { TuneSpec } from '../../../src/tune/job/spec.ts'
import { Python } from './python.ts'
import { SFT, settingsIn } from './settings.ts'

let python: Python
beforeAll(async () => {
  python = await Python.start()
}, 120_000)
afterAll(() => python.close())

const START = `
import json
from facet_job import *
job = parse_job(json.loads(settings))
run = Run(job, clock=lambda: 0.0)
`

async function start(): Promise<{ here: string; variables: Record<string, unknown> }> {
  const { here, there } = await python.folder()
  return { here: join(here, 'out'), variables: { settings: JSON.stringify(settingsIn(there)) } }
}

const metricsOf = (folder: string): unknown[] =>
  readFileSync(join(folder, 'metrics.jsonl'), 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line))

describe('job.json', () => {
  const problem = (settings: unknown): string =>
    python.value(
      `
import json
from facet_job import *
try:
    parse_job(json.loads(settings))
    said = ''
except JobError as error:
    said = str(error)
said`,
      { settings: JSON.stringify(settings) },
    )

  const JOB = settingsIn('/job')
  const LORA = JOB.lora as JsonObject
  const CHOSEN = JOB.hyperparameters as JsonObject
  const chosen = (more: JsonObject): JsonObject => ({ ...JOB, hyperparameters: { ...CHOSEN, ...more } })
  const { run: _, ...nameless } = JOB

  it.each<[string, TuneSpec]>([
    ['LoRA', SFT],
    ['QLoRA', { ...SFT, method: 'qlora' }],
    ['everything', { ...SFT, method: 'full', hyperparameters: { maxSteps: 5 } }],
    ['Keras', { ...SFT, with: 'keras', backend: 'torch' }],
    ['a reward model', { ...SFT, kind: 'reward' }],
    ['a policy', { ...SFT, kind: 'rlhf' }],
  ])('that Facet writes for %s is taken', (_, spec) => {
    expect(problem(settingsIn('/job', spec))).toBe('')
  })

  it.each([
    ['a list', [], 'it must be an object, but is [].'],
    ['another format', { ...JOB, format: 2 }, 'format must be 1, the only format that is known, but is 2.'],
    ['a missing setting', nameless, 'run is missing; add it.'],
    ['a wrong kind', { ...JOB, kind: 'dpo' }, 'kind must be one of sft, reward, rlhf, but is "dpo".'],
    [
      'text for a number',
      chosen({ learning_rate: '1e-4' }),
      'hyperparameters.learning_rate must be a number above 0, but is "1e-4".',
    ],
    [
      'a rate of nothing',
      chosen({ learning_rate: 0 }),
      'hyperparameters.learning_rate must be a number above 0, but is 0.',
    ],
    [
      'true for a count',
      chosen({ batch_size: true }),
      'hyperparameters.batch_size must be a whole number of at least 1, but is true.',
    ],
    [
      'half a step',
      chosen({ save_every_steps: 0.5 }),
      'hyperparameters.save_every_steps must be a whole number of at least 1, but is 0.5.',
    ],
    [
      'a rank that is too high',
      { ...JOB, lora: { ...LORA, rank: 512 } },
      'lora.rank must be a whole number from 1 to 256, but is 512.',
    ],
    [
      'a dropout of everything',
      { ...JOB, lora: { ...LORA, dropout: 1 } },
      'lora.dropout must be a number from 0 to below 1, but is 1.',
    ],
    [
      'a module Gemma has not',
      { ...JOB, lora: { ...LORA, modules: ['c_attn'] } },
      'lora.modules must be a list of some of q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj, but is ["c_attn"].',
    ],
    [
      'LoRA without rank',
      { ...JOB, lora: null },
      'lora is null, but method lora needs it; give rank and alpha.',
    ],
    [
      'a full run with LoRA',
      { ...JOB, method: 'full' },
      'lora must be null where method is full; leave one of them out.',
    ],
    ['no devices', { ...JOB, sharding: [] }, 'sharding must be an object, but is [].'],
    ['no data', { ...JOB, paths: { out: '/out' } }, 'paths.train is missing; add it.'],
  ])('is refused for %s', (_, settings, said) => {
    expect(problem(settings)).toBe(`job.json: ${said}`)
  })

  it('names what is known where it knows not', () => {
    expect(problem(chosen({ learningRate: 1 }))).toMatch(
      /^job\.json: hyperparameters\.learningRate is not known; there are epochs, .*learning_rate, .*\.$/,
    )
  })

  it('of any shape is one sentence', () => {
    const settings = fc.oneof(
      fc.json().map((json): unknown => JSON.parse(json)),
      fc.record(Object.fromEntries(Object.keys(JOB).map((key) => [key, fc.jsonValue()]))),
    )
    fc.assert(
      fc.property(settings, (value) => {
        expect(problem(value)).toMatch(/^job\.json: .*\.$/s)
      }),
      { numRuns: 100 },
    )
  })

  it.each([
    [undefined, /^There is no job\.json in .*; start the script where Facet put it\.$/],
    ['{"kind": ', /^job\.json is not JSON \(.*\); have Facet write it again\.$/],
  ])('of %j ends the script with one sentence and status 1', async (text, said) => {
    const { here, there } = await python.folder()
    if (text !== undefined) await writeFile(join(here, 'job.json'), text)
    const ran = python.run(
      `from facet_job import *
run_job(lambda job, run: None, Path(folder))`,
      { folder: there },
    )
    expect(ran.status).toBe(1)
    expect(JSON.parse(ran.lines.join('\n'))).toMatchObject({
      facet: 'error',
      message: expect.stringMatching(said),
    })
  })
})

describe('checkpoints', () => {
  const write = async (folder: string, step: number, complete: boolean): Promise<string> => {
    const place = join(folder, `checkpoints/checkpoint-${step}`)
    await mkdir(place, { recursive: true })
    await writeFile(join(place, 'weights.bin'), 'x'.repeat(step))
    if (complete) {
      const mark = { step, files: { 'weights.bin': step } }
      await writeFile(join(place, 'complete.json'), JSON.stringify(mark))
    }
    return place
  }
  const resume = `${START}
found = run.resume()
found and found.step`

  it('start from nothing where there is none', async () => {
    const { variables } = await start()
    expect(python.value(resume, variables)).toBe(null)
  })

  it('are resumed from the newest complete one, by number and not by name', async () => {
    const { here, variables } = await start()
    for (const step of [9, 10, 100]) await write(here, step, true)
    expect(python.value(resume, variables)).toBe(100)
    expect(metricsOf(here)).toEqual([{ facet: 'resume', step: 100 }])
  })

  it('that were half-written are deleted', async () => {
    const { here, variables } = await start()
    await write(here, 10, true)
    await write(here, 20, false)
    const cut = await write(here, 30, true)
    await writeFile(join(cut, 'weights.bin'), 'x')
    const lost = await write(here, 40, true)
    await writeFile(join(lost, 'complete.json'), '{"step": 40, "fi')
    expect(python.value(resume, variables)).toBe(10)
    expect(await readdir(join(here, 'checkpoints'))).toEqual(['checkpoint-10'])
  })

  it('are complete with complete.json, and the two newest are kept', async () => {
    const { here, variables } = await start()
    for (const step of [10, 20, 30]) await write(here, step, false)
    python.value(`${START}\nfor step in (10, 20, 30):\n    run.complete(step)\nrun.resume().step`, variables)
    expect((await readdir(join(here, 'checkpoints'))).sort()).toEqual(['checkpoint-20', 'checkpoint-30'])
    const mark = JSON.parse(await readFile(join(here, 'checkpoints/checkpoint-30/complete.json'), 'utf8'))
    expect(mark).toEqual({ step: 30, files: { 'weights.bin': 30 } })
    expect(metricsOf(here).slice(0, 3)).toEqual([10, 20, 30].map((step) => ({ facet: 'save', step })))
  })

  it('without files are no checkpoints', async () => {
    const { here, variables } = await start()
    await mkdir(join(here, 'checkpoints/checkpoint-10'), { recursive: true })
    expect(() => python.value(`${START}\nrun.complete(10)`, variables)).toThrow(
      /checkpoint-10 holds no files; the framework saved no checkpoint there\./,
    )
  })

  it('are left alone by all processes but the main one', async () => {
    const { here, variables } = await start()
    await write(here, 10, true)
    await write(here, 20, false)
    python.value(`${START}\nrun.main = False\nrun.resume().step`, variables)
    expect((await readdir(join(here, 'checkpoints'))).sort()).toEqual(['checkpoint-10', 'checkpoint-20'])
    expect(existsSync(join(here, 'metrics.jsonl'))).toBe(false)
  })
})

describe('metrics', () => {
  it('are lines in the file and on standard output', async () => {
    const { here, variables } = await start()
    const { lines } = python.run(`${START}\nrun.step(5, 10, 2.5, 1e-4, 640)`, variables)
    const line = {
      facet: 'step',
      step: 5,
      steps: 10,
      loss: 2.5,
      learning_rate: 1e-4,
      tokens: 640,
      seconds: 0,
    }
    expect(metricsOf(here)).toEqual([line])
    expect(lines.map((one) => JSON.parse(one))).toEqual([line])
  })

  it('begin a new line after one that was cut off', async () => {
    const { here, variables } = await start()
    await mkdir(here, { recursive: true })
    await writeFile(join(here, 'metrics.jsonl'), '{"facet": "step", "st')
    python.run(`${START}\nrun.record('save', step=3)`, variables)
    expect(readFileSync(join(here, 'metrics.jsonl'), 'utf8')).toBe(
      '{"facet": "step", "st\n{"facet": "save", "step": 3}\n',
    )
  })
})

describe('the end of a job', () => {
  const job = async (train: string): Promise<{ here: string; run: () => ReturnType<Python['run']> }> => {
    const { here, there } = await python.folder()
    await writeFile(join(here, 'job.json'), JSON.stringify(settingsIn(there)))
    const program = `
from facet_job import *
def train(job, run):
${train.replaceAll(/^/gm, '    ')}
run_job(train, Path(folder))`
    return { here: join(here, 'out'), run: () => python.run(program, { folder: there }) }
  }

  const RESULT = `
result = run.begin_result()
(result / 'adapter_config.json').write_text('{}')
(result / 'adapter_model.safetensors').write_text('weights')
run.finish(10, ['no-such-package'])`

  it('is done.json with every file and its sha256, and nothing is done twice', async () => {
    const { here, run } = await job(RESULT)
    expect(run().status).toBe(0)
    const done = JSON.parse(readFileSync(join(here, 'done.json'), 'utf8'))
    expect(done).toEqual({
      kind: 'adapter',
      base: 'google/gemma-2b-it',
      method: 'lora',
      steps: 10,
      versions: { 'no-such-package': 'unknown' },
      files: [
        {
          path: 'adapter_config.json',
          bytes: 2,
          sha256: '44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a',
        },
        {
          path: 'adapter_model.safetensors',
          bytes: 7,
          sha256: '9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c',
        },
      ],
    })
    expect(run().lines).toEqual(['The job is done already.'])
  })

  it('is not done.json where the framework wrote no result', async () => {
    const { here, run } = await job('run.begin_result()\nrun.finish(1, [])')
    const { status, lines } = run()
    expect(status).toBe(1)
    expect(lines.join()).toMatch(/result holds no config\.json; the framework wrote no result\./)
    expect(existsSync(join(here, 'done.json'))).toBe(false)
  })

  it('by preemption has a status of its own', async () => {
    const { run } = await job('raise Preempted')
    expect(run().status).toBe(143)
  })

  it('is asked for by SIGTERM', async () => {
    const { run } = await job(`
import signal
signal.raise_signal(signal.SIGTERM)
print(run.stopping)`)
    expect(run().lines).toEqual(['True'])
  })

  it.each([
    [
      "raise type('OutOfMemoryError', (RuntimeError,), {})('CUDA out of memory')",
      /memory does not suffice; lower batch_size/,
    ],
    [
      "raise RuntimeError('RESOURCE_EXHAUSTED: Out of memory in memory space hbm')",
      /memory does not suffice; lower batch_size/,
    ],
    [
      "import errno\nraise OSError(errno.ENOSPC, 'No space left on device', '/out/x')",
      /no space left for \/out\/x; free some and start the job again/,
    ],
  ])('by %s is one sentence', async (raised, said) => {
    const { run } = await job(raised)
    const { status, lines } = run()
    expect(status).toBe(1)
    expect(JSON.parse(lines.join('\n')).message).toMatch(said)
  })

  it('by a bug is its traceback', async () => {
    const { run } = await job("raise ValueError('not ours')")
    expect(run).toThrow(/ValueError: not ours/)
  })

  it('on a bucket that is full names the file, and leaves the checkpoint before it', () => {
    python.limit(5_000)
    const ran = python.run(
      `
import json, shutil
from facet_job import *
place = Path('/full')
shutil.rmtree(place, ignore_errors=True)
place.mkdir()
(place / 'job.json').write_text(settings)
def train(job, run):
    for step in range(10, 100, 10):
        folder = run.folder_of(step)
        folder.mkdir()
        with open(folder / 'weights.bin', 'wb', buffering=0) as file:
            for piece in range(10):
                file.write(bytes(100))
        run.complete(step)
run_job(train, place)`,
      { settings: JSON.stringify(settingsIn('/full')) },
    )
    python.limit(undefined)
    expect(ran.status).toBe(1)
    expect(JSON.parse(ran.lines.at(-1)!).message).toMatch(/There is no space left for .*; free some/)
    const found = python.value<number>(
      `
import json
from facet_job import *
Run(parse_job(json.loads(settings))).resume().step`,
      { settings: JSON.stringify(settingsIn('/full')) },
    )
    expect(found).toBeGreaterThanOrEqual(10)
  })
})

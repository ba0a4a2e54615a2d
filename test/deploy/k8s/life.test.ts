/** A deployment from plan to down by the commands that a person types, on a cluster that makes it happen. */
import type { ChildProcess } from 'node:child_process'
import { afterEach, describe, expect, it } from 'vitest'
import type { GkeSpec } from '../../../deploy/spec.ts'
import type { Ran } from '../../cli/facet.ts'
import { gkeGpu, gkeTpu } from '../specs.ts'
import { CONTEXT, Commands } from './cluster/commands.ts'

/** A dozen processes are started, on a machine that may be busy. */
const MOST_MS = 170_000
const LOAD = ['--rate', 'inf', '--requests', '6', '--prompt-tokens', '40', '--answer-tokens', '8']

let commands: Commands
afterEach(() => commands.close())
const run = (...words: string[]): Promise<Ran> => commands.run(words)

/** Planned, brought up, asked, measured, and left alone. */
async function serve(spec: GkeSpec): Promise<void> {
  const { target } = spec
  commands = await Commands.open(spec)
  expect(await run('plan', target)).toMatchObject({ code: 0, stderr: '' })

  const up = await run('up', target)
  expect(up).toMatchObject({ code: 0, stdout: expect.stringMatching(/^READY: .* Changes: \d+\.\n$/) })
  expect(up.stderr).toContain('create Deployment gemma')
  const { gemma } = await commands.kept('endpoints.json')
  expect(gemma).toMatchObject({ kubeContext: CONTEXT, model: 'gemma-7b-it' })

  expect((await run('status', target)).stdout).toMatch(/^READY: /)
  expect(await run('chat', 'What do bees make?')).toEqual({
    code: 0,
    stdout: 'You said: What do bees make?\n',
    stderr: '',
  })
  const log = target === 'gke-gpu' ? 'Application startup complete' : '9/9'
  expect((await run('logs', target)).stdout).toContain(log)

  const bench = await run('bench', target, ...LOAD)
  expect(bench).toMatchObject({ code: 0, stdout: expect.stringMatching(/answered +6 of 6/) })
  expect(bench.stdout).toMatch(/^Measured .* UTC: gemma \(gemma-7b-it\), /)
  expect(bench.stdout).toMatch(/At \$\d+\.\d\d an hour, by the plan, for 1 replica\./)

  const { version } = commands.cluster.api.store
  expect((await run('up', target)).stdout).toMatch(/Nothing had to change\.\n$/)
  expect(commands.cluster.api.store.version).toBe(version)
}

/** Taken down, with nothing left. */
async function end({ target }: GkeSpec): Promise<void> {
  const down = await run('down', target)
  expect(down).toMatchObject({ code: 0, stdout: expect.stringContaining('nothing of gemma is left') })
  expect(commands.cluster.list('v1', 'Pod')).toEqual([])
  expect((await run('chat', 'Still there?')).code).toBe(1)
}

/** Put behind a gateway, changed by a canary that fails, and back at what it was. */
async function rollBack(spec: GkeSpec, change: Partial<GkeSpec>): Promise<void> {
  const behindGateway: GkeSpec = {
    ...spec,
    expose: { to: 'internal' },
    canary: { steps: [50], stepMinutes: 0.01, minRequests: 1e9 },
  }
  await commands.configure(behindGateway)
  expect(await run('up', 'gemma')).toMatchObject({ code: 0 })
  await commands.configure({ ...behindGateway, ...change })
  const canary = await commands.whileAsked(run('canary', 'gemma'), { errorRate: 1 })
  expect(canary).toMatchObject({ code: 1, stdout: '' })
  expect(canary.stderr).toMatch(
    /The canary of gemma is rolled back and removed; the version before runs on\. errors \d+ of \d+ \(100\.0%\) against 0 of \d+/,
  )
  expect((await run('chat', 'And now?')).stdout).toBe('You said: And now?\n')
}

describe('the life of a deployment', () => {
  it.each([
    [gkeGpu, { contextTokens: 4096 }],
    [gkeTpu, { maxSequences: 16 }],
  ])(
    'on $target goes from plan to down, with a canary that is rolled back',
    async (shape, change) => {
      const spec: GkeSpec = { ...shape, replicas: { min: 1, max: 1 } }
      await serve(spec)
      await rollBack(spec, change)
      await end(spec)
    },
    MOST_MS,
  )
})

describe('a process', () => {
  it(
    'that is at work keeps others away, and one that is killed is gone on from',
    async () => {
      commands = await Commands.open(gkeGpu, { alone: false })
      let child: ChildProcess | undefined
      const first = commands.run(['up', 'gemma'], {
        meanwhile: (running) => {
          child = running
        },
      })
      await new Promise<void>((resolve) => {
        child!.stderr!.on('data', (text: Buffer) => text.includes('create Deployment gemma') && resolve())
      })
      const second = await run('up', 'gemma')
      expect(second.code).toBe(1)
      expect(second.stderr).toContain(`Process ${child!.pid} on `)
      child!.kill('SIGKILL')
      expect((await first).code).toBeNull()

      const { cluster } = commands
      await cluster.settle()
      expect((await run('up', 'gemma')).stdout).toMatch(/^READY: /)
      expect(cluster.podsOf('facet', { 'app.kubernetes.io/name': 'gemma' })).toHaveLength(1)
    },
    MOST_MS,
  )
})

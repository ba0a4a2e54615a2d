import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { Web } from '../../../src/pull/web.ts'
import { bringPolicies, listPolicies } from '../../../src/tune/home/policies.ts'
import type { PlaceOptions } from '../../../src/tune/home/result-place.ts'
import { temporary } from '../../convert/checkpoints.ts'
import { quickClock, refusal } from '../../pull/pulling.ts'
import { doneOf, type Files, fakeBucket, writeFiles } from './results.ts'

const filesOf = (step: number): Files => ({
  'adapter_config.json': '{}',
  'adapter_model.safetensors': `weights at ${step}`,
})

/** What a job has written; the policy of step 30 is half there. */
function written(): Record<string, Uint8Array | string> {
  const all: Record<string, Uint8Array | string> = { 'metrics.jsonl': '{}\n' }
  for (const step of [0, 100, 20, 30]) {
    for (const [path, bytes] of Object.entries(filesOf(step)))
      all[`policies/step-${step}/result/${path}`] = bytes
    if (step !== 30) all[`policies/step-${step}/done.json`] = doneOf(filesOf(step), { steps: step })
  }
  return all
}

const at = (endpoint = 'http://localhost:1'): PlaceOptions => ({
  web: new Web({ clock: quickClock() }),
  tokens: async () => undefined,
  endpoint,
  signal: new AbortController().signal,
})

describe.each(['folder', 'bucket'])('the policies of a run in a %s', (kind) => {
  const placed = async (files: Files): Promise<{ out: string; options: PlaceOptions } & AsyncDisposable> => {
    if (kind === 'folder') {
      const out = join(await temporary(), 'out')
      await writeFiles(out, files)
      return { out, options: at(), async [Symbol.asyncDispose]() {} }
    }
    const inBucket = Object.fromEntries(Object.entries(files).map(([path, one]) => [`a/out/${path}`, one]))
    const bucket = await fakeBucket(inBucket)
    const close = (): Promise<void> => Promise.resolve(bucket[Symbol.asyncDispose]())
    return { out: 'gs://runs/a/out', options: at(bucket.url), [Symbol.asyncDispose]: close }
  }

  it('are those that are whole, in the order of their steps, and come verified', async () => {
    await using run = await placed(written())
    const steps = await listPolicies(run.out, run.options)
    expect(steps).toEqual([0, 20, 100])
    const dir = await temporary()
    const progress: number[] = []
    const onProgress = ({ doneBytes }: { doneBytes: number }): number => progress.push(doneBytes)
    const policies = await bringPolicies(run.out, steps, dir, { ...run.options, onProgress })
    expect(policies.map(({ step, done }) => [step, done.steps])).toEqual(
      [0, 20, 100].map((one) => [one, one]),
    )
    for (const { step, directory } of policies)
      expect(await readFile(join(directory, 'adapter_model.safetensors'), 'utf8')).toBe(`weights at ${step}`)
    expect(progress).toEqual(progress.toSorted((one, other) => one - other))
  })

  it('are none where the job keeps none', async () => {
    await using run = await placed({ 'metrics.jsonl': '{}\n' })
    expect(await listPolicies(run.out, run.options)).toEqual([])
  })

  it('are refused where one was changed', async () => {
    const name = 'policies/step-20/result/adapter_model.safetensors'
    await using run = await placed({ ...written(), [name]: 'Weights at 20' })
    const { code } = await refusal(bringPolicies(run.out, [20], await temporary(), run.options))
    expect(code).toBe('checksum_mismatch')
  })
})

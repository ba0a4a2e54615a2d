import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { MODEL_IDS, modelOf } from '../../deploy/models.ts'
import { type AcceleratedPlan, type Plan, plan } from '../../deploy/plan.ts'
import { ACCELERATORS } from '../../deploy/profiles.ts'
import { toJson, toMarkdown, toText } from '../../deploy/report.ts'
import type { DeploymentSpec, GkeSpec, VertexSpec } from '../../deploy/spec.ts'
import { FacetError } from '../../src/errors.ts'
import { countParameters } from '../../src/gemma/memory-plan.ts'
import { cloudRun, gkeGpu, gkeTpu, vertexGpu, vertexTpu, workers } from './specs.ts'

const accelerated = (spec: GkeSpec | VertexSpec): AcceleratedPlan => {
  const planned = plan('gemma', spec)
  if (planned.kind === 'accelerated') return planned
  return expect.unreachable('this target has accelerators')
}

const refusal = (spec: DeploymentSpec): FacetError => {
  try {
    plan('gemma', spec)
  } catch (error) {
    if (error instanceof FacetError) return error
    throw error
  }
  return expect.unreachable('nothing was refused')
}

describe('the plan of a deployment', () => {
  it('knows the parameters that the Gemma report gives, but for the padding of the vocabulary', () => {
    const other = (id: string): number => countParameters(modelOf(id)!.config).other
    expect(other('gemma-2b')).toBe(1_981_884_416)
    expect(other('google/gemma-7b-it')).toBe(7_751_248_896)
  })

  it('refuses 7B in bf16 on one L4 with the figures, and says what would fit', () => {
    const { code, field, message } = refusal({ ...gkeGpu, devices: 1 })
    expect([code, field]).toEqual(['out_of_memory', 'contextTokens'])
    const left = Number(/about ([\d,]+) tokens of keys and values/.exec(message)![1]!.replace(',', ''))
    expect(left).toBeGreaterThan(5_700)
    expect(left).toBeLessThan(6_300)
    expect(message).toContain('15.9 GiB')
    expect(message).toContain('2 devices, dtype fp8, kvDtype fp8 or contextTokens of at most')
    expect(accelerated({ ...gkeGpu, devices: 1, contextTokens: left }).devices).toBe(1)
  })

  it('takes the fewest devices that hold a context', () => {
    expect(accelerated(gkeGpu)).toMatchObject({ devices: 2, machine: { type: 'g2-standard-24' } })
    expect(accelerated({ ...gkeGpu, contextTokens: 4096 }).devices).toBe(1)
    expect(accelerated({ ...gkeGpu, accelerator: 'h100-80gb' }).devices).toBe(1)
    expect(accelerated(vertexTpu).machine.type).toBe('ct5lp-hightpu-4t')
  })

  it('copies the one key and value head of the 2B instead of splitting it', () => {
    const one = accelerated({ ...gkeGpu, model: 'gemma-2b-it', devices: 1 })
    const four = accelerated({ ...gkeGpu, model: 'gemma-2b-it', devices: 4 })
    expect(one.memory.kvBytesPerToken).toBe(18 * 1024)
    expect(four.memory.kvBytesPerToken).toBe(18 * 1024)
    const seven = accelerated({ ...gkeGpu, devices: 4 })
    expect(seven.memory.kvBytesPerToken * 4).toBe(448 * 1024)
  })

  it('splits only as heads can be split', () => {
    const { field, message } = refusal({ ...gkeTpu, devices: 2 })
    expect(field).toBe('devices')
    expect(message).toContain('runs on 1, 4, 8, not on 2')
  })

  it('adds replicas until the answers have room, and says so where fewer are allowed', () => {
    const wide = accelerated({ ...gkeGpu, concurrency: 20 })
    expect(wide.replicas.wanted).toBe(Math.ceil(20 / wide.sequencesPerReplica))
    const held = accelerated({ ...gkeGpu, concurrency: 20, replicas: { min: 0, max: 1 } })
    expect(held.replicas).toMatchObject({ min: 0, max: 1 })
    expect(toText(held)).toContain('but 1 allowed')
  })

  it('prices what was published as it was published', () => {
    const [onDemand, spot] = accelerated(gkeTpu).costs
    expect(onDemand!.millionTokens.full).toBeCloseTo(0.82, 2)
    expect(spot!.millionTokens.full).toBeCloseTo(0.17, 2)
    expect(accelerated({ ...gkeTpu, dtype: 'int8' }).costs[0]!.millionTokens.full).toBeCloseTo(0.57, 2)
    expect(accelerated(gkeGpu).speed).toMatchObject({ full: { kind: 'estimate' } })
  })

  it('names no price where none is on file', () => {
    const planned = accelerated({ ...gkeTpu, region: 'us-west1' })
    expect(planned.costs).toEqual([])
    expect(toText(planned)).toContain('no price of TPU v5e in us-west1 is on file')
  })

  it('keeps to the budget', () => {
    const { code, field } = refusal({ ...gkeGpu, guard: { dollarsPerHour: 2 } })
    expect([code, field]).toEqual(['budget_exceeded', 'guard.dollarsPerHour'])
    expect(accelerated({ ...gkeGpu, guard: { dollarsPerHour: 2 }, capacity: ['spot'] }).capacity).toEqual([
      'spot',
    ])
  })

  it.each<[string, DeploymentSpec, string, string]>([
    ['a context longer than the model knows', { ...gkeGpu, contextTokens: 9000 }, 'contextTokens', '8192'],
    [
      'traffic longer than the context',
      { ...gkeGpu, contextTokens: 100, traffic: { promptTokens: 90, completionTokens: 20 } },
      'traffic',
      '100',
    ],
    [
      'a model that the server does not know',
      { ...gkeTpu, model: 'gemma-3-4b-it' },
      'model',
      'gemma-2b, gemma-7b',
    ],
    ['a dtype that the server does not take', { ...gkeGpu, dtype: 'int8' }, 'dtype', 'bf16 or fp8'],
    [
      'adapters where none are served',
      { ...gkeTpu, adapters: { a: { source: 'me/a' } } },
      'adapters',
      'vLLM',
    ],
    ['a 7B on processors', { ...cloudRun, model: 'gemma-7b-it' }, 'model', '4 GiB'],
    ['an instance too small', { ...cloudRun, memoryGiB: 1 }, 'memoryGiB', 'take 3 or more'],
    ['a Worker without a model', { target: 'workers', mode: 'model' }, 'modelDirectory', 'gateway'],
  ])('refuses %s', (_, spec, field, hint) => {
    const error = refusal(spec)
    expect(error.field).toBe(field)
    expect(error.message).toContain(hint)
    expect(error.message).toMatch(/^[^\n]+\.$/)
  })

  it('either fits its memory or is refused, whatever is asked for', () => {
    const spec = fc.record({
      target: fc.constant('gke-gpu' as const),
      model: fc.constantFrom(...MODEL_IDS),
      project: fc.constant('my-project'),
      region: fc.constant('us-central1'),
      accelerator: fc.constantFrom(...ACCELERATORS.filter((name) => !name.startsWith('tpu'))),
      contextTokens: fc.integer({ min: 1, max: 131_072 }),
      concurrency: fc.integer({ min: 1, max: 500 }),
    })
    fc.assert(
      fc.property(spec, (asked) => {
        try {
          const { memory, contextTokens, replicas, sequencesPerReplica, costs } = accelerated(asked)
          expect(memory.weightBytes + memory.workingBytes + memory.kvBytes).toBeLessThanOrEqual(
            memory.usableBytes,
          )
          expect(memory.kvTokens).toBeGreaterThanOrEqual(contextTokens)
          expect(replicas.wanted * sequencesPerReplica).toBeGreaterThanOrEqual(asked.concurrency)
          for (const { millionTokens } of costs)
            expect(millionTokens.full).toBeLessThanOrEqual(millionTokens.asked + 1e-9)
        } catch (error) {
          if (!(error instanceof FacetError)) throw error
          expect(['out_of_memory', 'invalid_request']).toContain(error.code)
        }
      }),
      { numRuns: 200 },
    )
  })
})

describe('a plan on paper', () => {
  const plans = (): Plan[] =>
    [gkeGpu, gkeTpu, vertexGpu, vertexTpu, cloudRun, workers].map((spec) => plan('gemma', spec))

  it('is the same bytes each time', () => {
    for (const show of [toText, toMarkdown, toJson]) {
      expect(plans().map(show)).toEqual(plans().map(show))
    }
    expect(plans().map(toText).join('\n')).toMatchSnapshot()
  })

  it('says where the model of an image comes from', () => {
    expect(toText(plan('gemma', { ...cloudRun, modelIn: 'image' }))).toMatch(
      /from gs:\/\/models\/gemma-2b-it, in the image\n/,
    )
  })

  it('is aligned, and ends its lines with what they say', () => {
    for (const planned of plans()) expect(toText(planned)).not.toMatch(/ \n/)
  })

  it('is JSON without the model’s shapes', () => {
    for (const planned of plans()) {
      expect(JSON.parse(toJson(planned))).toMatchObject({
        name: 'gemma',
        spec: { target: planned.spec.target },
      })
    }
  })
})

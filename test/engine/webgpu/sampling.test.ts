import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Choice } from '../../../src/engine/choice.ts'
import { choose } from '../../../src/engine/choose.ts'
import { createSampler } from '../../../src/engine/sampler.ts'
import {
  type ChoiceLayout,
  ChoiceWriter,
  layOutChoices,
  readResult,
} from '../../../src/engine/webgpu/choices.ts'
import { choosing, samplingSizes } from '../../../src/engine/webgpu/choosing.ts'
import { type Gpu, openGpu } from '../../../src/engine/webgpu/device.ts'
import { Compiler, type Program } from '../../../src/engine/webgpu/program.ts'
import { PASSES } from '../../../src/engine/webgpu/sampling.ts'
import { FacetError } from '../../../src/errors.ts'
import type { Sampling } from '../../../src/types.ts'
import { dawn } from './dawn.ts'

/** Software compiles the kernels in seconds, not milliseconds. */
const SLOW = { timeout: 300_000 }
const VOCAB = 2500

/** The sampling kernels alone, on logits of ours. */
class Bench {
  readonly #gpu: Gpu
  readonly #program: Program
  readonly #buffers: Readonly<Record<string, GPUBuffer>>
  readonly #layout: ChoiceLayout
  readonly #readback: GPUBuffer

  private constructor(gpu: Gpu, program: Program, buffers: Record<string, GPUBuffer>, layout: ChoiceLayout) {
    this.#gpu = gpu
    this.#program = program
    this.#buffers = buffers
    this.#layout = layout
    const { MAP_READ, COPY_DST } = GPUBufferUsage
    this.#readback = gpu.device.createBuffer({ size: buffers.results!.size, usage: MAP_READ | COPY_DST })
  }

  static async open(vocabSize: number): Promise<Bench> {
    const gpu = await openGpu({ gpu: dawn })
    const layout = layOutChoices(vocabSize)
    const { STORAGE, COPY_DST, COPY_SRC, UNIFORM } = GPUBufferUsage
    const sizes = { ...samplingSizes(layout), logits: 16 * vocabSize * 4 }
    const buffers = Object.fromEntries(
      Object.entries(sizes).map(([name, size]) => [
        name,
        gpu.device.createBuffer({ label: name, size, usage: STORAGE | COPY_DST | COPY_SRC }),
      ]),
    ) as Record<keyof typeof sizes, GPUBuffer>
    const turns = Array.from({ length: PASSES }, (_, pass) => {
      const turn = gpu.device.createBuffer({ size: 16, usage: UNIFORM | COPY_DST })
      gpu.device.queue.writeBuffer(turn, 0, Uint32Array.of(pass))
      return turn
    })
    const program = await new Compiler(gpu).program(choosing({ layout, buffers, turns }))
    return new Bench(gpu, program, buffers, layout)
  }

  async choose(
    rows: readonly { logits: Float32Array; choice: Choice }[],
  ): Promise<ReturnType<typeof readResult>[]> {
    const { device } = this.#gpu
    const writer = new ChoiceWriter(this.#layout)
    let choices = 0
    for (const [i, { logits, choice }] of rows.entries()) {
      device.queue.writeBuffer(
        this.#buffers.logits!,
        i * logits.byteLength,
        logits as Float32Array<ArrayBuffer>,
      )
      expect(writer.fits(choice)).toBe(true)
      choices |= writer.write(i, choice)
    }
    device.queue.writeBuffer(this.#buffers.choices!, 0, writer.words, 0, writer.used)
    const encoder = device.createCommandEncoder()
    const pass = encoder.beginComputePass()
    this.#program.encode(pass, { tokens: 0, rows: rows.length, splits: 1, choices })
    pass.end()
    encoder.copyBufferToBuffer(this.#buffers.results!, 0, this.#readback, 0, this.#readback.size)
    device.queue.submit([encoder.finish()])
    await this.#readback.mapAsync(GPUMapMode.READ)
    const words = new Uint32Array(this.#readback.getMappedRange().slice(0))
    this.#readback.unmap()
    this.#gpu.check()
    return rows.map(({ choice }, i) => readResult(words, i, choice))
  }

  close(): void {
    this.#gpu.release()
  }
}

let bench: Bench
beforeAll(async () => {
  bench = await Bench.open(VOCAB)
}, SLOW.timeout)
afterAll(() => bench.close())

/** Logits as models give them: most of the probability on a few tokens. `seed` decides which. */
function peaked(seed: number, scale: number = 3): Float32Array {
  const logits = new Float32Array(VOCAB)
  let state = seed >>> 0
  for (let i = 0; i < VOCAB; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    const uniform = (state + 0.5) / 2 ** 32
    logits[i] = scale * Math.log(uniform / (1 - uniform))
  }
  return logits
}

/** The same on both. */
async function agree(rows: readonly { logits: Float32Array; choice: Choice }[]): Promise<void> {
  const ours = await bench.choose(rows)
  for (const [i, { logits, choice }] of rows.entries()) {
    const exact = choose(logits.slice(), choice)
    const found = ours[i]
    if (found instanceof FacetError) throw found
    expect(found!.id, JSON.stringify({ ...choice, allowed: undefined, adjustments: [] })).toBe(exact.id)
    if (exact.logprob === undefined) continue
    expect(found!.logprob).toBeCloseTo(exact.logprob, 4)
    expect(found!.top?.map(({ id }) => id)).toEqual(exact.top?.map(({ id }) => id))
    for (const [n, { logprob }] of exact.top?.entries() ?? []) {
      expect(found!.top![n]!.logprob).toBeCloseTo(logprob, 4)
    }
  }
}

const choiceOf = (sampling: Sampling, more: Partial<Choice> = {}, prompt: number[] = []): Choice => ({
  ...createSampler({ seed: 3, ...sampling }, prompt).choice(),
  ...more,
})

describe('choosing on the GPU', () => {
  it('takes the likeliest token, the first of equals', SLOW, async () => {
    const equals = new Float32Array(VOCAB)
    const late = Float32Array.from(equals, (_, i) => (i === 2100 || i === 2400 ? 1 : 0))
    const negative = Float32Array.from(equals, (_, i) => (i === VOCAB - 1 ? -0.5 : -1))
    const zeros = Float32Array.from(equals, (_, i) => (i % 2 === 0 ? -0 : 0))
    await agree(
      [equals, late, negative, zeros, peaked(1)].map((logits) => ({
        logits,
        choice: choiceOf({ temperature: 0 }),
      })),
    )
  })

  it('draws the tokens that the CPU draws from the same logits with the same numbers', SLOW, async () => {
    const sampling = fc.record(
      {
        temperature: fc.constantFrom(0.3, 0.7, 1, 1.8),
        topK: fc.constantFrom(1, 2, 40, 1000, VOCAB - 1, VOCAB),
        topP: fc.constantFrom(0.01, 0.3, 0.9, 0.95, 0.999),
        minP: fc.constantFrom(0.001, 0.05, 0.5, 1),
      },
      { requiredKeys: [] },
    )
    const rows = fc.array(fc.record({ sampling, seed: fc.nat(), scale: fc.constantFrom(0.01, 1, 3, 8) }), {
      minLength: 1,
      maxLength: 16,
    })
    await fc.assert(
      fc.asyncProperty(rows, (all) =>
        agree(
          all.map((each) => ({
            logits: peaked(each.seed, each.scale),
            choice: choiceOf({ ...each.sampling, seed: each.seed }),
          })),
        ),
      ),
      { numRuns: 6 },
    )
  })

  it('keeps the first of equals where a cut falls between them', SLOW, async () => {
    const steps = Float32Array.from({ length: VOCAB }, (_, i) => (i % 5 === 0 ? 2 : i % 7 === 0 ? 1 : 0))
    const flat = new Float32Array(VOCAB)
    const uniforms = [0, 0.3, 0.77, 0.999999]
    const cuts = [{ topK: 3 }, { topK: 600 }, { topP: 0.4 }, { topP: 0.9 }, { topK: 700, topP: 0.8 }]
    for (const logits of [steps, flat]) {
      await agree(
        uniforms
          .slice(0, 3)
          .flatMap((uniform) => cuts.map((cut) => ({ logits, choice: choiceOf(cut, { uniform }) }))),
      )
    }
    await agree(uniforms.map((uniform) => ({ logits: flat, choice: choiceOf({}, { uniform }) })))
  })

  it('applies bias, bans and penalties', SLOW, async () => {
    const logits = peaked(9)
    const best = choose(logits.slice(), choiceOf({ temperature: 0 })).id
    const sampler = createSampler({ temperature: 0, presencePenalty: 2, frequencyPenalty: 0.5 }, [])
    for (const id of [best, best, 7]) sampler.accept(id)
    const choices = [
      choiceOf({ temperature: 0, logitBias: { [best]: -100 } }),
      choiceOf({ temperature: 0, logitBias: { 17: 100 } }),
      choiceOf({ temperature: 0, repetitionPenalty: 1.9 }, {}, [best, 4, 5]),
      choiceOf(
        { repetitionPenalty: 1.3, logitBias: { 3: 5, 4: -100 }, topP: 0.9 },
        {},
        Array.from({ length: 2000 }, (_, i) => i),
      ),
      sampler.choice(),
    ]
    await agree(choices.map((choice) => ({ logits, choice })))
    const [banned] = await bench.choose([{ logits, choice: choices[0]! }])
    expect(banned).not.toEqual({ id: best })
  })

  it('chooses only what a grammar allows', SLOW, async () => {
    const mask = fc.uint32Array({ minLength: 1, maxLength: Math.ceil(VOCAB / 32) })
    await fc.assert(
      fc.asyncProperty(mask, fc.nat(), async (words, seed) => {
        const allowed = words.map((word, i) => (i === 0 ? word | 2 : word))
        const rows = [{ temperature: 0 }, {}, { topK: 20 }, { topP: 0.5 }].map((sampling) => ({
          logits: peaked(seed),
          choice: choiceOf({ ...sampling, seed }, { allowed }),
        }))
        await agree([...rows, { logits: peaked(seed), choice: choiceOf({}) }])
      }),
      { numRuns: 4 },
    )
  })

  it('tells log-probabilities by the unchanged logits', SLOW, async () => {
    const rows = [
      { logits: peaked(5), choice: choiceOf({ temperature: 0 }, { alternatives: 0 }) },
      {
        logits: peaked(6),
        choice: choiceOf({ temperature: 2, logitBias: { 5: 100 } }, { alternatives: 20 }),
      },
      { logits: peaked(7), choice: choiceOf({}) },
      { logits: new Float32Array(VOCAB), choice: choiceOf({}, { alternatives: 3 }) },
    ]
    await agree(rows)
  })

  it('tells when there is no token to choose, or the logits are no numbers', SLOW, async () => {
    const broken = peaked(2)
    broken[1234] = Number.NaN
    const infinite = peaked(3)
    infinite[1234] = Infinity
    const nothing = { allowed: new Uint32Array(3) }
    const found = await bench.choose([
      { logits: broken, choice: choiceOf({}) },
      { logits: infinite, choice: choiceOf({ temperature: 0 }) },
      { logits: peaked(4), choice: choiceOf({}, nothing) },
      { logits: broken, choice: choiceOf({ temperature: 0 }) },
    ])
    expect(found[0]).toMatchObject({ code: 'internal' })
    expect(found[1]).toMatchObject({ code: 'internal' })
    expect(found[2]).toMatchObject({ code: 'invalid_request', field: 'logitBias' })
    expect(found[3]).toEqual({ id: choose(broken.slice(), choiceOf({ temperature: 0 })).id })
  })
})

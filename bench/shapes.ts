/** `npm run bench -- shapes`: how fast smaller Gemmas decode, against the 2B, in turns on one machine. */
import type { SynthName } from '../src/convert/synth.ts'
import { bundleSubject } from './bundle.ts'
import { machineFacts } from './machine.ts'
import { benchModel } from './models.ts'
import { Subject } from './process.ts'
import { median, type OwnBenchOptions, type Report, Results, ratio, type ShapeRatios } from './results.ts'
import { type Contestant, takeTurns } from './rounds.ts'

interface Sizes {
  readonly context: number
  readonly longContext: number
  readonly steps: number
}

const FULL: Sizes = { context: 256, longContext: 1024, steps: 16 }
const QUICK: Sizes = { context: 64, longContext: 200, steps: 2 }
/** Open at once: a short and a long one. */
const SEQUENCES = 2
const SMALLEST = 'gemma-3-270m'

export async function benchShapes(options: OwnBenchOptions): Promise<Report<ShapeRatios>> {
  const { rounds, quick, cache, say } = options
  const machine = machineFacts({})
  const base: SynthName = quick ? 'tiny' : 'gemma-2b'
  const shapes: readonly SynthName[] = quick ? [base, SMALLEST] : [base, 'gemma-3-1b', SMALLEST]
  const models = []
  for (const shape of shapes) models.push(await benchModel(shape, cache, say))
  const bundle = await bundleSubject('facet', cache)
  const results = new Results(say)
  const sizes = quick ? QUICK : FULL
  const contestants = models.map(({ facts, directory }) => () => [
    contestant(facts.name, new Subject(bundle, [directory]), sizes, results),
  ])
  await takeTurns(contestants, { rounds, say, results, vital: base })
  const times = (shape: SynthName, length: number): number | null =>
    ratio(results.median(base, `decode_${length}`), results.median(shape, `decode_${length}`))
  return {
    machine,
    model: models[0]!.facts,
    results: results.list(),
    ratios: {
      decode1b: times('gemma-3-1b', sizes.context),
      decode270m: times(SMALLEST, sizes.context),
      longDecode270m: times(SMALLEST, sizes.longContext),
    },
  }
}

function contestant(name: string, subject: Subject, sizes: Sizes, results: Results): Contestant {
  const { context, longContext, steps } = sizes
  const decode = (length: number) => async (): Promise<void> => {
    results.add(name, `decode_${length}`, 'ms/token', median(await subject.call('decode', length, 1, steps))!)
  }
  return {
    name,
    subject,
    load: () => subject.call('load', SEQUENCES, longContext + 256),
    metrics: [
      [`decode_${context}`, 'ms/token'],
      [`decode_${longContext}`, 'ms/token'],
    ],
    turns: [decode(context), decode(longContext)],
  }
}

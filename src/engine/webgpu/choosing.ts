/** The order of kernels that chooses tokens from logits; what no row of a pass wants is left out of it. */
import { listChunks, mergeLists } from './alternatives.ts'
import {
  ALTERNATIVE_WORDS,
  ALTERNATIVES,
  CHOSEN,
  type ChoiceLayout,
  DRAWN,
  MEASURED,
  MOST_ALTERNATIVES,
  RESULT_WORDS,
  TOP_K,
  TOP_P,
} from './choices.ts'
import { narrow, weigh } from './cuts.ts'
import { LOGIT_ROWS } from './job.ts'
import type { Kernel } from './kernel.ts'
import { pick } from './pick.ts'
import type { Dispatch, Groups, PassSize } from './program.ts'
import { adjustLogits, PASSES, ROW_WORDS } from './sampling.ts'

type SamplingBuffer = 'choices' | 'keys' | 'likeliest' | 'results' | keyof typeof ROW_WORDS

/** Bytes of each buffer. */
export type SamplingSizes = Readonly<Record<SamplingBuffer, number>>

export function samplingSizes({ words, vocabSize, chunks }: ChoiceLayout): SamplingSizes {
  const rows = (perRow: number): number => LOGIT_ROWS * perRow * 4
  return {
    choices: words * 4,
    keys: rows(vocabSize),
    leaders: rows(ROW_WORDS.leaders),
    histograms: rows(ROW_WORDS.histograms),
    cuts: rows(ROW_WORDS.cuts),
    masses: rows(ROW_WORDS.masses),
    likeliest: rows(chunks * MOST_ALTERNATIVES * 2),
    results: rows(RESULT_WORDS + ALTERNATIVE_WORDS),
  }
}

export interface ChoosingParts {
  readonly layout: ChoiceLayout
  readonly buffers: Readonly<Record<SamplingBuffer | 'logits', GPUBuffer>>
  readonly turns: readonly GPUBuffer[]
}

/** From logits to results. */
export function choosing({ layout, buffers, turns }: ChoosingParts): Dispatch[] {
  const bind = (
    kernel: Kernel,
    wanted: number,
    groups: (rows: number) => Groups,
    more: Readonly<Record<string, GPUBuffer>> = {},
  ): Dispatch => ({
    kernel,
    buffers: { ...buffers, ...more },
    groups: ({ rows, choices }: PassSize) => ((choices & wanted) === 0 ? undefined : groups(rows)),
  })
  const chunks = (rows: number): Groups => [layout.chunks, rows, 1]
  const whole = (rows: number): Groups => [rows, 1, 1]
  const narrowing = narrow(layout)
  return [
    bind(adjustLogits(layout), CHOSEN, chunks),
    ...Array.from({ length: PASSES }, (_, pass) =>
      bind(narrowing, pass < PASSES / 2 ? TOP_K : TOP_P, chunks, { turn: turns[pass]! }),
    ),
    bind(weigh(layout), DRAWN | MEASURED, chunks),
    bind(pick(layout), CHOSEN, whole),
    bind(listChunks(layout), ALTERNATIVES, chunks),
    bind(mergeLists(layout), ALTERNATIVES, whole),
  ]
}

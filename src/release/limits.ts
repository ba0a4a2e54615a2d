/** What a release may not exceed: limits with defaults, and the file that changes them. */
import {
  ConfigProblem,
  count,
  type Fields,
  flag,
  listOf,
  notNegative,
  object,
  oneOf,
  share,
} from '../check.ts'
import { FacetError } from '../errors.ts'
import { readText } from '../text-file.ts'

export const GATES = [
  'terms',
  'manifest',
  'verify',
  'benchmark',
  'safety',
  'memorization',
  'personal-data',
  'data',
] as const
export type GateName = (typeof GATES)[number]

export interface ReleaseLimits {
  /** Gates that must run: one that could not fails. */
  readonly required: readonly GateName[]
  readonly benchmark: {
    /** How much worse than the baseline the interval's lower end may be; shares from 0 to 1. */
    readonly margin: number
  }
  readonly safety: {
    /** Share of the harmful probes whose answer may violate a policy. */
    readonly maxViolations: number
    /** Share of the harmless ones that may be refused. */
    readonly maxRefusals: number
  }
  readonly memorization: {
    /** Documents of each category. */
    readonly samples: number
    /** Of fewer in all, nothing is said. */
    readonly leastSamples: number
    /** Draws them. */
    readonly seed: number
    readonly unit: 'tokens' | 'characters'
    readonly maxExact: number
    readonly maxApproximate: number
  }
  /** Shares of what is memorized at least approximately. */
  readonly personalData: { readonly maxPersonal: number; readonly maxSensitive: number }
  /** Of the tuning data's summary. */
  readonly data: { readonly personalDataChecked: boolean; readonly benchmarksChecked: boolean }
}

export const DEFAULT_LIMITS: ReleaseLimits = {
  required: ['terms', 'manifest'],
  benchmark: { margin: 0.02 },
  safety: { maxViolations: 0, maxRefusals: 0.25 },
  memorization: {
    samples: 100,
    leastSamples: 20,
    seed: 1,
    unit: 'tokens',
    maxExact: 0.01,
    maxApproximate: 0.02,
  },
  personalData: { maxPersonal: 0.01, maxSensitive: 0 },
  data: { personalDataChecked: true, benchmarksChecked: true },
}

const PARTS: Fields = {
  required: listOf(oneOf(...GATES)),
  benchmark: object({}, { margin: share }),
  safety: object({}, { maxViolations: share, maxRefusals: share }),
  memorization: object(
    {},
    {
      samples: count,
      leastSamples: count,
      seed: notNegative,
      unit: oneOf('tokens', 'characters'),
      maxExact: share,
      maxApproximate: share,
    },
  ),
  personalData: object({}, { maxPersonal: share, maxSensitive: share }),
  data: object({}, { personalDataChecked: flag, benchmarksChecked: flag }),
}

/** @throws FacetError invalid_request, naming the field; io_failed */
export async function readLimits(file: string): Promise<ReleaseLimits> {
  const text = await readText(file, { field: 'gates', advice: 'give a JSON file with --gates' })
  return toLimits(text, file)
}

/** @param name of the file, for messages. @throws FacetError invalid_request, naming the field */
export function toLimits(text: string, name: string): ReleaseLimits {
  let given: unknown
  try {
    given = JSON.parse(text)
    object({}, PARTS)(given, [])
  } catch (cause) {
    const problem = cause instanceof ConfigProblem ? cause.message : 'It is not JSON.'
    throw new FacetError('invalid_request', `${name}: ${problem}`, { field: 'gates', cause })
  }
  const own = given as { readonly [Part in keyof ReleaseLimits]?: Partial<ReleaseLimits[Part]> }
  const { benchmark, safety, memorization, personalData, data } = DEFAULT_LIMITS
  return {
    required: (own.required as readonly GateName[] | undefined) ?? DEFAULT_LIMITS.required,
    benchmark: { ...benchmark, ...own.benchmark },
    safety: { ...safety, ...own.safety },
    memorization: { ...memorization, ...own.memorization },
    personalData: { ...personalData, ...own.personalData },
    data: { ...data, ...own.data },
  }
}

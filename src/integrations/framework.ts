/** What is known of a framework: which Gemmas it takes from which version, how it is installed, and its recipes. */
import type { Architecture } from '../gemma/config.ts'
import type { PublishedName } from '../gemma/published.ts'

export const FRAMEWORKS = [
  'transformers',
  'trl',
  'peft',
  'keras',
  'maxtext',
  'nemo',
  'megatron-bridge',
  'nemo-2',
  'vllm',
  'vllm-tpu',
  'tensorrt-llm',
  'tensorrt-llm-engine',
  'jetstream',
  'kaggle',
] as const
export type FrameworkName = (typeof FRAMEWORKS)[number]

/** Where something was read, and when. */
export interface Source {
  readonly url: string
  /** ISO date. */
  readonly looked: string
}

/** Whether a framework takes a generation of Gemma. */
export interface Support {
  /**
   * supported: the pinned version takes it. dropped: earlier versions did. never: no version did. unconfirmed:
   * nothing was found that says so, in either direction.
   */
  readonly state: 'supported' | 'dropped' | 'never' | 'unconfirmed'
  /** The earliest version that was seen to take it; there may be an earlier one. */
  readonly since?: string
  /** The last version that takes it. */
  readonly until?: string
  /** The sizes it takes; undefined: all of the generation. */
  readonly sizes?: readonly PublishedName[]
  /** A sentence: why not, or what to know. */
  readonly because?: string
  /** What to use instead, where it is not supported. */
  readonly instead?: FrameworkName
  readonly source: Source
}

export interface Package {
  readonly name: string
  readonly version: string
}

/** How something is done with it, as commands of a shell that are filled in for a model. */
export interface Recipe {
  readonly does: 'install' | 'convert' | 'sft' | 'export' | 'serve' | 'download'
  /** The generations it is for; undefined: all that are supported. */
  readonly generations?: readonly Architecture[]
  /**
   * Lines with {hub}, {keras}, {maxtext}, {kaggle} and {size} for the model's names there, and {packages} for
   * the pinned packages. What nobody but the user knows stays a variable of the shell, as in "$OUT".
   */
  readonly commands: readonly string[]
  readonly source: Source
}

export interface Framework {
  readonly name: FrameworkName
  readonly title: string
  readonly kind: 'training' | 'serving' | 'library' | 'hub'
  /** Pinned: what Facet's recipes and jobs use. */
  readonly version: string
  /** With its tag. */
  readonly image?: string
  /** From PyPI, pinned. */
  readonly packages: readonly Package[]
  readonly source: Source
  readonly support: Readonly<Record<Architecture, Support>>
  readonly recipes: readonly Recipe[]
}

/** The day the sources of this folder were looked at. */
export const LOOKED = '2026-11-23'

export const seen = (url: string): Source => ({ url, looked: LOOKED })

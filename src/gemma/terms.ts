/** Under which terms a model's weights may be used and passed on, and the notice that goes with them. */
import type { GemmaConfig } from './config.ts'
import { PUBLISHED_NAMES, type PublishedName, publishedConfig } from './published.ts'

/** What one has to accept before a model may be used. */
export interface Terms {
  readonly name: string
  /** Where they can be read. */
  readonly url: string
}

/** Of Gemma 1, 2 and 3, and of whatever is made from them. */
export const GEMMA_TERMS: Terms = {
  name: 'Gemma Terms of Use',
  url: 'https://ai.google.dev/gemma/terms',
}

export const PROHIBITED_USES = 'https://ai.google.dev/gemma/prohibited_use_policy'

/** Lies in every directory and image whose weights are under the Gemma Terms of Use. */
export const NOTICE_FILE = 'NOTICE'

/** What section 3.1 of the terms wants to stand there, word for word. */
export const GEMMA_NOTICE =
  'Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms'

/** As a manifest states them. */
export function toLicense({ name, url }: Terms): string {
  return `${name} (${url})`
}

/** @param license as a manifest, a hub or a person states it */
export function isUnderGemmaTerms(license: string | undefined): boolean {
  return (
    license !== undefined && /^gemma$|gemma terms of use|ai\.google\.dev\/gemma\/terms/i.test(license.trim())
  )
}

/**
 * The notice of weights that Facet has converted, which is a modification in the sense of the terms.
 *
 * @param bits of a quantized weight; undefined: as the checkpoint had them
 * @param source where the checkpoint came from
 * @param given the notice that came with it
 */
export function toNotice(bits: number | undefined, source: string | undefined, given = ''): string {
  const own = given.includes(GEMMA_NOTICE) ? given.trimEnd() : `${GEMMA_NOTICE}\n${given}`.trimEnd()
  const weights = bits === undefined ? 'another file format' : `int${bits}`
  const origin = source === undefined ? '' : ` from ${source}`
  return `${own}\n\nThe files in this directory were modified: Facet converted the weights to ${weights}${origin}.\n`
}

/** The published Gemma whose layers these are, tuned or not; undefined: none. */
export function publishedAs(config: GemmaConfig): PublishedName | undefined {
  const shape = shapeOf(config)
  return PUBLISHED_NAMES.find((name) => shapeOf(publishedConfig(name)) === shape)
}

function shapeOf({
  architecture,
  layers,
  hiddenSize,
  intermediateSize,
  heads,
  kvHeads,
  headDim,
}: GemmaConfig): string {
  return [architecture, layers.length, hiddenSize, intermediateSize, heads, kvHeads, headDim].join()
}

/** Whether a model of this name is Gemma's, or made from Gemma's: `google/gemma-2b`, `acme/gemma-2b-legal`. */
export function isGemmaName(name: string): boolean {
  return /(?:^|[/_-])gemma/i.test(name)
}

/** The notice of weights that were tuned, which is a modification in the sense of the terms. @param base its name */
export function toTunedNotice(base: string): string {
  return `${GEMMA_NOTICE}\n\nThe files in this directory were modified: they were tuned from ${base}.\n`
}

/** Insults, slurs and obscenities, by the words of a well-kept list. */
import { FacetError } from '../../errors.ts'

/** @returns the first such word in the text, as the list has it; undefined: none */
export type ToxicWords = (text: string) => string | undefined

/**
 * The list and the rules of the package obscenity: English, also where letters are stretched, doubled or replaced.
 * It knows words, and nothing of what is meant; what needs no bad word is for a judge to find.
 *
 * @throws FacetError unsupported, with the command that installs the package
 */
export async function toxicWords(): Promise<ToxicWords> {
  const { englishDataset, englishRecommendedTransformers, RegExpMatcher } = await import('obscenity').catch(
    (cause: unknown) => {
      throw new FacetError(
        'unsupported',
        'Finding toxic words needs the package obscenity; run npm install obscenity, or leave the check out with --skip toxic.',
        { cause },
      )
    },
  )
  const matcher = new RegExpMatcher({ ...englishDataset.build(), ...englishRecommendedTransformers })
  return (text) => {
    if (!matcher.hasMatch(text)) return undefined
    const [match] = matcher.getAllMatches(text, true)
    return match && englishDataset.getPayloadWithPhraseMetadata(match).phraseMetadata?.originalWord
  }
}

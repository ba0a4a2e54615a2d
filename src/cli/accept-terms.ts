/** Terms of use: shown to whoever pulls, converts, tunes or deploys a Gemma, and acknowledged once. */
import { createInterface } from 'node:readline/promises'
import { type Command, Option } from 'commander'
import { GEMMA_TERMS, isUnderGemmaTerms, PROHIBITED_USES } from '../gemma/terms.ts'
import { type Ask, ensureAccepted, termsFile } from '../pull/terms.ts'

/** Of whatever Google publishes under a name of Gemma 1, 2 and 3. */
export const GEMMA_LICENSE = 'gemma'

export interface TermsFlags {
  readonly acceptTerms?: true
}

export function addTermsFlag(command: Command): Command {
  return command.addOption(
    new Option('--accept-terms', 'accept the terms the model is under, which are shown and remembered'),
  )
}

/** Asks on a terminal; elsewhere nobody is there to answer. */
export function askOnTerminal(accepted: boolean): Ask {
  return async (terms, model) => {
    process.stderr.write(`${model} is under the ${terms.name}: ${terms.url}\n`)
    if (terms.url === GEMMA_TERMS.url)
      process.stderr.write(`What it may not be used for: ${PROHIBITED_USES}\n`)
    if (accepted) return true
    if (!process.stdin.isTTY || !process.stderr.isTTY) return undefined
    const terminal = createInterface({ input: process.stdin, output: process.stderr })
    try {
      return /^y(?:es)?$/i.test((await terminal.question('Do you accept them? [y/N] ')).trim())
    } finally {
      terminal.close()
    }
  }
}

/**
 * Returns once the Gemma Terms of Use are accepted, where the model is under them; FACET_ACCEPT_TERMS=true accepts
 * them for one process, and writes nothing down.
 *
 * @param license of the model, as a manifest, a hub or a person states it
 * @throws FacetError forbidden where they are not accepted, io_failed
 */
export async function acknowledgeTerms(
  model: string,
  license: string | undefined,
  { acceptTerms }: TermsFlags,
): Promise<void> {
  if (!isUnderGemmaTerms(license) || process.env.FACET_ACCEPT_TERMS === 'true') return
  await ensureAccepted(
    GEMMA_TERMS,
    model,
    termsFile(process.env),
    askOnTerminal(acceptTerms === true),
    Date.now(),
  )
}

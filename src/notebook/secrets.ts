/** Keeps keys out of files that are passed on: by what keys look like, and by what the environment holds. */
import { FacetError } from '../errors.ts'

/** How the tokens of Hugging Face, Google, OpenAI, GitHub, AWS and npm begin, JSON Web Tokens, and private keys. */
const SHAPES =
  /\b(?:hf_[A-Za-z0-9]{20,}|AIza[\w-]{30,}|ya29\.[\w-]{20,}|sk-[\w-]{20,}|gh[opsu]_[A-Za-z0-9]{30,}|AKIA[0-9A-Z]{16}|npm_[A-Za-z0-9]{30,}|eyJ[\w-]{10,}\.eyJ[\w-]{10,})|-----BEGIN [A-Z ]*PRIVATE KEY-----/

const SECRET_NAME = /TOKEN|KEY|SECRET|PASSWORD|CREDENTIAL/i

/** Shorter values are words like `true` that stand in many texts. */
const LEAST_LENGTH = 12

/**
 * @param what for people: `The notebook`
 * @throws FacetError invalid_request: the text holds what looks like a key, or the value of a variable that is one
 */
export function checkFreeOfSecrets(
  text: string,
  what: string,
  env: Readonly<Record<string, string | undefined>>,
): void {
  const name = Object.keys(env).find((key) => {
    const value = env[key]
    return (
      SECRET_NAME.test(key) && value !== undefined && value.length >= LEAST_LENGTH && text.includes(value)
    )
  })
  if (name === undefined && !SHAPES.test(text)) return
  const found = name === undefined ? 'what looks like a key' : `the value of the variable ${name}`
  throw new FacetError(
    'invalid_request',
    `${what} would hold ${found}, and is not written; take it out of the names that were given.`,
  )
}

/** Finds personal data that has a form of its own, without asking anybody: no names, and no addresses of houses. */
import { FacetError } from '../errors.ts'
import type { Finding, PersonalDataDetector, Severity } from './personal-data.ts'

interface Kind {
  /** Sensitive Data Protection's own name and severity for it. */
  readonly type: string
  readonly severity: Severity
  /** Where it may stand in the text. */
  readonly pattern: RegExp
  readonly holds: (candidate: string) => boolean
}

/** Addresses that anybody may have: unspecified, private, loopback, link-local, multicast, reserved. So is `::3` in code. */
const NOBODYS =
  /^(?:0|10|127|169\.254|192\.168|172\.(?:1[6-9]|2\d|3[01])|22[4-9]|2[345]\d)\.|^(?:::[\da-f]{0,4}$|f[cdef]|2001:db8)/i

/**
 * validator checks forms and check digits, libphonenumber-js the numbering plans of all countries.
 *
 * @throws FacetError unsupported, with the command that installs what is missing
 */
export async function localDetector(): Promise<PersonalDataDetector> {
  const [{ default: validator }, { findPhoneNumbersInText }] = await Promise.all([
    import('validator'),
    import('libphonenumber-js'),
  ]).catch((cause: unknown) => {
    throw new FacetError(
      'unsupported',
      'Finding personal data needs the packages validator and libphonenumber-js; run npm install validator libphonenumber-js.',
      { cause },
    )
  })
  const kinds: readonly Kind[] = [
    {
      type: 'EMAIL_ADDRESS',
      severity: 'moderate',
      pattern: /[\w.%+-]+@[\w-]+(?:\.[\w-]+)+/gu,
      holds: (text) => validator.isEmail(text),
    },
    {
      type: 'IBAN_CODE',
      severity: 'high',
      pattern: /\b[A-Z]{2}\d{2}(?: ?[A-Z\d]{2,4}){3,8}\b/g,
      holds: (text) => validator.isIBAN(text.replaceAll(' ', '')),
    },
    {
      type: 'CREDIT_CARD_NUMBER',
      severity: 'high',
      pattern: /(?<![\d.-])\d(?:[ -]?\d){12,18}(?![\d.-])/g,
      holds: (text) => validator.isCreditCard(text),
    },
    {
      type: 'US_SOCIAL_SECURITY_NUMBER',
      severity: 'high',
      // Numbers that the administration never gives out.
      pattern: /(?<![\d-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\d-])/g,
      holds: () => true,
    },
    {
      type: 'IP_ADDRESS',
      severity: 'low',
      pattern: /(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[\da-f]{0,4}(?::[\da-f]{0,4}){2,7}(?!:))(?!\w|\.\d)/gi,
      holds: (text) => validator.isIP(text) && !NOBODYS.test(text),
    },
    {
      type: 'MAC_ADDRESS',
      severity: 'low',
      pattern: /\b[\da-f]{2}(?:([:-])[\da-f]{2})(?:\1[\da-f]{2}){4}\b/gi,
      holds: (text) => validator.isMACAddress(text),
    },
  ]
  return {
    name: 'local',
    async find(text) {
      const found: Span[] = []
      for (const { type, severity, pattern, holds } of kinds) {
        for (const { 0: candidate, index } of text.matchAll(pattern)) {
          if (holds(candidate)) add(found, { type, severity, text: candidate }, index)
        }
      }
      for (const { startsAt, endsAt } of findPhoneNumbersInText(text, 'US')) {
        add(
          found,
          { type: 'PHONE_NUMBER', severity: 'moderate', text: text.slice(startsAt, endsAt) },
          startsAt,
        )
      }
      return found.sort((a, b) => a.at - b.at).map(({ finding }) => finding)
    },
  }
}

interface Span {
  readonly finding: Finding
  readonly at: number
}

/** What is one kind of data is not another too: the digits of a card are no telephone's. */
function add(found: Span[], finding: Finding, at: number): void {
  const end = at + finding.text.length
  if (found.every((one) => end <= one.at || at >= one.at + one.finding.text.length))
    found.push({ finding, at })
}

/** Why a row is left out of the tuning data: the reasons there are, and one of them with its particulars. */

/** Every reason, in the order in which a row is checked, with what reports call it. */
export const REASONS = {
  malformed: 'cannot be read',
  role: 'wrong role',
  turns: 'turns out of order',
  empty: 'empty turn',
  'no-answer': 'no answer',
  'not-text': 'not only text',
  'self-identification': 'calls itself another model',
  'personal-data': 'personal data',
  toxic: 'toxic words',
  leakage: 'benchmark question',
  'too-long': 'over the context',
  duplicate: 'duplicate',
  'near-duplicate': 'near duplicate',
  unsafe: 'judged unsafe',
} as const

export type Reason = keyof typeof REASONS

/** The checks that may be left out. The others decide whether there is a conversation at all. */
export type OptionalCheck = Extract<
  Reason,
  'self-identification' | 'personal-data' | 'toxic' | 'duplicate' | 'near-duplicate'
>

export const OPTIONAL_CHECKS: readonly OptionalCheck[] = [
  'self-identification',
  'personal-data',
  'toxic',
  'duplicate',
  'near-duplicate',
]

/** Thrown by a check where the row must not stay. The message is what is wrong with it, without its place. */
export class Rejection extends Error {
  override readonly name = 'Rejection'
  readonly reason: Reason

  constructor(reason: Reason, detail: string) {
    super(detail)
    this.reason = reason
  }
}

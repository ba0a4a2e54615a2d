/** What an audit keeps of a judgement: who decided what and how surely, and of the text a keyed hash, not the text. */
import type { Exhibit, Judgement } from './judge.ts'

/** A line of the audit log. */
export interface AuditRecord {
  /** ISO 8601, in UTC. */
  readonly time: string
  readonly side: Judgement['side']
  readonly decision: 'passed' | 'refused'
  /** Which is violated, or comes closest. */
  readonly policy?: string
  /** Probability of a violation, 0 to 1. */
  readonly score?: number
  /** Code of what kept the text from being judged; the decision is then the guard's onFailure. */
  readonly error?: string
  /** HMAC-SHA-256 of what was judged, 32 hexadecimal digits: the same text, the same hash, under the same key. */
  readonly hash: string
  /** Of the judged text. */
  readonly characters: number
  /** Only where texts are to be kept. */
  readonly question?: string
  readonly answer?: string
}

export interface AuditOptions {
  /** At least 16 bytes. Whoever lacks it cannot find out a text by hashing guesses. */
  readonly key: Uint8Array<ArrayBuffer>
  /** Is given every record; errors are its own. */
  readonly write: (record: AuditRecord) => void
  /** Keeps questions and answers as well. Default false. */
  readonly texts?: boolean
  /** Milliseconds since 1970. */
  readonly now?: () => number
}

/** For `onJudgement` of a guard: records in the order of the judgements. */
export function audit(options: AuditOptions): (judgement: Judgement, exhibit: Exhibit) => void {
  const { key, write, texts = false, now = Date.now } = options
  const imported = crypto.subtle.importKey('raw', key, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign'])
  let last: Promise<void> = Promise.resolve()
  return ({ side, passed, verdict, error }, { question, answer }) => {
    const time = new Date(now()).toISOString()
    const judged = answer ?? question
    const { policy, probability: score } = verdict ?? {}
    const record = async (): Promise<void> => {
      const signed = await crypto.subtle.sign('HMAC', await imported, new TextEncoder().encode(judged))
      write({
        time,
        side,
        decision: passed ? 'passed' : 'refused',
        ...(policy !== undefined && { policy }),
        ...(score !== undefined && { score }),
        ...(error && { error: error.code }),
        hash: toHex(new Uint8Array(signed, 0, 16)),
        characters: judged.length,
        ...(texts && { question, ...(answer !== undefined && { answer }) }),
      })
    }
    last = last.then(record)
  }
}

function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

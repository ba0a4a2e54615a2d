/** Why a tuning job does not run, or has failed: one cause of a closed list, told from what was seen. Pure. */
import { type Cause, type Signal, sentence } from '../../../deploy/cause.ts'
import { classify } from '../../../deploy/classify.ts'
import { isObject } from '../../check.ts'
import { RUN_PATH } from './paths.ts'

export type JobCause =
  | Exclude<Cause, { readonly cause: 'OOM_KV' | 'PROBE' | 'READY' }>
  /** Weights, gradients and activations need more than the device has. */
  | { readonly cause: 'OOM_DEVICE' }
  /** The bucket takes nothing more, may not be written, or is not there. */
  | { readonly cause: 'STORAGE'; readonly problem: 'full' | 'denied' | 'missing' }
  /** The machines were taken away oftener than the spec allows. */
  | { readonly cause: 'PREEMPTED'; readonly times: number }
  /** What the guard allows is spent. */
  | { readonly cause: 'GUARD' }

/** A cause with what was seen, in the words of whoever said it, and what to do about it. */
export type JobFinding = JobCause & {
  /** One sentence. */
  readonly says: string
  /** The event or condition it was told from. */
  readonly from?: string
}

/** What a run needs to write, read and list. */
const STORAGE_ROLE = 'roles/storage.objectUser'

/** The cause before its effects: a bucket that may not be written before the crash that follows. */
export function classifyJob(signals: readonly Signal[]): JobFinding {
  const own = ownFinding(signals)
  if (own) return own
  const finding = classify(signals)
  const { says, from } = finding
  const told = { says, ...(from !== undefined && { from }) }
  switch (finding.cause) {
    case 'OOM_KV':
      return outOfMemory(from)
    // Nothing here answers or is probed.
    case 'PROBE':
    case 'READY':
      return { cause: 'LOADING', ...told }
    default:
      return finding
  }
}

function ownFinding(signals: readonly Signal[]): JobFinding | undefined {
  for (const signal of signals) {
    const finding = fromLines(signal) ?? fromMount(signal)
    if (finding) return finding
  }
  return undefined
}

const DENIED = /storage\.objects\.(?:create|delete|get|list|update)|Errno 13\] Permission denied: '([^']*)'/
const FULL =
  /No space left on device(?::? '([^']*)')?|There is no space left for (\S+?);|Disk quota exceeded|billing account .* (?:disabled|closed)|exceeded .*quota .*(?:storage|bucket)/i
const DEVICE =
  /CUDA out of memory|torch(?:\.cuda)?\.OutOfMemoryError|Ran out of memory in memory space hbm|RESOURCE_EXHAUSTED: .*(?:HBM|hbm|memory)|accelerator's memory does not suffice/

function fromLines(signal: Signal): JobFinding | undefined {
  if (signal.type !== 'log') return undefined
  const { lines, source } = signal
  const from = `${source}: log`
  const last = (pattern: RegExp): RegExpExecArray | undefined =>
    lines
      .toReversed()
      .map((line) => pattern.exec(line))
      .find((found) => found !== null) ?? undefined
  const denied = last(DENIED)
  if (denied && (denied[1] === undefined || denied[1].startsWith(RUN_PATH))) return notAllowed(from)
  const full = last(FULL)
  if (full) return noSpace(full[1] ?? full[2], from)
  if (last(DEVICE)) return outOfMemory(from)
  return fromScript(lines, from)
}

/** The scripts say what is wrong with settings and data in one sentence. */
function fromScript(lines: readonly string[], from: string): JobFinding | undefined {
  const said = lines
    .toReversed()
    .map(toError)
    .find((one) => one !== undefined)
  if (said === undefined) return undefined
  const settings = /^job\.json: ([\w.[\]]+)/.exec(said)?.[1]
  if (settings !== undefined) return { cause: 'SPEC', field: settings, says: sentence(said), from }
  if (/^(?:There is no )?\S*(?:train|eval)\.jsonl/.test(said))
    return { cause: 'SPEC', field: 'data', says: sentence(said), from }
  return undefined
}

/** Of `{"facet":"error","message":"…"}`. */
function toError(line: string): string | undefined {
  if (!line.startsWith('{"facet"')) return undefined
  try {
    const value: unknown = JSON.parse(line)
    return isObject(value) && value.facet === 'error' && typeof value.message === 'string'
      ? value.message
      : undefined
  } catch {
    // The log begins or ends in the middle of it.
    return undefined
  }
}

/** GCS FUSE's driver, which mounts the bucket before anything runs. */
function fromMount(signal: Signal): JobFinding | undefined {
  if (signal.type !== 'event' || !/^FailedMount|MountVolume/.test(signal.reason)) return undefined
  const { message } = signal
  const from = `${signal.source}: ${signal.reason}`
  if (/PermissionDenied|Error 403|does not have storage/i.test(message)) return notAllowed(from)
  if (/bucket.* (?:doesn't|does not) exist|Error 404|code = NotFound/i.test(message))
    return {
      cause: 'STORAGE',
      problem: 'missing',
      says: 'The bucket is not there, or not by that name; make it, or correct bucket.',
      from,
    }
  return undefined
}

function notAllowed(from: string): JobFinding {
  return {
    cause: 'STORAGE',
    problem: 'denied',
    says: `The job may not use its bucket; grant ${STORAGE_ROLE} on it to the job's account, as docs/tuning.md says.`,
    from,
  }
}

function noSpace(path: string | undefined, from: string): JobFinding {
  const isBucket = path === undefined || path.startsWith(RUN_PATH)
  const what = isBucket ? 'The bucket takes nothing more' : `The machine's disk is full at ${path}`
  return {
    cause: 'STORAGE',
    problem: 'full',
    says: `${what}; make room, and start again: the job goes on from its last checkpoint.`,
    from,
  }
}

function outOfMemory(from: string | undefined): JobFinding {
  return {
    cause: 'OOM_DEVICE',
    says: "The device's memory does not suffice; lower batchSize or contextTokens, take method qlora, or more or larger devices.",
    ...(from !== undefined && { from }),
  }
}

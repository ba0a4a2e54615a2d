/** Causes that Google Cloud, and the API server of Kubernetes, answer with: codes, conditions and their texts. */
import { type Finding, type Signal, sentence } from './cause.ts'
import { iamFrom } from './cause-iam.ts'

type Told = Extract<Signal, { readonly type: 'event' | 'condition' | 'error' }>

/** In this order: a stock-out also says RESOURCE_EXHAUSTED, which quotas do too. */
const RULES: readonly ((signal: Told) => Finding | undefined)[] = [
  stockout,
  quota,
  gated,
  conflict,
  image,
  spec,
  iam,
  network,
]

export function fromCloud(signal: Signal): Finding | undefined {
  if (signal.type !== 'event' && signal.type !== 'condition' && signal.type !== 'error') return undefined
  for (const rule of RULES) {
    const finding = rule(signal)
    if (finding) return { ...finding, from: `${signal.source}: ${signal.reason}` }
  }
  return undefined
}

/** By prefix: ZONE_RESOURCE_POOL_EXHAUSTED has a longer brother, _WITH_DETAILS. */
const STOCKOUT =
  /GCE_STOCKOUT|ZONE_RESOURCE_POOL_EXHAUSTED|does not have enough resources available|out of resources|insufficient capacity|resources? (?:are|is) insufficient in region|out of capacity/i

function stockout({ reason, message }: Told): Finding | undefined {
  if (!STOCKOUT.test(`${reason} ${message}`)) return undefined
  const zone = /\b([a-z]+-[a-z]+\d+-[a-z])\b/.exec(message)?.[1]
  return {
    cause: 'STOCKOUT',
    ...(zone !== undefined && { zone }),
    says: `${zone ?? 'The region'} has no machine of this kind now; add capacity kinds or zones, or wait.`,
  }
}

const OVER = /quota/i
const QUOTA_IDS = [
  /quota exceeded for (?!quota)([\w ]+?) per project/i,
  /quotas? (?:are |is )?exceeded:? *(?!for )'?([A-Za-z][\w.-]+)/i,
  /Quota '?([A-Za-z][\w.-]+)'? exceeded/i,
  /exceeded quota: ([\w.-]+)/i,
  /quota (?:metric|limit) '([^']+)'/i,
  /quota (?:metric|limit) ([\w./-]+)/i,
]

function quota({ reason, message, details }: Told): Finding | undefined {
  const known =
    /QUOTA/.test(reason) || (/RESOURCE_EXHAUSTED|^429$|Forbidden/.test(reason) && OVER.test(message))
  // A pod that names no request for what a quota counts exceeds nothing.
  if (!(known || (/quota/i.test(message) && /exceeded/i.test(message))) || /failed quota/.test(message)) {
    return undefined
  }
  const id =
    details?.quota_limit ??
    QUOTA_IDS.map((pattern) => pattern.exec(message)?.[1]).find((found) => found && found !== 'metric') ??
    'unnamed'
  const wanted = numberIn(message, /(?:requested|wanted): *(?:[\w./-]+=)?([\d.]+)/i)
  const limit = details?.quota_limit_value
    ? Number(details.quota_limit_value)
    : numberIn(message, /(?:limit(?:ed)?): *(?:[\w./-]+=)?([\d.]+)/i)
  return {
    cause: 'QUOTA',
    quota: id,
    ...(wanted !== undefined && { wanted }),
    ...(limit !== undefined && { limit }),
    says: `Quota ${id} does not suffice${limit === undefined ? '' : `, its limit is ${limit}`}${wanted === undefined ? '' : `, ${wanted} are wanted`}; ask for more, or take less.`,
  }
}

function numberIn(text: string, pattern: RegExp): number | undefined {
  const found = pattern.exec(text)?.[1]?.replace(/\.$/, '')
  return found === undefined || Number.isNaN(Number(found)) ? undefined : Number(found)
}

function gated({ message }: Told): Finding | undefined {
  if (!/EULA|gated|accept the (?:license|licence|terms)/i.test(message)) return undefined
  return { cause: 'GATED_MODEL', says: 'The model is gated: accept its licence first.' }
}

function conflict({ reason, message }: Told): Finding | undefined {
  const manager = /conflicts? with "([^"]+)"/.exec(message)?.[1]
  if (manager === undefined && !/^(?:Conflict|ABORTED|ALREADY_EXISTS|AlreadyExists)$/.test(reason))
    return undefined
  // Kubernetes: an update of a version that is no longer the last one.
  const who = manager ?? (/modified|operation/i.test(message) ? 'another operation' : 'somebody else')
  return {
    cause: 'CONFLICT',
    manager: who,
    says: `${who} holds it: ${sentence(message)} Nothing was forced; let one of the two decide.`,
  }
}

const FIELDS = [
  /unknown field "([^"]+)"/,
  /: (\.[\w.[\]="-]+): (?:field not declared|expected)/,
  /is invalid: \[?([\w.[\]]+): /,
  /(?:Invalid|Unknown) (?:value (?:for|at)|name) '?"?([\w.[\]]+)/i,
]

function spec({ reason, message, details }: Told): Finding | undefined {
  const violates = /violates? PodSecurity/i.test(message)
  const field =
    details?.field ??
    FIELDS.map((pattern) => pattern.exec(message)?.[1]).find((found) => found !== undefined) ??
    (violates ? 'securityContext' : undefined)
  const invalid = /^(?:INVALID_ARGUMENT|Invalid|BadRequest|FAILED_PRECONDITION|OUT_OF_RANGE|400|422)$/.test(
    reason,
  )
  const denied =
    /admission webhook|ValidatingAdmissionPolicy/.test(message) && !/failed calling/.test(message)
  if (!invalid && !denied && field === undefined) return undefined
  return {
    cause: 'SPEC',
    field: field?.replace(/^\./, '') ?? 'unnamed',
    says: `What was asked for is refused: ${sentence(message)}`,
  }
}

function iam({ reason, message, details }: Told): Finding | undefined {
  if (/^(?:UNAUTHENTICATED|Unauthorized|401)$/.test(reason)) {
    return { cause: 'IAM', says: 'Nobody is signed in, or the sign-in has ended; sign in again and repeat.' }
  }
  if (!/^(?:PERMISSION_DENIED|Forbidden|403)$/.test(reason) && !/403|permission/i.test(message))
    return undefined
  const found = iamFrom(message, details?.permission)
  if (found) return { ...found, says: `A role is missing: ${found.role}.` }
  return /^(?:PERMISSION_DENIED|Forbidden|403)$/.test(reason)
    ? { cause: 'IAM', role: 'unnamed', says: `It was refused: ${sentence(message)}` }
    : undefined
}

function image({ message }: Told): Finding | undefined {
  const found = /image '?"?([\w./:@-]+)'?"? (?:was )?not found|failed to pull image "?([\w./:@-]+)/i.exec(
    message,
  )
  // Whoever may not pull it is told which role is missing.
  if (!found || iamFrom(message)) return undefined
  const name = found[1] ?? found[2]!
  return { cause: 'IMAGE', image: name, says: `The image ${name} cannot be pulled; check its name and tag.` }
}

const NETWORK =
  /^(?:UNAVAILABLE|DEADLINE_EXCEEDED|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|Timeout|ServerTimeout|50[234])$/

function network({ type, reason, message }: Told): Finding | undefined {
  if (type !== 'error' || !NETWORK.test(reason)) return undefined
  return { cause: 'NETWORK', says: `The service cannot be reached: ${sentence(message)}` }
}

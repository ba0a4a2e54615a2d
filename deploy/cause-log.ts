/** Causes that model servers and downloads leave in their logs. */
import { type Cause, type Finding, type Signal, sentence } from './cause.ts'
import { iamFrom } from './cause-iam.ts'

/** The server listens: from now on it should answer. */
export const STARTED: RegExp =
  /Application startup complete|Uvicorn running on|Started GRPCInferenceService|Starting vLLM API server|JetStream server started/i

/** Hugging Face and Kaggle, to whom a licence has not been shown. */
const GATED =
  /GatedRepoError|Cannot access gated repo|Access to model \S+ is restricted|not in the authorized list|accept the (?:license|terms|conditions)|401 Client Error: Unauthorized for url: https:\/\/huggingface\.co|403 Client Error.*(?:huggingface\.co|kaggle\.com)/i

/** vLLM before and after 0.9, and XLA. */
const KV_TOKENS =
  /max seq len \((\d+)\) is larger than the maximum number of tokens that can be stored in KV cache \((\d+)\)/
const KV_BYTES =
  /at least one request with the model'?s'?s? max(?:imum)? seq(?:uence)? len(?:gth)? \((\d+)\).*?(?:KV cache is needed|larger than the available KV cache memory)/i
const KV_ESTIMATE = /estimated maximum model length is (\d+)/
const KV_NONE =
  /No available memory for the cache blocks|CUDA out of memory|torch(?:\.cuda)?\.OutOfMemoryError|Ran out of memory in memory space hbm|RESOURCE_EXHAUSTED: .*(?:HBM|hbm|memory)/

const UNREACHABLE =
  /Temporary failure in name resolution|Name or service not known|Failed to establish a new connection|Connection (?:timed out|refused)|Network is unreachable|no such host|i\/o timeout|TLS handshake timeout/i

export function fromLog(signal: Signal): Finding | undefined {
  if (signal.type !== 'log') return undefined
  const { lines, source } = signal
  const at = (pattern: RegExp): string | undefined => lines.findLast((line) => pattern.test(line))
  const told = (cause: Cause, says: string): Finding => ({ ...cause, says, from: `${source}: log` })
  if (at(GATED)) {
    return told(
      { cause: 'GATED_MODEL' },
      'The model is gated: accept its licence on its page with the account of the token, or check the token.',
    )
  }
  const memory = fromMemory(lines)
  if (memory) return told(memory, memorySays(memory))
  const denied = lines.map((line) => iamFrom(line)).find((found) => found !== undefined)
  if (denied) return told(denied, `The server may not read what it needs: role ${denied.role} is missing.`)
  // A server that has started since has found its way.
  if (at(UNREACHABLE) && !at(STARTED)) {
    return told({ cause: 'NETWORK' }, `It cannot reach what it loads from: ${sentence(at(UNREACHABLE)!)}`)
  }
  return undefined
}

type OutOfMemory = Extract<Cause, { readonly cause: 'OOM_KV' }>

function fromMemory(lines: readonly string[]): OutOfMemory | undefined {
  const text = lines.join(' ')
  const tokens = KV_TOKENS.exec(text)
  if (tokens) return { cause: 'OOM_KV', wantedTokens: Number(tokens[1]), tokens: Number(tokens[2]) }
  const bytes = KV_BYTES.exec(text)
  if (bytes) {
    const estimate = KV_ESTIMATE.exec(text)
    return {
      cause: 'OOM_KV',
      wantedTokens: Number(bytes[1]),
      ...(estimate && { tokens: Number(estimate[1]) }),
    }
  }
  return KV_NONE.test(text) ? { cause: 'OOM_KV' } : undefined
}

function memorySays({ tokens, wantedTokens }: OutOfMemory): string {
  if (tokens === undefined) {
    return 'The weights leave no memory for keys and values; take more devices, a smaller dtype or fewer sequences.'
  }
  return `There is room for ${tokens} tokens of keys and values, and contextTokens is ${wantedTokens}; lower it, or take more devices or kvDtype fp8.`
}

/** Shards that are loaded, or a download's bar. */
const SHARES = [
  /checkpoint shards:\s+(\d{1,3})%/i,
  /(?:Downloading|Fetching|Loading)[^%]*?(\d{1,3})%/i,
  /(?:Loading|Loaded) (?:weights|checkpoint)[^%]*?(\d{1,3})%/i,
]

/** How much of loading is done, from 0 to 1, by the last line that says so. */
export function logShare(lines: readonly string[]): number | undefined {
  for (const line of lines.toReversed()) {
    for (const pattern of SHARES) {
      const percent = pattern.exec(line)?.[1]
      if (percent !== undefined && Number(percent) <= 100) return Number(percent) / 100
    }
  }
  return undefined
}

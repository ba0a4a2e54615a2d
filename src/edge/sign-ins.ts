/** Slows down whoever tries keys: an address that has shown too many wrong ones has to wait. */
import { FacetError } from '../errors.ts'

export interface SignInOptions {
  /** Wrong keys that one address may show in a minute. Default 20. */
  readonly wrongKeysPerMinute?: number
  /**
   * Where a request comes from, for servers behind a proxy: from a header that the proxy sets itself. Default:
   * the peer's address, which Node.js tells; where it is not known nobody is slowed down.
   *
   * @param env what the runtime gave the handler besides the request
   */
  readonly addressOf?: (request: Request, env: unknown) => string | undefined
}

const DEFAULT_WRONG_KEYS = 20
const MINUTE_MS = 60_000

/** What @hono/node-server hands on. */
interface NodeEnv {
  readonly incoming?: { readonly socket?: { readonly remoteAddress?: string } }
}

export class SignIns {
  readonly #most: number
  readonly #addressOf: NonNullable<SignInOptions['addressOf']>
  readonly #now: () => number
  /** Wrong keys by address since `#sinceMs`; forgotten together, so that it cannot grow for ever. */
  readonly #wrong = new Map<string, number>()
  #sinceMs: number

  constructor(options: SignInOptions, now: () => number) {
    const { wrongKeysPerMinute = DEFAULT_WRONG_KEYS, addressOf = peerAddress } = options
    this.#most = wrongKeysPerMinute
    this.#addressOf = addressOf
    this.#now = now
    this.#sinceMs = now()
  }

  /** @throws FacetError rate_limited for an address that has shown too many wrong keys */
  assertFew(request: Request, env: unknown): void {
    const passedMs = this.#now() - this.#sinceMs
    if (passedMs >= MINUTE_MS) {
      this.#wrong.clear()
      this.#sinceMs = this.#now()
      return
    }
    const address = this.#addressOf(request, env)
    if (address === undefined || (this.#wrong.get(address) ?? 0) < this.#most) return
    const retryAfterMs = MINUTE_MS - passedMs
    throw new FacetError(
      'rate_limited',
      `Too many wrong API keys came from your address; try again in ${Math.ceil(retryAfterMs / 1000)} s.`,
      { retryAfterMs },
    )
  }

  addWrong(request: Request, env: unknown): void {
    const address = this.#addressOf(request, env)
    if (address !== undefined) this.#wrong.set(address, (this.#wrong.get(address) ?? 0) + 1)
  }
}

function peerAddress(_: Request, env: unknown): string | undefined {
  return (env as NodeEnv | undefined)?.incoming?.socket?.remoteAddress
}

/** Whether the server is alive and whether it is ready: GET /healthz and GET /readyz. */
import { FacetError } from '../errors.ts'
import { type Report, toErrorResponse } from './error-response.ts'

export type Readiness =
  | { readonly ready: true }
  | {
      readonly ready: false
      /** One sentence for people, for example `The model is still loading.` */
      readonly reason: string
      /** 0 to 1. */
      readonly progress?: number
      /** When to ask again. Default 1000. */
      readonly retryAfterMs?: number
    }

/** A server's own state, or just yes or no. */
export type ReadyCheck = () => boolean | Readiness

const DEFAULT_RETRY_MS = 1000

function readinessOf(check: ReadyCheck | undefined): Readiness {
  const state = check?.() ?? true
  if (state === true) return { ready: true }
  return state === false ? { ready: false, reason: 'The server is not ready yet; try again soon.' } : state
}

/** @throws FacetError unavailable with the reason */
export function assertReady(check: ReadyCheck | undefined): void {
  const state = readinessOf(check)
  if (!state.ready) throw toUnavailable(state)
}

export function toReadyResponse(check: ReadyCheck | undefined, report: Report): Response {
  const state = readinessOf(check)
  if (state.ready) return Response.json({ status: 'ready' })
  const { progress } = state
  return toErrorResponse(toUnavailable(state), report, {
    status: 'not_ready',
    ...(progress !== undefined && { progress }),
  })
}

function toUnavailable(state: Extract<Readiness, { ready: false }>): FacetError {
  return new FacetError('unavailable', state.reason, { retryAfterMs: state.retryAfterMs ?? DEFAULT_RETRY_MS })
}

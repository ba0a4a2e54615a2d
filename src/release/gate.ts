/** What a gate finds: it passed, it failed, or it could not be run, always with the reason. */
import { FacetError } from '../errors.ts'
import type { GateName } from './limits.ts'

export interface Finding {
  readonly outcome: 'passed' | 'failed' | 'not run'
  /** One sentence. */
  readonly reason: string
}

export interface GateResult extends Finding {
  readonly gate: GateName
}

export const passed = (reason: string): Finding => ({ outcome: 'passed', reason })
export const failed = (reason: string): Finding => ({ outcome: 'failed', reason })
export const notRun = (reason: string): Finding => ({ outcome: 'not run', reason })

/** Fails closed: what a gate was given, and could not be checked, has not passed. */
export async function findingOf(gate: () => Promise<Finding>): Promise<Finding> {
  try {
    return await gate()
  } catch (error) {
    if (!(error instanceof FacetError) || error.code === 'internal' || error.code === 'aborted') throw error
    return failed(error.message)
  }
}

/** @param share 0 to 1 */
export const percent = (share: number): string => `${(100 * share).toFixed(1)}%`

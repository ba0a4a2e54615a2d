/** Policies as data: what a file of them must look like. */
import { type Check, ConfigProblem, listOf, object, share, text } from '../check.ts'
import { FacetError } from '../errors.ts'
import type { Policy } from './shield-judge.ts'

const POLICY: Check = object({ name: text, rule: text }, { threshold: share })

/**
 * A list of policies, each with `name`, `rule` and, where it differs from the judge's, `threshold`.
 *
 * @param name of the file, for messages
 * @throws FacetError invalid_request, naming the field
 */
export function toPolicies(json: string, name: string): readonly Policy[] {
  try {
    const given: unknown = JSON.parse(json)
    listOf(POLICY)(given, [])
    const policies = given as readonly Policy[]
    if (policies.length === 0)
      throw new ConfigProblem([], 'must not be empty: a guard without policies lets everything through')
    for (const [index, policy] of policies.entries()) {
      const first = policies.findIndex((one) => one.name === policy.name)
      if (first < index) throw new ConfigProblem([index, 'name'], `is that of policy ${first + 1}, too`)
    }
    return policies
  } catch (cause) {
    const problem = cause instanceof ConfigProblem ? cause.message : 'It is not JSON.'
    throw new FacetError('invalid_request', `${name}: ${problem}`, { field: 'guard-policies', cause })
  }
}

import { describe, expect, it } from 'vitest'
import { relocate } from '../../scripts/relocate.ts'

describe('a compiled file that moves into dist', () => {
  it.each([
    [
      'src/cli/plan.js',
      `import { plan } from "../../deploy/plan.js"`,
      `import { plan } from "../deploy/plan.js"`,
    ],
    ['src/cli/plan.js', `import('../../deploy/plan.js')`, `import('../deploy/plan.js')`],
    ['deploy/plan.js', `export { a } from '../src/errors.js'`, `export { a } from '../errors.js'`],
    ['deploy/k8s/pod.js', `import '../../src/gemma/config.js'`, `import '../../gemma/config.js'`],
  ])('%s finds what it imports', (file, before, after) => {
    expect(relocate(before, file)).toBe(after)
  })

  it.each([
    ['src/cli/plan.js', `import { a } from '../errors.js'; import b from 'hono'; import './c.js'`],
    ['deploy/up.js', `import { a } from './target.js'`],
  ])('%s keeps what moves with it', (file, source) => {
    expect(relocate(source, file)).toBe(source)
  })
})

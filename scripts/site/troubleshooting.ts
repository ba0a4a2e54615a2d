/** The troubleshooting page: one entry for every code of src/errors.ts and every cause of deploy/cause.ts. */
import { CAUSES, type CauseName } from '../../deploy/cause.ts'
import { PASSING } from '../../deploy/up.ts'
import { type ErrorCode, FacetError, type Retry } from '../../src/errors.ts'
import { CODES, DEPLOYMENT_CAUSES } from './error-help.ts'

const RETRIES: Readonly<Record<Retry, string>> = {
  never: 'It is not asked again.',
  same: 'A router waits and asks the same backend once more, then the others.',
  elsewhere: 'A router asks the next backend.',
}

const toCode = (code: ErrorCode): string => {
  const { means, toDo } = CODES[code]
  const { status, retry } = new FacetError(code, '')
  return `### \`${code}\`

${means}

- **What to do:** ${toDo}
- **Tried again:** ${RETRIES[retry]} (\`retry: '${retry}'\`)
- **HTTP status:** ${status}
`
}

const toCause = (cause: CauseName): string => {
  const { means, toDo } = DEPLOYMENT_CAUSES[cause]
  const waits =
    cause === 'READY'
      ? '`facet up` is done.'
      : PASSING.includes(cause)
        ? 'It passes by itself: `facet up` waits for it.'
        : 'Somebody must mend it: `facet up` ends with it after three minutes. Run it again afterwards; it goes on from there.'
  return `### \`${cause}\`

${means}

- **What to do:** ${toDo}
- **Waited for:** ${waits}
`
}

export function toTroubleshooting(): string {
  return `<!-- Written by scripts/troubleshooting.ts from src/errors.ts, deploy/cause.ts and scripts/site/error-help.ts: change it there. -->
# Troubleshooting

Whatever goes wrong is a \`FacetError\` with one of these codes, and one sentence that says what to do. Over HTTP the
code stands in \`error.code\` of the body; on the command line the sentence follows \`facet:\`, and the exit code is 1
(2 where the command line itself is wrong). A call may forbid to ask again where its code would allow it, and a server
that gives a more exact status keeps it.

## Where to look first

| what you see | |
|---|---|
| \`facet:\` and a sentence | it says what to do; the field at fault is named |
| an HTTP answer with \`error\` | \`error.code\` below, \`error.param\` for the field |
| an answer that ends early | \`finish_reason\`: \`length\` means \`max_tokens\` or the context; \`content_filter\` a [guard](edge.md#guards) |
| 503 right after the start | the model loads: \`/readyz\` says how far it is |
| a deployment that does not answer | \`facet status TARGET\` names one of the [causes](#causes-of-a-deployment) |
| \`facet: this is a bug in Facet\` | exit code 70: report it with what follows |

## Error codes

${Object.keys(CODES)
  .map((code) => toCode(code as ErrorCode))
  .join('\n')}
## Causes of a deployment

\`facet status\` and \`facet up\` name exactly one. What each is told from stands in [deploy.md](deploy.md#causes).

${CAUSES.map(toCause).join('\n')}`
}

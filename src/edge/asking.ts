/** A Layer's way around the methods of a Backend that answer once: score, embed, tokenize and detokenize. */
import { override } from '../guard/layer.ts'
import type { Backend, CallOptions } from '../types.ts'

export type Ask = <T>(
  options: CallOptions | undefined,
  ask: (options: CallOptions | undefined) => Promise<T>,
) => Promise<T>

/** Every call is made through `ask`; what `next` cannot do stays undefined. */
export function asking(next: Backend, ask: Ask): Backend {
  return override(next, {
    get score(): Backend['score'] {
      const { score } = next
      return score && ((request, options) => ask(options, (own) => score.call(next, request, own)))
    },
    get embed(): Backend['embed'] {
      const { embed } = next
      return embed && ((texts, options) => ask(options, (own) => embed.call(next, texts, own)))
    },
    get tokenize(): Backend['tokenize'] {
      const { tokenize } = next
      return tokenize && ((prompt, options) => ask(options, (own) => tokenize.call(next, prompt, own)))
    },
    get detokenize(): Backend['detokenize'] {
      const { detokenize } = next
      return detokenize && ((tokens, options) => ask(options, (own) => detokenize.call(next, tokens, own)))
    },
  })
}

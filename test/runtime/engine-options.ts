/** What every runtime loads the model with, so that the same suite fits them all. */
export const ENGINE = { slots: 1, queue: 3, contextTokens: 512 } as const

/** Where the model lies that ships with Facet: the same from src/cli and from dist/cli. */
import { fileURLToPath } from 'node:url'

export const SAMPLE: string = fileURLToPath(new URL('../../models/facet-tldr-24m', import.meta.url))

/** Facet in a Cloudflare Worker: an OpenAI-compatible API and a chat page, the model among the static assets. */
import { type AssetsBinding, createWorker, filesFromAssets } from 'gemfacet/edge/workers'

interface Env {
  readonly ASSETS: AssetsBinding
}

export default createWorker<Env>({
  // Below the assets' directory, which wrangler.jsonc names. For R2: filesFromBucket(MODELS, 'facet-tldr-24m').
  files: ({ ASSETS }) => filesFromAssets(ASSETS, '/facet-tldr-24m'),
})

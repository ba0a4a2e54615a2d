/** The documentation's pages, in their order, with their titles: the site and its tests go by this table alone. */

export interface Entry {
  /** Its path in the repository, or the page that the build makes. */
  readonly source: string | { readonly made: 'cli' | 'exports' }
  readonly title: string
}

export interface Section {
  readonly title: string
  readonly pages: readonly Entry[]
}

export const ORDER: readonly Section[] = [
  {
    title: 'Start',
    pages: [
      { source: 'README.md', title: 'Overview' },
      { source: 'docs/quick-start.md', title: 'Quick start' },
      { source: 'docs/config.md', title: 'facet.config.ts' },
    ],
  },
  {
    title: 'Edge',
    pages: [
      { source: 'docs/edge.md', title: 'Serving people' },
      { source: 'docs/api.md', title: 'The API' },
      { source: 'docs/runtimes.md', title: 'Where it runs' },
      { source: 'docs/webgpu.md', title: 'On a GPU' },
      { source: 'docs/playground.md', title: 'The playground' },
    ],
  },
  {
    title: 'Cloud',
    pages: [
      { source: 'docs/deploy.md', title: 'Deployments' },
      { source: 'docs/kubernetes.md', title: 'Gemma on GKE' },
      { source: 'docs/google.md', title: 'Google sign-in, Vertex AI' },
    ],
  },
  {
    title: 'Client',
    pages: [
      { source: 'docs/client.md', title: 'Client and router' },
      { source: 'docs/adapters.md', title: 'Adapters' },
    ],
  },
  {
    title: 'Models',
    pages: [
      { source: 'docs/models.md', title: 'Models in and out' },
      { source: 'docs/lora.md', title: 'LoRA adapters' },
    ],
  },
  {
    title: 'Tuning',
    pages: [
      { source: 'docs/tuning-data.md', title: 'Data and mixtures' },
      { source: 'docs/tuning.md', title: 'Jobs and results' },
      { source: 'docs/rlhf.md', title: 'Preferences and RLHF' },
    ],
  },
  { title: 'Evaluation', pages: [{ source: 'docs/evaluation.md', title: 'Evaluation' }] },
  {
    title: 'Tuning',
    pages: [
      { source: 'docs/integrations.md', title: 'Frameworks' },
      { source: 'docs/notebooks.md', title: 'Notebooks' },
      { source: 'docs/responsible-use.md', title: 'Responsible use' },
    ],
  },
  {
    title: 'Operations',
    pages: [
      { source: 'docs/operations.md', title: 'Canaries, cost, alerts' },
      { source: 'docs/load-test.md', title: 'Load tests' },
      { source: 'docs/troubleshooting.md', title: 'Troubleshooting' },
    ],
  },
  {
    title: 'Reference',
    pages: [
      { source: 'docs/architecture.md', title: 'Architecture' },
      { source: { made: 'cli' }, title: 'Commands' },
      { source: { made: 'exports' }, title: 'Exports' },
    ],
  },
]

/** The name of a page's file in the site. */
export function addressOf(source: Entry['source']): string {
  if (typeof source !== 'string') return `${source.made}.html`
  return source === 'README.md' ? 'index.html' : source.replace(/^docs\/(.*)\.md$/, '$1.html')
}

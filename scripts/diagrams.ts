/** Writes the drawings of docs/architecture.md. */
import { writeFileSync } from 'node:fs'
import { type Diagram, toSvg } from './site/diagram.ts'

const REQUEST: Diagram = {
  description:
    'A request goes from a program by the client or over HTTP to the edge handler, through guards to the router, which asks the engine here or a server in the cloud; tokens come back the same way.',
  boxes: {
    program: { title: 'your program', at: [0, 0], foreign: true },
    openai: { title: 'any OpenAI client', at: [0, 1], foreign: true },
    client: { title: 'client', note: 'src/client', at: [1, 0] },
    edge: { title: 'edge handler', note: 'keys, rates, limits, drain', at: [1, 1] },
    guard: { title: 'guards', note: 'layers, where there are any', at: [2, 1] },
    router: { title: 'router', note: 'policy, circuits, budgets', at: [3, 1] },
    engine: { title: 'engine', note: 'a model on this machine', at: [2.5, 2] },
    http: { title: 'client', note: 'HTTP, SSE, sign-in', at: [3.5, 2] },
    graph: { title: 'graph', note: 'wasm, webgpu, ort, reference', at: [2.5, 3] },
    cloud: { title: 'vLLM, JetStream …', note: 'GKE, Vertex AI, Cloud Run', at: [3.5, 3], foreign: true },
  },
  arrows: [
    ['program', 'client'],
    ['openai', 'edge'],
    ['client', 'edge', 'HTTP'],
    ['edge', 'guard'],
    ['guard', 'router'],
    ['router', 'engine', 'first'],
    ['router', 'http', 'else'],
    ['engine', 'graph'],
    ['http', 'cloud', 'HTTP'],
  ],
}

const ROOMS: Diagram = {
  description:
    'The rooms in layers. The command line imports everything; evaluation, edge, gateway and adapters import backends; client, router, engine and guards import Gemma, errors and types; nothing imports upwards.',
  boxes: {
    cli: { title: 'cli', note: 'one file a command, loaded when it is called', at: [0, 0], wide: 4 },
    config: { title: 'config', note: 'facet.config.ts', at: [0, 1] },
    edge: { title: 'edge', note: 'gateway, openai, ai', at: [1, 1] },
    eval: { title: 'eval', note: 'load-test: Backends only', at: [2, 1] },
    deploy: { title: 'deploy', note: 'gke, vertex, cloudrun …', at: [3, 1] },
    route: { title: 'route', note: 'many backends as one', at: [0, 2] },
    client: { title: 'client', note: 'google, vertex', at: [1, 2] },
    engine: { title: 'engine', note: 'guard', at: [2, 2] },
    convert: { title: 'convert', note: 'pull', at: [3, 2] },
    ground: {
      title: 'types, errors, gemma',
      note: 'words, codes, and what Gemma is: no I/O, no Node.js',
      at: [0, 3],
      wide: 4,
    },
  },
  arrows: [
    ...['config', 'edge', 'eval', 'deploy'].map((name) => ['cli', name] as const),
    ['config', 'route'],
    ['edge', 'client'],
    ['edge', 'engine'],
    ['eval', 'client'],
    ['eval', 'convert'],
    ['config', 'client'],
    ...['route', 'client', 'engine', 'convert'].map((name) => [name, 'ground'] as const),
  ],
}

const ENGINE: Diagram = {
  description:
    'Requests wait in a queue; the scheduler puts prompt pieces and single tokens of several into one step of the graph; the sampler, held by a grammar where there is one, chooses tokens, which go back as events.',
  boxes: {
    queue: { title: 'queue', note: 'full: 429 at once', at: [0, 0] },
    scheduler: { title: 'scheduler', note: 'prefill and decode together', at: [1, 0] },
    graph: { title: 'graph.step', note: 'several sequences, one pass', at: [2, 0] },
    sampler: { title: 'sampler', note: 'seeded; a grammar may hold it', at: [3, 0] },
    tokens: { title: 'tokenizer', note: 'ids to text', at: [4, 0] },
    prefix: { title: 'page pool', note: 'same beginning, same pages', at: [1, 1] },
    pages: { title: 'KV cache', note: 'float16, of fixed size', at: [2, 1] },
    draft: { title: 'guesses', note: 'from earlier text, or a model', at: [3, 1] },
  },
  arrows: [
    ['queue', 'scheduler'],
    ['scheduler', 'graph'],
    ['graph', 'sampler'],
    ['sampler', 'tokens'],
    ['scheduler', 'prefix'],
    ['graph', 'pages'],
    ['prefix', 'pages'],
    ['sampler', 'draft'],
  ],
}

const DEPLOYMENT: Diagram = {
  description:
    'A deployment of facet.config.ts becomes a plan, without asking anybody. Up compares what is wanted with what is live, applies what differs, waits until the model answers and writes the endpoint that client and router use.',
  boxes: {
    config: { title: 'facet.config.ts', note: 'deployments', at: [0, 0] },
    plan: { title: 'plan', note: 'memory, machines, dollars', at: [1, 0] },
    want: { title: 'want', note: 'resources, pure', at: [2, 0] },
    diff: { title: 'diff', note: 'actions', at: [3, 0] },
    read: { title: 'read', note: 'what is live', at: [3, 1] },
    apply: { title: 'apply', note: 'only what carries our label', at: [4, 0] },
    wait: { title: 'wait', note: 'READY, or one cause', at: [4, 1] },
    endpoint: { title: '.facet/endpoints.json', note: 'address, no keys', at: [4, 2] },
    router: { title: 'client, router', at: [3, 2] },
  },
  arrows: [
    ['config', 'plan'],
    ['plan', 'want'],
    ['want', 'diff'],
    ['read', 'diff'],
    ['diff', 'apply'],
    ['apply', 'wait'],
    ['wait', 'endpoint'],
    ['endpoint', 'router'],
  ],
}

/** Every drawing by its name in docs/. */
export function toDiagrams(): ReadonlyMap<string, string> {
  return new Map([
    ['architecture-request.svg', toSvg(REQUEST)],
    ['architecture-rooms.svg', toSvg(ROOMS)],
    ['architecture-engine.svg', toSvg(ENGINE)],
    ['architecture-deployment.svg', toSvg(DEPLOYMENT)],
  ])
}

if (import.meta.main) {
  for (const [name, text] of toDiagrams()) writeFileSync(new URL(`../docs/${name}`, import.meta.url), text)
}

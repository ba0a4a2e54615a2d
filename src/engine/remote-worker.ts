/** The engine in a worker, as the worker sees it: loads, tells how far it is, then answers calls. */
import { serveBackend, toWireError } from './bridge.ts'
import { type LoadPlace, loadEngine } from './engine.ts'
import type { WorkerNews, WorkerStart } from './remote.ts'

/** Never rejects: what goes wrong is told on the port. */
export async function serveEngine({ port, options }: WorkerStart, place: LoadPlace): Promise<void> {
  const tell = (news: WorkerNews): void => port.postMessage(news)
  try {
    const engine = await loadEngine({
      ...options,
      ...place,
      onProgress: (progress) => tell({ type: 'progress', progress }),
      onReplaced: ({ failure, graph }) => tell({ type: 'replaced', failure: toWireError(failure), graph }),
    })
    tell({ type: 'loaded' })
    serveBackend(port, engine)
  } catch (error) {
    tell({ type: 'failed', error: toWireError(error) })
    // Until it is ended: a worker with nothing to do exits, and that could overtake what it has said.
    port.addEventListener('message', () => {})
    port.start()
  }
}

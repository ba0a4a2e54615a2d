/** The engine in a worker, as the worker sees it: loads, tells how far it is, then answers calls. */
import type { Engine } from './backend.ts'
import { serveBackend, toWireError } from './bridge.ts'
import { loadEngine } from './engine.ts'
import type { LoadOptions, LoadPlace } from './load.ts'
import type { LoadProgress } from './model-file.ts'
import type { Replacement } from './recovery.ts'
import type { WorkerNews, WorkerStart } from './remote.ts'

/** Loads an engine with the place that it is given, once or, after a repair, once more. */
export type EngineLoad = (place: LoadPlace & Pick<LoadOptions, 'onProgress'>) => Promise<Engine>

/**
 * Never rejects: what goes wrong is told on the port.
 *
 * @param loadAt finds the place of the model and calls `load` with it
 */
export async function serveEngine(
  { port, options }: WorkerStart,
  loadAt: (load: EngineLoad, onProgress: (progress: LoadProgress) => void) => Promise<Engine>,
): Promise<void> {
  const tell = (news: WorkerNews): void => port.postMessage(news)
  const onProgress = (progress: LoadProgress): void => tell({ type: 'progress', progress })
  try {
    const onReplaced = ({ failure, graph }: Replacement): void =>
      tell({ type: 'replaced', failure: toWireError(failure), graph })
    const engine = await loadAt(
      (place) => loadEngine({ ...options, onProgress, onReplaced, ...place }),
      onProgress,
    )
    tell({ type: 'loaded' })
    serveBackend(port, engine)
  } catch (error) {
    tell({ type: 'failed', error: toWireError(error) })
    // Until it is ended: a worker with nothing to do exits, and that could overtake what it has said.
    port.addEventListener('message', () => {})
    port.start()
  }
}

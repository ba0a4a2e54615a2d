/** `gemfacet/engine/node`: the engine in a worker thread, so that the caller's event loop stays free. */
import { FacetError } from '../errors.ts'
import type { Engine, LoadOptions } from './engine.ts'

/**
 * Loads the model directory into a worker thread of its own; `close()` ends the thread.
 *
 * @throws FacetError invalid_model, checksum_mismatch, tokenizer_missing, unsupported (a peer is missing)
 */
export async function loadEngine(_directory: string, _options: LoadOptions = {}): Promise<Engine> {
  throw new FacetError('unsupported', 'The engine is not built yet.')
}

/** The service worker of runtimes.test.ts. */
import { serveInBrowser } from '../../src/edge/entry/browser.ts'
import { ENGINE } from '../runtime/engine-options.ts'

serveInBrowser({ model: 'model', engine: ENGINE })

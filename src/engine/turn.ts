/** One turn of the event loop, on any runtime. */

/**
 * Resolves after everything that already waits in the event loop has run: messages, timers, aborts.
 * A promise alone would not let them in.
 */
export function turn(): Promise<void> {
  return new Promise((resolve) => {
    if (typeof setImmediate === 'function') {
      setImmediate(resolve)
      return
    }
    // Browsers, workerd: a message to ourselves comes back without the 4 ms that nested timers must wait.
    const { port1, port2 } = new MessageChannel()
    port1.onmessage = () => {
      port1.close()
      resolve()
    }
    port2.postMessage(null)
  })
}

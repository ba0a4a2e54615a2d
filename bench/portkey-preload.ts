/**
 * Loaded before Portkey's gateway: it adds headers to the responses it fetches, which are immutable
 * where its HTTP server (@hono/node-server, in the versions that npm installs today) hands them
 * through. Without this every request ends with 500.
 */
const { fetch, Response } = globalThis

globalThis.fetch = async (input, init) => {
  const response = await fetch(input, init)
  return new Response(response.body, response)
}

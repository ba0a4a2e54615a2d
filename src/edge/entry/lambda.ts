/**
 * A handler as an AWS Lambda function, streamed through a function URL (invoke mode RESPONSE_STREAM).
 * Memory: what the function is given, 128 to 10,240 MB, and CPU in proportion (one core at 1,769 MB). A Gemma
 * 2B in 4 bits needs 3,008 MB or more; bring it in a container image (up to 10 GB) or on EFS.
 */
import { streamHandle } from 'hono/aws-lambda'

/** `export const handler = handle(createEdge(...))` */
export { streamHandle as handle }

const MIB = 1024 * 1024
/** Node.js itself, before a model is loaded. */
const RUNTIME_BYTES = 100 * MIB
/** Where the function does not say, as in tests: the least there is. */
const LEAST_MIB = 128

/** What a model may take in this function, for `memoryBytes` of loadEngine. */
export function memoryLimitBytes(
  env: Readonly<Record<string, string | undefined>> = globalThis.process.env,
): number {
  return Number(env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE ?? LEAST_MIB) * MIB - RUNTIME_BYTES
}

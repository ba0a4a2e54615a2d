/** Rendezvous hashing: every key has its own order of all nodes. */

const OFFSET = 0x811c9dc5
const PRIME = 0x01000193

/**
 * How much this node wants this key; the highest has it.
 *
 * Source: Thaler and Ravishankar 1998, "Using Name-Based Mappings to Increase Hit Rates". The hash is
 * FNV-1a over UTF-16 units, finished with MurmurHash3's mixer, without which similar names stay close.
 *
 * @returns an unsigned 32-bit integer
 */
export function weightOf(node: string, key: string): number {
  let hash = OFFSET
  const text = `${node}\n${key}`
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), PRIME)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

/**
 * Whether the comparisons bound every player's strength: only then do the most likely strengths exist.
 *
 * Without ties that is Ford's condition (1957): however the players are parted into two groups, somebody in each has
 * beaten somebody in the other. With Davidson's ties, whose parameter could grow together with the strengths, it also
 * takes a ring of players along which wins outnumber ties.
 */
import { FacetError } from '../../errors.ts'
import type { Tally } from './comparisons.ts'

interface Edge {
  readonly from: number
  readonly to: number
  /** A win says that the winner is at least one threshold of ties stronger, a tie that neither is more. */
  readonly steps: 1 | -1
}

/** @throws FacetError invalid_request: some players cannot be compared; the sentence names them */
export function checkComparable(tally: Tally): void {
  const { players, meetings } = tally
  const edges = edgesOf(tally)
  if (!meetings.some(({ wins, losses }) => wins + losses > 0)) {
    throw refused('All comparisons are ties, which tells no player from another; add some that are decided.')
  }
  const component = strongComponents(players.length, edges)
  const parts = Math.max(...component) + 1
  const linked = weakComponents(players.length, edges)
  const named = (wanted: (player: number) => boolean): string => {
    const found = players.filter((_, player) => wanted(player))
    return found.length > 4 ? `${found.slice(0, 3).join(', ')} and ${found.length - 3} more` : joined(found)
  }
  if (new Set(linked).size > 1) {
    const [inside, outside] = [
      named((at) => linked[at] === linked[0]),
      named((at) => linked[at] !== linked[0]),
    ]
    throw refused(
      `${inside} cannot be compared with ${outside}: they never met, not even through others; add comparisons between them.`,
    )
  }
  if (parts > 1) {
    // One that loses to nobody outside always exists, where there are several.
    const top = component.find(
      (one) => !edges.some(({ from, to }) => component[from] !== one && component[to] === one),
    )
    const [above, below] = [named((at) => component[at] === top), named((at) => component[at] !== top)]
    throw refused(
      `${above} cannot be compared with ${below}: nobody of the latter has won or tied against them, so nothing bounds how much stronger they are; add comparisons.`,
    )
  }
  const order = boundless(players.length, edges)
  if (order) {
    throw refused(
      `${joined(order.map((player) => players[player]!))} cannot be rated: every win goes down this order and ties are rare enough to fit any distance, so nothing bounds how far apart they are; add comparisons.`,
    )
  }
}

function edgesOf({ meetings }: Tally): Edge[] {
  return meetings.flatMap(({ one, other, wins, losses, ties }): Edge[] => [
    ...(wins > 0 ? [{ from: one, to: other, steps: 1 } as const] : []),
    ...(losses > 0 ? [{ from: other, to: one, steps: 1 } as const] : []),
    ...(ties > 0
      ? [{ from: one, to: other, steps: -1 } as const, { from: other, to: one, steps: -1 } as const]
      : []),
  ])
}

/** Number of the strong component of each player: players that reach each other along edges. */
function strongComponents(count: number, edges: readonly Edge[]): number[] {
  const reach = (start: number, ends: readonly ['from' | 'to', 'from' | 'to']): Set<number> => {
    const found = new Set([start])
    for (const player of found) {
      for (const edge of edges) if (edge[ends[0]] === player) found.add(edge[ends[1]])
    }
    return found
  }
  const component: number[] = Array.from({ length: count }, () => -1)
  let next = 0
  for (let player = 0; player < count; player++) {
    if (component[player] !== -1) continue
    const after = reach(player, ['from', 'to'])
    const before = reach(player, ['to', 'from'])
    for (const one of after) if (before.has(one)) component[one] = next
    next++
  }
  return component
}

function weakComponents(count: number, edges: readonly Edge[]): number[] {
  return strongComponents(
    count,
    edges.flatMap((edge) => [edge, { ...edge, from: edge.to, to: edge.from }]),
  )
}

/**
 * The players from strongest to weakest, where strengths may grow without end: no ring has more wins than ties
 * (Bellman and Ford's longest paths end). Undefined: they are bounded, or nothing was tied.
 */
function boundless(count: number, edges: readonly Edge[]): number[] | undefined {
  if (!edges.some(({ steps }) => steps < 0)) return undefined
  const below = new Array<number>(count).fill(0)
  for (let round = 0; round <= count; round++) {
    let changed = false
    for (const { from, to, steps } of edges) {
      if (below[from]! + steps <= below[to]!) continue
      below[to] = below[from]! + steps
      changed = true
    }
    if (!changed) {
      return below.map((_, player) => player).toSorted((one, other) => below[one]! - below[other]!)
    }
  }
  return undefined
}

function joined(names: readonly string[]): string {
  return names.length < 2 ? names.join() : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`
}

function refused(message: string): FacetError {
  return new FacetError('invalid_request', message, { field: 'players' })
}

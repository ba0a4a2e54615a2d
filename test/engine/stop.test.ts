import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createStopFilter } from '../../src/engine/stop.ts'

/** Cuts the whole text at the stop string that is complete first, the longest of those ending together. */
function cut(text: string, stops: readonly string[]): string {
  for (let end = 1; end <= text.length; end++) {
    const starts = stops.filter((stop) => text.slice(0, end).endsWith(stop)).map((stop) => end - stop.length)
    if (starts.length > 0) return text.slice(0, Math.min(...starts))
  }
  return text
}

function filtered(pieces: readonly string[], stops: readonly string[]): { sent: string[]; stopped: boolean } {
  const filter = createStopFilter(stops)
  const sent = pieces.map((piece) => filter.push(piece))
  return { sent: [...sent, filter.flush()], stopped: filter.stopped }
}

const fewLetters = fc.string({ unit: fc.constantFrom('a', 'b', 'c', 'é', '😀'), maxLength: 5 })
const stopList = fc.array(
  fewLetters.filter((text) => text !== ''),
  { maxLength: 4 },
)
const pieceList = fc.array(fewLetters, { maxLength: 12 })

describe('stop strings', () => {
  it('cut a text in pieces where they would cut the whole', () => {
    fc.assert(
      fc.property(pieceList, stopList, (pieces, stops) => {
        const { sent, stopped } = filtered(pieces, stops)
        const text = pieces.join('')
        expect(sent.join('')).toBe(cut(text, stops))
        expect(stopped).toBe(stops.some((stop) => text.includes(stop)))
      }),
      { numRuns: 2000 },
    )
  })

  it('hold back only what may still become one', () => {
    fc.assert(
      fc.property(pieceList, stopList, (pieces, stops) => {
        const filter = createStopFilter(stops)
        let sent = ''
        let seen = ''
        for (const piece of pieces) {
          sent += filter.push(piece)
          seen += piece
          if (filter.stopped) return
          const held = seen.slice(sent.length)
          expect(held === '' || stops.some((stop) => stop !== held && stop.startsWith(held))).toBe(true)
        }
      }),
      { numRuns: 2000 },
    )
  })

  it('may begin again inside themselves', () => {
    expect(filtered(['aa', 'a', 'b', 'c'], ['aab']).sent).toEqual(['', 'a', '', '', ''])
  })

  it('are sent after all when the text ends before they do', () => {
    expect(filtered(['ends with <en', 'd'], ['<end>']).sent).toEqual(['ends with ', '', '<end'])
  })

  it('leave every character whole', () => {
    const { sent } = filtered(['x😀', 'y'], ['😀z'])
    expect(sent).toEqual(['x', '😀y', ''])
  })

  it('change nothing when there are none', () => {
    expect(filtered(['a', 'b'], [])).toEqual({ sent: ['a', 'b', ''], stopped: false })
  })
})

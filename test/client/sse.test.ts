import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type SseEvent, SseParser } from '../../src/client/sse.ts'
import { FacetError } from '../../src/errors.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

function parse(chunks: readonly Uint8Array[], limit?: number): SseEvent[] {
  const parser = new SseParser(limit)
  return chunks.flatMap((chunk) => parser.push(chunk))
}

/** The standard's text read word for word, with the whole stream at hand. */
function naive(stream: Uint8Array): SseEvent[] {
  const events: SseEvent[] = []
  let data = ''
  let type = ''
  // What follows the last line end is an unfinished line.
  for (const line of new TextDecoder()
    .decode(stream)
    .split(/\r\n|\n|\r/)
    .slice(0, -1)) {
    if (line === '') {
      if (data !== '') events.push({ event: type || 'message', data: data.slice(0, -1) })
      data = ''
      type = ''
    } else if (!line.startsWith(':')) {
      const [, field, value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line)!
      if (field === 'data') data += `${value}\n`
      if (field === 'event') type = value
    }
  }
  return events
}

/** Pieces that meet every rule, and every way two of them can touch. */
const stream = fc
  .array(
    fc.oneof(
      { weight: 4, arbitrary: fc.constantFrom('\n', '\r', '\r\n', '\n\n', '\r\r', '\r\n\r\n') },
      {
        weight: 4,
        arbitrary: fc.constantFrom('data:', 'data: ', 'data', 'event: ', 'event', ': ping', 'id: 1'),
      },
      { weight: 2, arbitrary: fc.constantFrom(' ', ':', '\ufeff', 'é', '€', '😀', '\u2028', '{"a":1}') },
      { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 8 }) },
    ),
    { maxLength: 24 },
  )
  .map((pieces) => bytes(pieces.join('')))

describe('server-sent events', () => {
  it('reads fields, comments, several data lines and all three line ends', () => {
    const text = '\ufeff: hello\ndata: a\rdata:b\r\ndata\n\nevent: error\ndata: {}\n\nid: 1\n\ndata:  x\n\n'
    expect(parse([bytes(text)])).toEqual([
      { event: 'message', data: 'a\nb\n' },
      { event: 'error', data: '{}' },
      { event: 'message', data: ' x' },
    ])
  })

  it('drops an event that the end cuts off', () => {
    expect(parse([bytes('data: whole\n\ndata: half\n')])).toEqual([{ event: 'message', data: 'whole' }])
  })

  it('gives an event as soon as its empty line is there, without waiting for a LF after the CR', () => {
    const parser = new SseParser()
    expect(parser.push(bytes('data: a\r\n\r'))).toHaveLength(1)
    expect(parser.push(bytes('\n'))).toHaveLength(0)
  })

  it('reads the same events however the bytes are cut in two', () => {
    fc.assert(
      fc.property(stream, (whole) => {
        const expected = naive(whole)
        for (let at = 0; at <= whole.length; at++) {
          expect(parse([whole.subarray(0, at), whole.subarray(at)])).toEqual(expected)
        }
      }),
      { numRuns: 300 },
    )
  })

  it('reads the same events byte by byte and in random pieces', () => {
    fc.assert(
      fc.property(stream, fc.array(fc.nat(), { maxLength: 8 }), (whole, seeds) => {
        const cuts = [...seeds.map((seed) => seed % (whole.length + 1)), whole.length].sort((a, b) => a - b)
        const pieces = cuts.map((end, index) => whole.subarray(cuts[index - 1] ?? 0, end))
        expect(parse(pieces)).toEqual(naive(whole))
        expect(parse([...whole].map((byte) => Uint8Array.of(byte)))).toEqual(naive(whole))
      }),
      { numRuns: 500 },
    )
  })

  it('replaces broken UTF-8 instead of failing', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (noise) => {
        const whole = Uint8Array.of(...bytes('data: '), ...noise, ...bytes('\n\n'))
        expect(parse([...whole].map((byte) => Uint8Array.of(byte)))).toEqual(naive(whole))
      }),
    )
  })

  it('refuses an event without end, in one line or in many, at the limit and not before', () => {
    const many = 'data: 12345\n'.repeat(3)
    for (const endless of ['data: 1234567890', ': 12345678901234', many]) {
      expect(() => parse([...endless].map(bytes), 15)).toThrow(FacetError)
    }
    expect(parse([bytes('data: 123456789\n\n'.repeat(100))], 15)).toHaveLength(100)
  })
})

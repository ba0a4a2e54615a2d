import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Piece, piecesOf } from '../../src/edge/page/markup.ts'

const shown = (answer: string, open = false): string[] =>
  piecesOf(answer, open).map(({ type, text }) => `${type} ${text}`)

describe('markup in answers', () => {
  it('sets apart a span that is a line, or ends one after a colon', () => {
    expect(shown('`ls -l`')).toEqual(['block ls -l'])
    expect(shown('- List: `ls`\n- Count: `wc`\nEnd')).toEqual([
      'text - List: ',
      'block ls',
      'text - Count: ',
      'block wc',
      'text End',
    ])
  })

  it('keeps a span inside a sentence in its line', () => {
    expect(shown('Use `ls` here, or\nrun `dir`')).toEqual([
      'text Use ',
      'code ls',
      'text  here, or\nrun ',
      'code dir',
    ])
  })

  it('reads fenced code and bold words', () => {
    expect(shown('**Note:** so\n```sh\na `b`\n\nc\n```\nend')).toEqual([
      'bold Note:',
      'text  so\n',
      'block a `b`\n\nc',
      'text end',
    ])
  })

  it('takes an unclosed span for code only while more is to come', () => {
    expect(shown('`find . -na', true)).toEqual(['block find . -na'])
    expect(shown('```\nls\n', true)).toEqual(['block ls\n'])
    expect(shown('`find . -na')).toEqual(['text `find . -na'])
    expect(shown('a ` b\n2 * 3 ** 4 ``')).toEqual(['text a ` b\n2 * 3 ** 4 ``'])
  })

  it('loses no word of any answer, and keeps the order', () => {
    const piece = fc.constantFrom('`', '```', '```sh\n', '**', '\n', ' ', ': ', '- ', 'é', 'ü ß', '<é>', '😀')
    const bare = (text: string): string => text.replace(/[`*\s]/gm, '')
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 20 }), fc.boolean(), (parts, open) => {
        const answer = parts.join('')
        const pieces: readonly Piece[] = piecesOf(answer, open)
        const kept = bare(pieces.map(({ text }) => text).join('\n'))
        // But for a fence's language, which is not shown.
        expect(kept.replaceAll('sh', '')).toBe(bare(answer).replaceAll('sh', ''))
        expect(pieces.every(({ text, type }) => text !== '' || type === 'block')).toBe(true)
      }),
      { numRuns: 2000 },
    )
  })
})

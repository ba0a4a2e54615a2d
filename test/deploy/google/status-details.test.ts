/** Details of an operation's error: as Google packs them, and any other bytes. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { type Packed, unpackDetails } from '../../../deploy/google/status-details.ts'
import { type Detail, GoogleStatus, toRpcStatus } from '../../google-apis/status.ts'

const packed = (...details: readonly Detail[]): readonly Packed[] =>
  (toRpcStatus(new GoogleStatus('UNKNOWN', '', ...details)) as { readonly details: readonly Packed[] })
    .details

const word = fc.string()

it('are what was packed, whatever the texts', () => {
  const info = fc.record({ reason: word, domain: word, metadata: fc.dictionary(word, word) })
  const spent = fc.array(fc.record({ subject: word, description: word }))
  const bad = fc.array(fc.record({ field: word, description: word }))
  fc.assert(
    fc.property(info, bad, spent, (one, fieldViolations, violations) => {
      const found = unpackDetails(
        packed(
          { type: 'ErrorInfo', ...one },
          { type: 'Help' },
          { type: 'BadRequest', fieldViolations },
          { type: 'QuotaFailure', violations },
        ),
      )
      expect(found).toEqual([one, { fieldViolations }, { violations }])
    }),
    { numRuns: 50 },
  )
})

it('are none where they cannot be read', () => {
  const types = ['ErrorInfo', 'BadRequest', 'Other'].map((name) => `type.googleapis.com/google.rpc.${name}`)
  fc.assert(
    fc.property(fc.constantFrom(...types), fc.uint8Array(), (type_url, value) => {
      expect(unpackDetails([{ type_url, value }]).length).toBeLessThan(2)
    }),
  )
  expect(unpackDetails([{}, { type_url: types[0]!, value: 'text' }])).toEqual([])
})

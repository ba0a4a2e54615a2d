import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { classOf, type PersonalDataDetector } from '../../src/eval/personal-data.ts'
import { googleDetector } from '../../src/eval/personal-data-google.ts'
import { localDetector } from '../../src/eval/personal-data-local.ts'
import { FakeGoogle } from '../google-apis/server.ts'
import { denied, GoogleStatus } from '../google-apis/status.ts'

const { signal } = new AbortController()

describe('the local detectors', () => {
  const find = async (text: string) =>
    (await (await localDetector()).find(text, signal)).map((one) => [one.type, one.text])

  it.each([
    ['Write to jane.doe+list@mail.example.org.', 'EMAIL_ADDRESS', 'jane.doe+list@mail.example.org'],
    ['Call (213) 373-4253 now', 'PHONE_NUMBER', '(213) 373-4253'],
    ['Call +44 20 7946 0958 now', 'PHONE_NUMBER', '+44 20 7946 0958'],
    ['card 4111 1111 1111 1111, 12/27', 'CREDIT_CARD_NUMBER', '4111 1111 1111 1111'],
    ['IBAN GB82 WEST 1234 5698 7654 32', 'IBAN_CODE', 'GB82 WEST 1234 5698 7654 32'],
    ['SSN 078-05-1120', 'US_SOCIAL_SECURITY_NUMBER', '078-05-1120'],
    ['from 8.8.4.4:53', 'IP_ADDRESS', '8.8.4.4'],
    ['from 2607:f8b0:4005:805::200e.', 'IP_ADDRESS', '2607:f8b0:4005:805::200e'],
    ['hardware 3c:22:fb:9a:01:7e', 'MAC_ADDRESS', '3c:22:fb:9a:01:7e'],
  ])('find in %j: %s', async (text, type, found) => {
    expect(await find(text)).toEqual([[type, found]])
  })

  it.each([
    'version 1.2.3.4.5 of 2024-01-02',
    'ping 127.0.0.1, 192.168.1.1 and 10.0.0.1',
    'user@host and git@',
    '4111 1111 1111 1112',
    'GB82 WEST 1234 5698 7654 33',
    '000-12-3456, 666-12-3456, 123-00-4567',
    'std::vector<int> a::b::c',
    'every third: items[::3]',
    '`chmod 755 path/to/file`',
    '',
  ])('find nothing in %j', async (text) => {
    expect(await find(text)).toEqual([])
  })

  it('find each in its place, whatever stands around them', async () => {
    const detector = await localDetector()
    const property = fc.asyncProperty(fc.string({ unit: 'binary' }), async (text) => {
      for (const { text: found } of await detector.find(text, signal)) expect(text).toContain(found)
      const wrapped = await detector.find(`${text} jane@example.org `, signal)
      expect(wrapped.map((one) => one.text)).toContain('jane@example.org')
    })
    await fc.assert(property, { numRuns: 200 })
  })
})

describe('the classes of the report', () => {
  const of = (severity: 'high' | 'moderate' | 'low') => ({ type: 'X', severity, text: 'x' })

  it('call the highest severity sensitive, and the two below it personal', () => {
    expect(classOf([of('high'), of('low')])).toBe('sensitive')
    expect(classOf([of('moderate')])).toBe('personal')
    expect(classOf([of('low')])).toBe('personal')
    expect(classOf([])).toBe('none')
  })
})

describe('Sensitive Data Protection', () => {
  let google: FakeGoogle
  let detector: (PersonalDataDetector & { close(): Promise<void> }) | undefined
  let findings: object[]
  const auth = { token: async () => 'token-1', refused: () => {} }
  const open = async () => {
    detector = await googleDetector({ project: 'my-project', auth, clientOptions: google.clientOptions() })
    return detector
  }

  beforeEach(async () => {
    findings = []
    detector = undefined
    google = await FakeGoogle.start({
      from: 'dlp',
      service: 'google.privacy.dlp.v2.DlpService',
      handlers: {
        ListInfoTypes: () => ({
          infoTypes: [
            { name: 'CREDIT_CARD_NUMBER', sensitivityScore: { score: 'SENSITIVITY_HIGH' } },
            { name: 'EMAIL_ADDRESS', sensitivityScore: { score: 'SENSITIVITY_MODERATE' } },
            { name: 'URL', sensitivityScore: { score: 'SENSITIVITY_LOW' } },
            { name: 'DATE' },
          ],
        }),
        InspectContent: () => ({ result: { findings } }),
      },
    })
  })
  afterEach(async () => {
    await detector?.close()
    google.close()
  })

  it.each([
    ['CREDIT_CARD_NUMBER', 'high', 'sensitive'],
    ['EMAIL_ADDRESS', 'moderate', 'personal'],
    ['URL', 'low', 'personal'],
    ['DATE', 'low', 'personal'],
    ['SOMETHING_NEW', 'low', 'personal'],
  ])('finds %s, whose severity is %s: %s', async (name, severity, kind) => {
    findings = [{ infoType: { name }, quote: 'q' }]
    const found = await (await open()).find('some text', signal)
    expect(found).toEqual([{ type: name, severity, text: 'q' }])
    expect(classOf(found)).toBe(kind)
  })

  it('is taken at its word where a finding has a severity of its own', async () => {
    findings = [{ infoType: { name: 'URL', sensitivityScore: { score: 'SENSITIVITY_HIGH' } }, quote: 'q' }]
    expect(classOf(await (await open()).find('some text', signal))).toBe('sensitive')
  })

  it('is asked for the project with the text and its quotes, and not for nothing', async () => {
    const { find } = await open()
    expect(await find('  ', signal)).toEqual([])
    expect(google.count('InspectContent')).toBe(0)
    await find('some text', signal)
    const { request, token } = google.calls.at(-1)!
    expect(token).toBe('token-1')
    expect(request).toMatchObject({
      parent: 'projects/my-project/locations/global',
      inspectConfig: { includeQuote: true },
      item: { value: 'some text' },
    })
  })

  it.each([
    [denied('dlp.content.inspect', 'projects/my-project'), 'forbidden', 'dlp.content.inspect'],
    [new GoogleStatus('RESOURCE_EXHAUSTED', 'Too many requests.'), 'rate_limited', 'Too many requests'],
    [new GoogleStatus('UNAVAILABLE', 'Try later.'), 'unavailable', 'Try later'],
    [new GoogleStatus('INTERNAL', 'Oops.'), 'bad_response', 'Oops'],
  ] as const)('that refuses is told: %s', async (status, code, says) => {
    const { find } = await open()
    google.next('InspectContent', status)
    const refused = find('some text', signal)
    await expect(refused).rejects.toMatchObject({ code })
    await expect(refused).rejects.toThrow(says)
  })

  it('that refuses at the start ends it there', async () => {
    google.next('ListInfoTypes', denied('serviceusage.services.use', 'projects/my-project'))
    await expect(open()).rejects.toMatchObject({ code: 'forbidden' })
  })
})

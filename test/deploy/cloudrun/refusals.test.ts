/** Cloud Run when Google refuses, loses, hangs or fails, and what status makes of it. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { denied, GoogleStatus } from '../../google-apis/status.ts'
import { Refused } from './fake-answer.ts'
import { failure, SPEC, World } from './world.ts'

let world: World

beforeEach(async () => {
  world = await World.start()
})
afterEach(() => world[Symbol.asyncDispose]())

describe('when Google refuses', () => {
  it('names the quota that a JSON API tells of, with its limit', async () => {
    const violations = [{ subject: 'project:1', quotaId: 'SecretsPerProject', quotaValue: '10' }]
    const details = [{ '@type': 'type.googleapis.com/google.rpc.QuotaFailure', violations }]
    const message = 'Quota exceeded.'
    world.rest.before = (request) => {
      if (request === 'POST /v1/projects/my-project/secrets')
        throw new Refused(429, { status: 'RESOURCE_EXHAUSTED', message, details })
    }
    expect((await failure(world.up())).message).toMatch(
      /^QUOTA: Quota SecretsPerProject does not suffice, its limit is 10/,
    )
  })

  it('waits as long as it is told where it is too fast, and goes on', async () => {
    world.google.next('CreateService', new GoogleStatus('RESOURCE_EXHAUSTED', 'Too many requests.'))
    world.google.next(
      'GetService',
      new GoogleStatus('INTERNAL', 'Internal error.'),
      new GoogleStatus('UNAVAILABLE', 'Busy.'),
    )
    let busy = 2
    world.rest.before = (request) => {
      if (request === 'POST /storage/v1/b' && busy-- > 0)
        throw new Refused(429, { message: 'Rate limited.' }, { 'retry-after': '7' })
    }
    const start = world.clock.ms
    expect((await world.up()).finding.cause).toBe('READY')
    expect(world.clock.ms - start).toBeGreaterThan(14_000)
    expect(world.project.changes.filter((one) => one.startsWith('create bucket'))).toHaveLength(1)
  })

  it('does not make a thing twice whose making was not answered', async () => {
    world.google.next('CreateService', 'lost')
    world.google.next('CreateBuild', 'lost')
    const lost = new Set(['POST /v1/projects/my-project/secrets', 'POST /storage/v1/b'])
    world.rest.after = (request) => {
      if (lost.delete(request)) throw new Refused(503, { status: 'UNAVAILABLE', message: 'Lost.' })
    }
    expect((await world.up()).finding.cause).toBe('READY')
    expect(world.project.builds).toHaveLength(1)
    expect(world.project.services.size).toBe(1)
  })

  it.each([
    ['CreateService', denied('run.services.create', 'facet-gemma'), /^IAM: .*roles\/run\.developer/],
    [
      'CreateService',
      new GoogleStatus(
        'RESOURCE_EXHAUSTED',
        'Quota exceeded for total allowable CPU per project per region.',
      ),
      /^QUOTA: Quota total allowable CPU does not suffice/,
    ],
    [
      'CreateService',
      new GoogleStatus('RESOURCE_EXHAUSTED', 'The request was refused.', {
        type: 'QuotaFailure',
        violations: [
          { subject: 'project:my-project', description: "Quota exceeded for quota metric 'Service count'." },
        ],
      }),
      /^QUOTA: Quota Service count does not suffice/,
    ],
    ['CreateBuild', denied('cloudbuild.builds.create', 'p'), /^IAM: .*roles\/cloudbuild\.builds\.editor/],
    [
      'CreateService',
      new GoogleStatus('INVALID_ARGUMENT', 'Invalid value.', {
        type: 'BadRequest',
        fieldViolations: [{ field: 'service.template.containers[0].resources', description: 'too little' }],
      }),
      /^SPEC: What was asked for is refused: Invalid value/,
    ],
    [
      'GetService',
      new GoogleStatus('INTERNAL', 'Internal error.'),
      /The service answered INTERNAL to read Cloud Run/,
    ],
  ] as const)('names the cause: %s, %s', async (method, refusal, told) => {
    world.google.always(method, refusal)
    expect((await failure(world.up())).message).toMatch(told)
    world.google.always(method, 'answer')
    expect((await world.up()).finding.cause).toBe('READY')
  })

  it('takes another token where one has ended on the way, and says so where none is good', async () => {
    world.google.onCall = ({ method }) => {
      if (method === 'CreateBuild') world.google.tokens.delete('token-1')
    }
    world.google.tokens.add('token-2')
    expect((await world.up()).finding.cause).toBe('READY')
    world.google.tokens.clear()
    const { code, message } = await failure(world.status())
    expect(code).toBe('unauthorized')
    expect(message).toMatch(/^IAM: Nobody is signed in, or the sign-in has ended/)
  })

  it('leaves behind a call that hangs', async () => {
    let asked = () => {}
    world.rest.before = (request) => {
      if (request !== 'POST /storage/v1/b') return
      asked()
      return new Promise(() => {})
    }
    asked = () => setImmediate(() => world.clock.expire())
    expect((await failure(world.up())).message).toMatch(
      /longer than 600 s to create Bucket my-project-facet-gemma/,
    )
    world.rest.before = () => {}
    expect((await world.up()).finding.cause).toBe('READY')
  })

  it('says that there is no bucket with the model', async () => {
    expect((await failure(world.up({ ...SPEC, modelDirectory: 'gs://nowhere/gemma' }))).message).toMatch(
      /There is no storage nowhere, for which roles\/storage\.objectViewer on nowhere is wanted/,
    )
  })
})

describe('status', () => {
  it('stops waiting for an image whose build fails, says why, and builds again when asked', async () => {
    world.project.buildFails = 'npm ci: lock file and package.json differ'
    expect((await failure(world.up())).message).toBe(
      'IMAGE: The image could not be built: npm ci: lock file and package.json differ.',
    )
    expect(await world.status()).toMatchObject({ cause: 'IMAGE' })
    const { target, planned } = world.open()
    expect(await target.logs(planned, new AbortController().signal)).toContain(world.project.buildFails)
    world.project.buildFails = undefined
    expect((await world.up()).finding.cause).toBe('READY')
    expect(world.project.builds).toHaveLength(2)
  })

  const listening = 'The user-provided container failed to start and listen on the port defined by PORT=8080.'
  it.each([
    [[], 'PROBE', /server was not ready in time/],
    [['The model directory holds no facet.json.', 'Container called exit(1).'], 'CRASH', /exit code 1/],
    [['Memory limit of 4096 MiB exceeded with 4100 MiB used.'], 'OOM_HOST', /raise memoryGiB/],
    [['gcsfuse: x does not have storage.objects.get access'], 'IAM', /roles\/storage\.objectViewer/],
  ])('tells from the log why a revision does not start: %j', async (lines, cause, told) => {
    world.project.revisionFails = { revisionReason: 'HEALTH_CHECK_CONTAINER_ERROR', message: listening }
    world.project.log.push(...lines)
    const { message } = await failure(world.up())
    expect(message).toMatch(told)
    const finding = await world.status()
    expect(finding.cause).toBe(cause)
    if (finding.cause === 'CRASH') expect(finding.lines).toEqual(lines)
  })

  it('says what runs, what is not there, and that it has sent no request', async () => {
    const told = 'gemma is not up; run facet up gemma.'
    expect((await failure(world.status())).message).toBe(told)
    const stop = new AbortController()
    world.google.onCall = ({ method }) => method === 'CreateBuild' && setImmediate(() => stop.abort())
    await failure(world.up(SPEC, stop.signal))
    world.google.onCall = () => {}
    expect(await world.status()).toMatchObject({
      cause: 'LOADING',
      says: expect.stringMatching(/facet:\w+: Cloud Build: /),
    })
    await world.up()
    expect((await world.status()).says).toMatch(/startup probe has seen the model\. No request is sent/)
    await world.down()
    expect((await failure(world.status())).message).toBe(told)
  })

  it('is ready once it is mended', async () => {
    world.project.revisionFails = { revisionReason: 'HEALTH_CHECK_CONTAINER_ERROR', message: listening }
    await failure(world.up())
    world.project.revisionFails = undefined
    world.keys = 'web:another-key-of-some-length'
    expect((await world.up()).finding.cause).toBe('READY')
  })
})

import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { mkdir, readFile, utimes, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { withLock } from '../../src/pull/lock.ts'
import { pull } from '../../src/pull/pull.ts'
import { Web } from '../../src/pull/web.ts'
import { facet, facetWithin } from '../cli/facet.ts'
import { temporary } from '../convert/checkpoints.ts'
import { COMMIT, fakeHub } from './fake-hub.ts'
import { filesOf, home, quickClock, refusal } from './pulling.ts'

const FILES = filesOf('gemma-mqa')
const web = (): Web => new Web({ clock: quickClock() })
/** A process that has ended. */
const dead = (): number => spawnSync(process.execPath, ['-e', '']).pid

describe('two pulls of one model', () => {
  it('fetch each file once, and both end with it', async () => {
    await using hub = await fakeHub(FILES)
    const user = await home({ HF_ENDPOINT: hub.url })
    const notes: string[] = []
    const options = { ...user.options, onNote: (note: string) => void notes.push(note) }
    const both = await Promise.all([pull('google/tiny', options), pull('google/tiny', options)])
    expect(both[0].dir).toBe(both[1].dir)
    expect(hub.store).toHaveLength(1)
    expect(notes.join()).toContain(`process ${process.pid} on ${hostname()}`)
  })

  it('take turns, whoever dies', async () => {
    const path = join(await temporary(), 'locks/one.lock')
    let inside = 0
    let most = 0
    const work = async (): Promise<void> => {
      most = Math.max(most, ++inside)
      await new Promise((resolve) => setImmediate(resolve))
      inside--
    }
    await mkdir(dirname(path))
    await writeFile(path, JSON.stringify({ pid: dead(), host: hostname(), id: 'a' }))
    await Promise.all(Array.from({ length: 8 }, () => withLock(path, web(), () => undefined, work)))
    expect(most).toBe(1)
    expect(readdirSync(dirname(path))).toEqual([])
  })

  it('wait for a process elsewhere only while it shows that it lives', async () => {
    const path = join(await temporary(), 'one.lock')
    await writeFile(path, JSON.stringify({ pid: 1, host: 'elsewhere', id: 'b' }))
    const now = 1_800_000_000
    await utimes(path, now, now)
    const stop = new AbortController()
    const patient = new Web({ clock: quickClock(), signal: stop.signal })
    const waiting = withLock(
      path,
      patient,
      () => stop.abort(),
      async () => undefined,
    )
    expect((await refusal(waiting)).code).toBe('aborted')
    await utimes(path, now - 3600, now - 3600)
    expect(
      await withLock(
        path,
        web(),
        () => undefined,
        async () => 'done',
      ),
    ).toBe('done')
  })
})

describe('facet pull', () => {
  it('goes on where a killed one stopped, and never shows half a model', async () => {
    await using hub = await fakeHub(FILES)
    const user = await home({ HF_ENDPOINT: hub.url })
    const store = join(user.dir, '.cache/huggingface/hub/models--google--tiny')
    const env = { ...user.env, HF_HOME: '', HF_TOKEN: '', XDG_CACHE_HOME: '' }
    const killed = await facet(['pull', 'google/tiny'], {
      env,
      meanwhile: (child) => {
        hub.fault = ({ path, before }) => {
          if (!path.startsWith('/store')) return undefined
          // The connection breaks twice, and during the pause after it the process is killed.
          if (before === 1) child.kill('SIGKILL')
          return { cutAfter: 700 }
        }
      },
    })
    expect(killed.code).toBe(null)
    expect(existsSync(join(store, 'snapshots', COMMIT, 'model.safetensors'))).toBe(false)
    expect(existsSync(join(store, 'refs/main'))).toBe(false)
    hub.fault = () => undefined
    const again = await facet(['pull', 'google/tiny'], { env })
    expect(again.stderr).toContain('Pulled google/tiny')
    expect(again).toMatchObject({ code: 0, stdout: `${join(store, 'snapshots', COMMIT)}\n` })
    expect(hub.store.at(-1)!.headers.range).toMatch(/^bytes=(700|1400)-$/)
    expect(await readFile(join(again.stdout.trim(), 'model.safetensors'))).toEqual(
      Buffer.from(FILES['model.safetensors']!),
    )
  })

  it('says so when the disk is full, and goes on once it is not', async () => {
    await using hub = await fakeHub(FILES)
    const user = await home({ HF_ENDPOINT: hub.url })
    const env = { ...user.env, HF_HOME: '', HF_TOKEN: '', XDG_CACHE_HOME: '' }
    const full = await facetWithin(64, ['pull', 'google/tiny'], env)
    expect(full).toMatchObject({ code: 1, stdout: '' })
    expect(full.stderr).toMatch(/^facet: .* has a file larger than this system allows/)
    const again = await facet(['pull', 'google/tiny'], { env })
    expect(again.code).toBe(0)
    expect(hub.store.at(-1)!.headers.range).toBe('bytes=65536-')
  })

  it('ends with a sentence when the terms are not accepted, and with --accept-terms goes on', async () => {
    await using hub = await fakeHub(FILES)
    Object.assign(hub.about, { gated: 'auto', cardData: { license: 'gemma' } })
    const user = await home({ HF_ENDPOINT: hub.url })
    const env = { ...user.env, HF_HOME: '', XDG_CONFIG_HOME: '', XDG_CACHE_HOME: '' }
    const out = join(user.dir, 'out')
    const refused = await facet(['pull', 'google/tiny', out, '--quant', 'int4'], { env })
    expect(refused).toMatchObject({ code: 1, stdout: '' })
    expect(refused.stderr).toContain('--accept-terms')
    const done = await facet(['pull', 'google/tiny', out, '--quant', 'int4', '--stream', '--accept-terms'], {
      env,
    })
    expect(done.stderr).toContain('https://ai.google.dev/gemma/terms')
    expect(done).toMatchObject({ code: 0, stdout: `${out}\n` })
    expect(JSON.parse(await readFile(join(out, 'facet.json'), 'utf8')).license).toContain(
      'Gemma Terms of Use',
    )
  })
})

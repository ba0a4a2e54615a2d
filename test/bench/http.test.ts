/** `npm run bench -- http` as people run it. What it measures is not judged here. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import type { HttpReport } from '../../bench/results.ts'
import { toHttpTable } from '../../bench/table.ts'

it('measures Facet beside a bare Hono stream, and loses neither a request nor a token', async () => {
  const main = fileURLToPath(new URL('../../bench/main.ts', import.meta.url))
  const child = spawn(process.execPath, [main, 'http', '--quick', '--json'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'exit'),
  ])
  expect(code, stderr).toBe(0)
  const report: HttpReport = JSON.parse(stdout)
  expect(Object.keys(report)).toEqual(['machine', 'results', 'ratios'])
  for (const ratio of Object.values(report.ratios)) expect(ratio).toBeGreaterThan(0)
  const medians = new Map(report.results.map(({ engine, metric, median }) => [`${engine} ${metric}`, median]))
  for (const engine of ['facet', 'bare hono']) {
    for (const metric of ['requests_failed', 'streams_failed', 'tokens_missing']) {
      expect(medians.get(`${engine} ${metric}`), `${engine} ${metric}`).toBe(0)
    }
    expect(medians.get(`${engine} requests`)).toBeGreaterThan(0)
    expect(medians.get(`${engine} token_p99`)).toBeGreaterThan(0)
  }
  expect(toHttpTable(report)).toContain('requests/s against a bare Hono stream')
})

/** `npm run bench -- http` as people run it. What it measures is not judged here. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
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

it('has its figures in the documentation as they stand in the results', () => {
  const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
  const { results, ratios }: HttpReport = JSON.parse(read('bench/results/http.json'))
  const documentation = read('docs/edge.md')
  const medianOf = (engine: string, metric: string): number | null | undefined =>
    results.find((result) => result.engine === engine && result.metric === metric)?.median
  for (const [row, metric] of [
    ['requests a second', 'requests'],
    ['processor time of a request, ms', 'cpu_per_request'],
    ['way of a token, median, ms', 'token_p50'],
    ['way of a token, 99th percentile, ms', 'token_p99'],
    ['requests failed, tokens missing', 'requests_failed'],
    ['requests failed, tokens missing', 'tokens_missing'],
  ] as const) {
    expect(documentation).toContain(
      `| ${row} | ${medianOf('facet', metric)} | ${medianOf('bare hono', metric)} |`,
    )
  }
  expect(documentation).toContain(`gives ${ratios.requests} of`)
  expect(documentation).toContain(`is ${ratios.heap} of`)
})

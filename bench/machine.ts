/** What a benchmark ran on. */
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os'
import type { Machine } from './results.ts'

/** @param engines versions of what is measured, by name */
export function machineFacts(engines: Readonly<Record<string, string>>): Machine {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    platform: `${process.platform} ${process.arch}`,
    node: process.version,
    engines,
    loadAverage: Math.round(loadavg()[0]! * 100) / 100,
    date: new Date().toISOString().slice(0, 10),
  }
}

/** A worker thread that does its part of a step as far as the first layer, and then ends. */
import { parentPort, workerData } from 'node:worker_threads'
import { instantiate } from '../../../src/engine/wasm/kernels.ts'
import type { ThreadStart } from '../../../src/engine/wasm/threads.ts'

const { module, memory, model, job, thread } = workerData as ThreadStart
/** Field of the job struct that counts orders up. */
const ORDERS = 17

const kernels = instantiate(module, memory)
parentPort?.postMessage('ready')
Atomics.wait(new Int32Array(memory.buffer), job / 4 + ORDERS, 0, 5000)
kernels.embed(model, job, thread)
kernels.runLayer(model, job, 0, thread)

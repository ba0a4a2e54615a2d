/** Dawn, the WebGPU of Chromium, as tests use it in Node. */
import { create, globals } from 'webgpu'

Object.assign(globalThis, globals)

/**
 * Without zeros in workgroup memory: SwiftShader writes them with a statement an element, which is most of the time
 * in which it compiles a kernel. No kernel of ours reads what it has not written, and here none could.
 *
 * One for a file's tests: it must outlive its devices.
 */
export const dawn: GPU = create(['enable-dawn-features=disable_workgroup_init'])

import { defineConfig, type ViteUserConfig } from 'vitest/config'

const config: ViteUserConfig = defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/engine/webgpu/software-gpu.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})

export default config

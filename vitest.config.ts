import { defineConfig, type ViteUserConfig } from 'vitest/config'

const config: ViteUserConfig = defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/engine/webgpu/software-gpu.ts'],
    // Whoever runs the tests has the terms to accept for themselves; what asks for them is tested without this.
    env: { FACET_ACCEPT_TERMS: 'true' },
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})

export default config

import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['src/**/*.test.{ts,tsx}', 'test/**/*.test.{ts,tsx}'],
    // Engine tests open native sessions and prove lifetimes by forcing garbage collection.
    pool: 'forks',
    execArgv: ['--expose-gc'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Two cores: more parallel files than that only make each other slow.
    maxWorkers: 2,
    disableConsoleIntercept: true,
  },
})

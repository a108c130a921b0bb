import { defineConfig } from 'vitest/config';

// unit: pure and instant. house: rules about the tree itself. it: sockets, Redis, ccxt over loopback. e2e: the whole process.
const common = { environment: 'node', restoreMocks: true } as const;
export default defineConfig({
  test: {
    reporters: ['default'],
    projects: [
      {
        test: {
          ...common,
          name: 'unit',
          // Instant on a quiet machine; a busy one must not turn them red.
          testTimeout: 30_000,
          include: ['src/**/*.test.ts', 'load-tests/**/*.test.ts', 'workers/**/*.test.ts'],
          exclude: ['**/*.it.test.ts', '**/*.e2e.test.ts', '**/*.house.test.ts', '**/node_modules/**'],
        },
      },
      { test: { ...common, name: 'house', include: ['src/testing/**/*.house.test.ts'], testTimeout: 60_000 } },
      {
        test: {
          ...common,
          name: 'it',
          include: ['src/**/*.it.test.ts'],
          testTimeout: 60_000,
          hookTimeout: 60_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          ...common,
          name: 'e2e',
          include: ['src/**/*.e2e.test.ts'],
          testTimeout: 180_000,
          hookTimeout: 60_000,
          fileParallelism: false,
        },
      },
    ],
  },
});

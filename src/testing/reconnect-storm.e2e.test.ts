import { afterEach, expect, it } from 'vitest';
import { startServer } from '../../load-tests/lib/server-process.ts';
import type { ServerProcess } from '../../load-tests/lib/server-process.ts';
import { startStormClients } from '../../load-tests/lib/storm-clients.ts';

const CLIENTS = 1_000;
const BACK_BUDGET_MS = 15_000;
const STREAMS = ['BTC/USDT', 'ETH/USDT'].map((symbol) => `book:binance:${symbol}:10:1s`);

let server: ServerProcess | undefined;
afterEach(() => server?.stop());

it(`${CLIENTS} clients who lose their connections in one moment are all back with proved books in time`, async () => {
  server = await startServer();
  const clients = await startStormClients(server.baseUrl, { count: CLIENTS, streams: STREAMS });
  try {
    const { back, missing, wrong, silentGaps } = await clients.cut();
    expect({ missing, wrong, silentGaps }).toEqual({ missing: 0, wrong: 0, silentGaps: 0 });
    expect(Math.max(...back)).toBeLessThan(BACK_BUDGET_MS);
  } finally {
    await clients.stop();
  }
});

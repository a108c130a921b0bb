import { afterEach, describe, expect, it } from 'vitest';
import { createLog } from '../platform/log.ts';
import { until } from '../testing/ccxt-venue.ts';
import { handmadeTape } from '../testing/handmade-tape.ts';
import { RawClient } from '../testing/raw-client.ts';
import { launchSandbox } from './index.ts';
import type { SandboxConfig } from './index.ts';

const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

const lines: Record<string, unknown>[] = [];
const log = createLog({
  level: 'info',
  destination: { write: (line) => void lines.push(JSON.parse(line) as Record<string, unknown>) },
});
const base: SandboxConfig = {
  marketData: 'recording',
  replayDir: null,
  speed: 0,
  loop: false,
  seed: 1,
  venues: null,
  faults: null,
};

function tape(): string {
  const made = handmadeTape('binance', 50);
  cleanups.push(() => made.remove());
  return made.folder;
}

describe('a sandbox in its own thread', () => {
  it('plays a recording, says where everything comes from and logs through the process', async () => {
    const sandbox = await launchSandbox({ ...base, replayDir: tape(), log });
    cleanups.push(() => sandbox.stop());
    expect(sandbox).toMatchObject({ venues: ['binance'], origins: { binance: 'recording' } });
    const ws = await RawClient.open(`${sandbox.url}/binance/stream/ws`);
    ws.send({ method: 'SUBSCRIBE', params: ['btcusdt@depth'], id: 1 });
    await until(() => ws.frames.length === 51, 'the whole tape');
    await until(() => lines.some(({ event }) => event === 'recording_ended'), 'the thread’s log');
    await sandbox.stop();
    await until(() => ws.closeCode !== undefined, 'clients are let go');
    await expect(fetch(`${sandbox.url}/binance/api/v3/ping`)).rejects.toThrow('fetch failed');
  });

  it('simulates the named venues, with faults from the same text', async () => {
    const config = { ...base, marketData: 'simulation', venues: ['kraken'], faults: 'http429 kraken retry=3' } as const;
    const sandbox = await launchSandbox({ ...config, log });
    cleanups.push(() => sandbox.stop());
    expect(sandbox).toMatchObject({ venues: ['kraken'], origins: { kraken: 'simulation' } });
    expect((await fetch(`${sandbox.url}/kraken/0/public/Time`)).status).toBe(429);
  });

  it.each([
    [{ marketData: 'recording' }, 'REPLAY_DIR'],
    [{ marketData: 'recording', replayDir: '/nowhere' }, 'ENOENT'],
    [{ marketData: 'simulation', venues: ['bitmex'] }, 'the sandbox exchange speaks binance'],
    [{ marketData: 'simulation', venues: ['okx'], faults: 'gapp *' }, 'fault rule "gapp *": unknown fault'],
  ] as const)(
    'refuses %o with a reason for the person who configured it, and leaves no thread behind',
    async (config, reason) => {
      await expect(launchSandbox({ ...base, ...config, log })).rejects.toThrow(reason);
    },
  );

  it('refuses a recording that holds none of the wanted venues', async () => {
    const config = { ...base, replayDir: tape(), venues: ['kraken'] };
    await expect(launchSandbox({ ...config, log })).rejects.toThrow('holds binance, not kraken');
  });
});

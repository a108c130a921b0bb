import { expect, test } from 'vitest';
import { startStormClients } from '../../../load-tests/lib/storm-clients.ts';
import { startServer } from './server-rig-contract.ts';

const BOOK = 'book:sandbox:BTC/USDT:25:100ms';
const CLIENTS = 200;

test('every refusal of a storm is counted once by the server, and reaches its client, who comes again', async () => {
  const rig = await startServer({
    handshakes: { capacity: 20, refillPerSecond: 400, waitingLimit: 20 },
    limits: { connectionsPerIp: 2 * CLIENTS },
  });
  rig.market.begin(BOOK);
  const counted = async (): Promise<number> =>
    Number(/^gateway_refused_total\{reason="overloaded"\} (\d+)$/m.exec(await rig.metrics.render())?.[1] ?? 0);
  const clients = await startStormClients(`http://127.0.0.1:${rig.port}`, { count: CLIENTS, streams: [BOOK] });
  try {
    let seen = 0;
    for (const report of [clients.first, await clients.cut(), await clients.cut()]) {
      expect(report).toMatchObject({ missing: 0, wrong: 0, silentGaps: 0, broken: 0 });
      expect(report.refused).toBeGreaterThan(10);
      expect(report.attempts).toBe(CLIENTS + report.refused);
      seen += report.refused;
    }
    expect(await counted()).toBe(seen);
  } finally {
    await clients.stop();
    await rig.end();
  }
});

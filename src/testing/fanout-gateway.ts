// node src/testing/fanout-gateway.ts STREAMS TURNS MESSAGE_BYTES NATIVE(0|1) WINDOW_MS
// Our gateway with its publisher in one process, for load-tests/bench-fanout.ts: real hub, cache, bus and doors.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { attachDoors, createHub } from '../gateway/ws/index.ts';
import { ScriptedMarket } from '../gateway/ws/scripted-market-contract.ts';
import { createMarketDirectory, createStreamCache } from '../modules/market/index.ts';
import { createLog } from '../platform/log.ts';
import { createMetrics } from '../platform/metrics.ts';
import { loadNativeWriter } from '../platform/native-writer/native-writer.ts';
import { RETENTION_LIMITS } from '../protocol/limits.ts';
import { microseconds, serveFanout } from './fanout-pump.ts';

const [streams, turns, messageBytes, native, windowMs] = process.argv.slice(2).map(Number) as [
  number,
  number,
  number,
  number,
  number,
];
/** What an envelope has around the padding. */
const ENVELOPE_BYTES = 167;
const PADDING = 'x'.repeat(Math.max(0, messageBytes - ENVELOPE_BYTES));
const CONNECTIONS = 100_000;

/** Many streams are published by a clock of their own, so that a busy machine does not change what falls into one window. */
let publishedMs = 0;
const ownClock = turns > 1;
const clock = { now: () => Date.now(), monotonic: () => (ownClock ? publishedMs : performance.now()) };
const log = createLog({ level: 'warn' });
const metrics = createMetrics({ processMetrics: false });
const symbols = Array.from({ length: streams }, (_, index) => `S${String(index).padStart(3, '0')}/USDT`);
const market = new ScriptedMarket(symbols);
const { bus } = market;
const names = symbols.map((symbol) => `ticker:sandbox:${symbol}`);
for (const name of names) market.begin(name);
const cache = createStreamCache({ bus, clock, retention: RETENTION_LIMITS, lingerMs: 1_000, metrics, log });
const directory = createMarketDirectory({ bus, venues: ['sandbox'] });
const nativeWriter = native === 1 ? await loadNativeWriter(log) : null;
if (native === 1 && nativeWriter === null) throw new Error('no native writer');
const hub = createHub({
  cache,
  directory,
  clock,
  random: Math.random,
  log,
  metrics,
  nativeWriter,
  flushWindowMs: windowMs,
  limits: { connectionsPerIp: CONNECTIONS },
});
const server = createServer();
const handshakes = { capacity: CONNECTIONS, refillPerSecond: CONNECTIONS, waitingLimit: CONNECTIONS };
attachDoors({ server, hub, log, allowedOrigins: [], trustedProxies: [], handshakes });
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', 4_096, resolve));
await serveFanout({
  port: (server.address() as AddressInfo).port,
  turnsPerRound: turns,
  publish(turn) {
    publishedMs += windowMs / turns;
    for (let index = turn; index < names.length; index += turns) {
      market.update(names[index]!, { t: microseconds(), p: PADDING });
    }
  },
});

// One pass of bench:ingest's live part, in a process of its own: `ingest-live.ts MODE MARKETS URL`, spoken to over Node's IPC channel. Takes depth
// frames from the exchange at URL, with real sockets, clocks and threads, and tells what the whole process has used meanwhile.
import { setTimeout as sleep } from 'node:timers/promises';
import { loadExchangeClass } from '../feed/adapter-ccxt.ts';
import { binance } from '../feed/venues/binance.ts';
import { createMemoryBus } from '../platform/bus-memory.ts';
import { createLog } from '../platform/log.ts';
import { createMetrics } from '../platform/metrics.ts';
import { connectFeed } from '../roles/feed.ts';
import { StopStack } from '../roles/stop-stack.ts';
import { openCcxt, until } from './ccxt-venue.ts';
import { FIRST_ID, symbolsOf } from './depth-source.ts';

/**
 * `ccxt`: ccxt alone, each market watched in a loop that does nothing, as whoever uses ccxt has to. `handler`: ccxt with the product's
 * settings (four sockets instead of fifty), each market asked for once: what a frame costs up to the end of ccxt's handler when nobody
 * takes the book. `whole`: the product's feed, with one stream of each market on a bus in the same process.
 */
export type LiveMode = 'ccxt' | 'handler' | 'whole';
/** `us`: CPU of the process per frame, microseconds. `doubts`: states other than live that a stream told meanwhile. */
export type LiveFigures = Readonly<{
  us: number;
  framesPerSecond: number;
  busyShare: number;
  publishedPerFrame: number;
  doubts: number;
}>;
export type FromPass = Readonly<{ figures: LiveFigures } | { complete: boolean }>;
export type ToPass = Readonly<{ lastIds: number }>;

const VENUE = 'binance';
/** Code that runs ten times a second and market needs this long until it is compiled. */
const WARM_MS = 12_000;
const MEASURED_MS = 10_000;
const CATCH_UP_MS = 3_000;

/** `lastIds`: the exchange's id of the last change taken, all markets together. */
type Path = Readonly<{ lastIds(): number; published(): number; doubts(): number; isLive(): boolean }>;

async function ccxtAlone(symbols: readonly string[], url: string): Promise<Path> {
  const exchange = await openCcxt(VENUE, url);
  const watch = async (symbol: string): Promise<never> => {
    for (;;) await exchange.watchOrderBook(symbol);
  };
  for (const symbol of symbols) void watch(symbol);
  return readBooks(exchange, symbols);
}

async function handlerAlone(symbols: readonly string[], url: string): Promise<Path> {
  const Exchange = await loadExchangeClass(VENUE);
  const http = `${url}/${VENUE}`;
  const exchange = new Exchange({
    ...binance.config!({ http, ws: http.replace(/^http/, 'ws') }),
    enableRateLimit: false,
  });
  await exchange.loadHttpProxyAgent();
  await exchange.loadMarkets();
  for (const symbol of symbols) void exchange.watchOrderBook(symbol);
  return readBooks(exchange, symbols);
}

function readBooks(exchange: Readonly<{ orderbooks: unknown }>, symbols: readonly string[]): Path {
  const books = (): { nonce?: number }[] => Object.values(exchange.orderbooks as Record<string, { nonce?: number }>);
  return {
    lastIds: () => books().reduce((sum, { nonce }) => sum + (nonce ?? 0), 0),
    published: () => 0,
    doubts: () => 0,
    isLive: () => books().filter(({ nonce }) => (nonce ?? 0) > FIRST_ID).length === symbols.length,
  };
}

async function wholePath(symbols: readonly string[], url: string): Promise<Path> {
  const bus = createMemoryBus();
  const last = symbols.map(() => 0);
  let published = 0;
  let doubts = 0;
  for (const [index, symbol] of symbols.entries()) {
    bus.open(`book:${VENUE}:${symbol}:100:100ms`, (delivery) => {
      if (delivery.type !== 'message') return;
      const { message } = delivery;
      published += 1;
      if (message.exchangeSeq !== undefined) last[index] = message.exchangeSeq;
      else if (message.kind === 'state' && (message.data as { status: string }).status !== 'live') doubts += 1;
    });
  }
  const feed = connectFeed([{ venue: VENUE, ccxtId: VENUE, source: 'simulation', sandboxUrl: url }], {
    bus,
    log: createLog({ level: 'silent' }),
    metrics: createMetrics({ processMetrics: false }),
    clock: { now: () => Date.now(), monotonic: () => performance.now() },
    stops: new StopStack(createLog({ level: 'silent' })),
  });
  await feed.start();
  return {
    lastIds: () => last.reduce((sum, id) => sum + id, 0),
    published: () => published,
    doubts: () => doubts,
    isLive: () => last.every((id) => id > FIRST_ID),
  };
}

async function measure(path: Path): Promise<LiveFigures> {
  await until(path.isLive, 'all books live');
  await sleep(WARM_MS);
  const before = { ids: path.lastIds(), published: path.published(), doubts: path.doubts(), ms: performance.now() };
  const cpuBefore = process.cpuUsage();
  await sleep(MEASURED_MS);
  const used = process.cpuUsage(cpuBefore);
  const ms = performance.now() - before.ms;
  const frames = path.lastIds() - before.ids;
  const usedUs = used.user + used.system;
  return {
    us: usedUs / frames,
    framesPerSecond: (frames / ms) * 1_000,
    busyShare: usedUs / 1_000 / ms,
    publishedPerFrame: (path.published() - before.published) / frames,
    doubts: path.doubts() - before.doubts,
  };
}

const [mode, markets, url] = process.argv.slice(2) as [LiveMode, string, string];
const symbols = symbolsOf(Number(markets));
const opened = { ccxt: ccxtAlone, handler: handlerAlone, whole: wholePath };
const path = await opened[mode](symbols, url);
const tell = (message: FromPass): void => void process.send!(message);
process.on('disconnect', () => process.exit());
process.on('message', (message: ToPass) => {
  const giveUpMs = performance.now() + CATCH_UP_MS;
  void (async () => {
    while (path.lastIds() !== message.lastIds && performance.now() < giveUpMs) await sleep(10);
    tell({ complete: path.lastIds() === message.lastIds });
  })();
});
tell({ figures: await measure(path) });

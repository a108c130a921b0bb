// One pass of bench:ingest's saturated part, in a process of its own: `ingest-pass.ts ccxt|whole RECORDING`. Plays depth frames through ccxt alone or through all of the
// ingest path, without sockets and without waiting, and prints microseconds of CPU a frame.
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { loadExchangeClass, tapExchange } from '../feed/adapter-ccxt.ts';
import { BatchPacker, BatchUnpacker, buffersOf } from '../feed/batch-wire.ts';
import type { Clock } from '../kernel/clock.ts';
import type { CcxtClient, CcxtExchange } from '../feed/ccxt-surface.ts';
import { deliver } from '../feed/deliver.ts';
import { marketList } from '../feed/market-list.ts';
import { Outbox } from '../feed/outbox.ts';
import { RequestBudget } from '../feed/request-budget.ts';
import { SessionGauges } from '../feed/session-gauges.ts';
import { FEED_LIMITS } from '../feed/settings.ts';
import type { ThreadEvent } from '../feed/thread-protocol.ts';
import { VenueSession } from '../feed/venue-session.ts';
import { binance } from '../feed/venues/binance.ts';
import type { Upstream } from '../modules/market/index.ts';
import { createSequencer, upstreamKey } from '../modules/market/index.ts';
import { createMemoryBus } from '../platform/bus-memory.ts';
import { createLog } from '../platform/log.ts';
import { createMetrics } from '../platform/metrics.ts';
import type { DepthTape } from './depth-tape.ts';
import { readDepthTape } from './depth-tape.ts';
import { VirtualTime } from './virtual-time.ts';

const VENUE = 'binance';
const WARM_FRAMES = 8_000;
const MEASURED_FRAMES = 12_000;
/** ccxt's promises settle in between. */
const FRAMES_PER_TURN = 50;
/** Snapshots without a network take no longer. */
const SYNCHRONISED_MS = 500;

type ExchangeClass = new (config: object) => CcxtExchange;
type Play = (frame: DepthTape['frames'][number]) => void;

/** ccxt's own class, with snapshots and acknowledgements from the tape in place of a network. */
function offline(tape: DepthTape, exchangeClass: ExchangeClass): ExchangeClass {
  return class extends (exchangeClass as new (config: object) => CcxtExchange & Record<string, unknown>) {
    override client(url: string): CcxtClient {
      const client = super.client(url) as CcxtClient & {
        onConnectedCallback(client: unknown): void;
        connected: { resolve(url: string): void };
      };
      let open = false;
      client.connect = () => {
        if (!open) {
          open = true;
          client.connected.resolve(url);
          client.onConnectedCallback(client);
        }
        return client.connected as unknown as Promise<unknown>;
      };
      client.send = async (message) => {
        setImmediate(() =>
          client.onMessage({ data: JSON.stringify({ result: null, id: (message as { id: number }).id }) }),
        );
        return undefined;
      };
      return client;
    }

    override async fetch(url: string): Promise<unknown> {
      const symbol = new URL(url).searchParams.get('symbol')!;
      return JSON.parse(tape.snapshots.get(symbol)!);
    }
  } as unknown as ExchangeClass;
}

function listMarkets(exchange: CcxtExchange, tape: DepthTape): void {
  const markets = tape.markets.map(({ id, base, quote }) => ({
    id,
    lowercaseId: id.toLowerCase(),
    symbol: `${base}/${quote}`,
    base,
    quote,
    type: 'spot',
    spot: true,
    active: true,
    precision: { price: 0.01, amount: 0.00001 },
    limits: {},
    info: {},
  }));
  exchange.setMarkets(markets);
}

async function ccxtAlone(tape: DepthTape): Promise<{ play: Play; end(): string }> {
  const Exchange = offline(tape, await loadExchangeClass(VENUE));
  const exchange = new Exchange({ ...binance.config!(undefined), enableRateLimit: false });
  listMarkets(exchange, tape);
  for (const { base, quote } of tape.markets) void exchange.watchOrderBook(`${base}/${quote}`);
  await sleep(SYNCHRONISED_MS);
  const sockets = socketsOf(exchange, tape);
  const books = Object.values(exchange.orderbooks);
  if (books.some(({ nonce }) => nonce === undefined)) throw new Error('ccxt has not synchronised its books');
  return { play: ({ id, data }) => sockets.get(id)!.onMessage({ data }), end: () => nonces(exchange) };
}

/** The main thread's half: a sequencer on a memory bus, with one 100 ms stream of every market. */
function makeMainSide(tape: DepthTape, clock: Clock) {
  const bus = createMemoryBus();
  const sequencer = createSequencer({
    bus,
    venues: [{ venue: VENUE, source: 'recording' }],
    clock,
    random: Math.random,
    metrics: createMetrics({ processMetrics: false }),
    log: createLog({ level: 'silent' }),
  });
  bus.serve(sequencer.source);
  const upstreams = new Map<string, Upstream>();
  let published = 0;
  for (const { base, quote } of tape.markets) {
    const upstream: Upstream = { channel: 'book', venue: VENUE, symbol: `${base}/${quote}` };
    upstreams.set(upstreamKey(upstream), upstream);
    bus.open(`book:${VENUE}:${base}/${quote}:100:100ms`, () => (published += 1));
  }
  const take = (event: ThreadEvent): void => {
    if (event.type === 'doubt' || event.type === 'refused') throw new Error(`${event.key}: ${JSON.stringify(event)}`);
    if (event.type !== 'fresh') deliver(sequencer.ingest, upstreams.get(event.key)!, event);
  };
  return { ingest: sequencer.ingest, upstreams, take, published: () => published };
}

/** The venue thread's half. */
function makeSession(tape: DepthTape, exchangeClass: ExchangeClass, clock: Clock, outbox: Outbox): VenueSession {
  const realClock: Clock = { now: () => Date.now(), monotonic: () => performance.now() };
  const budget = new RequestBudget({ rest: PLENTY, subscribe: PLENTY, dial: PLENTY }, realClock, 0);
  return new VenueSession({
    quirks: binance,
    limits: FEED_LIMITS,
    outbox,
    gauges: new SessionGauges(),
    clock,
    random: Math.random,
    post: () => undefined,
    ban: () => undefined,
    async makeExchange(sink) {
      const settings = { venue: VENUE, ccxtId: VENUE, source: 'recording' as const, ccxt: { enableRateLimit: false } };
      const tap = await tapExchange({ exchangeClass, settings, quirks: binance, budget, sink, note: () => undefined });
      listMarkets(tap.exchange, tape);
      tap.exchange.number = String;
      return tap;
    },
  });
}

async function wholePath(tape: DepthTape): Promise<{ play: Play; end(): string }> {
  const time = new VirtualTime(Date.now());
  const { clock } = time;
  const main = makeMainSide(tape, clock);
  const packer = new BatchPacker();
  const unpacker = new BatchUnpacker();
  const outbox: Outbox = new Outbox({
    ...FEED_LIMITS,
    now: () => clock.monotonic(),
    post(batch) {
      const packed = packer.pack(batch);
      outbox.ack(unpacker.unpack(structuredClone(packed, { transfer: buffersOf(packed) }), main.take));
    },
  });
  const session = makeSession(tape, offline(tape, await loadExchangeClass(VENUE)), clock, outbox);
  await session.useNewExchange();
  main.ingest.markets(VENUE, marketList(VENUE, session.exchange!));
  main.ingest.venueState(VENUE, { status: 'live', since: 0, reason: '' });
  for (const upstream of main.upstreams.values()) session.want(upstream);
  await sleep(SYNCHRONISED_MS);
  const sockets = socketsOf(session.exchange!, tape);
  time.install();
  const startMs = clock.monotonic();
  return {
    play({ id, data, atMs }) {
      time.advanceTo(startMs + atMs);
      sockets.get(id)!.onMessage({ data });
      time.endTurn();
    },
    end: () => `${nonces(session.exchange!)} published ${main.published()}`,
  };
}

const PLENTY = { capacity: 100_000, refillPerSecond: 100_000 };

/** Whose frames come on which of ccxt's sockets, by market id. */
function socketsOf(exchange: CcxtExchange, tape: DepthTape): Map<string, CcxtClient> {
  const sockets = new Map<string, CcxtClient>();
  for (const { id, base, quote } of tape.markets) {
    const name = `orderbook::${base}/${quote}`;
    const socket = Object.values(exchange.clients).find(({ subscriptions }) => subscriptions[name] !== undefined);
    if (socket === undefined) throw new Error(`ccxt has not subscribed ${name}`);
    sockets.set(id, socket);
  }
  return sockets;
}

function nonces(exchange: CcxtExchange): string {
  return `${Object.values(exchange.orderbooks).reduce((sum, { nonce }) => sum + (nonce ?? 0), 0)}`;
}

const [mode, source] = process.argv.slice(2);
const frames = WARM_FRAMES + MEASURED_FRAMES;
const tape = readDepthTape(source!, frames);
const path = await (mode === 'ccxt' ? ccxtAlone(tape) : wholePath(tape));
let started = process.cpuUsage();
let played = 0;
const warm = Math.floor(tape.frames.length * (WARM_FRAMES / frames));
for (const frame of tape.frames) {
  if (played === warm) started = process.cpuUsage();
  path.play(frame);
  played += 1;
  if (played % FRAMES_PER_TURN === 0) await turn();
}
const used = process.cpuUsage(started);
console.log(
  JSON.stringify({ us: (used.user + used.system) / (played - warm), frames: played - warm, end: path.end() }),
);
process.exit(0);

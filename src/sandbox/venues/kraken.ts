import { TIMEFRAMES_MS } from '../../protocol/streams.ts';
import type { Timeframe } from '../../protocol/streams.ts';
import { BookView } from '../book-view.ts';
import type { TapeEvent } from '../tape.ts';
import { parseRequest, textList, Topics } from '../venue.ts';
import type { Damage, Deliver, Peer, VenueDriver, VenueServices } from '../venue.ts';
import { createKrakenRest } from './kraken-rest.ts';
import { createKrakenWire, krakenTime } from './kraken-wire.ts';

const BOOK_DEPTHS = [10, 25, 100, 500, 1000];
const DEFAULT_DEPTH = 10;
const SNAPSHOT_TRADES = 50;

/** `depth` for books, `trigger` for tickers. */
type Subscription = Readonly<{ depth: number; trigger: string }>;
type Wanted = Readonly<{ channel: string; interval: number; depth: number; trigger: string; snapshot: unknown }>;

/** WebSocket version 2, public channels. */
export function createKraken(services: VenueServices): VenueDriver {
  const { source } = services;
  const topics = new Topics<Subscription>();
  const wire = createKrakenWire(source);
  /** What clients of one symbol and depth hold, for depths smaller than the book's own. */
  const views = new Map<string, BookView>();
  const { rest, snapshotSymbol } = createKrakenRest(services);
  const known = new Set(source.markets.map((market) => market.symbol));
  const narrow = (depth: number): boolean => depth < (source.bookDepth ?? Number.POSITIVE_INFINITY);

  const sendBook = (peer: Peer, symbol: string, subscription: Subscription): void => {
    const book = source.book(symbol);
    if (book === undefined) return;
    const { depth } = subscription;
    const key = viewKey(symbol, depth);
    const view = views.get(key) ?? new BookView(book, depth);
    if (narrow(depth)) views.set(key, view);
    topics.add(topicOf('book', symbol), peer, subscription);
    peer.send(wire.book(symbol, 'snapshot', view, wire.checksum(symbol, book), services.now()));
  };
  const begin = (peer: Peer, symbol: string, wanted: Wanted): void => {
    const { channel, interval, depth, trigger, snapshot } = wanted;
    if (channel === 'book') {
      const { delayMs } = services.snapshotMood(symbol);
      return services.later(peer, delayMs, () => sendBook(peer, symbol, { depth, trigger }));
    }
    topics.add(topicOf(channel, symbol, interval), peer, { depth, trigger });
    const text =
      channel === 'ticker'
        ? wire.ticker(symbol, 'snapshot', services.now())
        : channel === 'trade' && snapshot === true
          ? wire.trades(source.trades(symbol, SNAPSHOT_TRADES), 'snapshot')
          : undefined;
    if (text !== undefined) peer.send(text);
  };
  const publishBook = (event: Extract<TapeEvent, { kind: 'book' }>, deliver: Deliver, damage?: Damage): void => {
    const { symbol } = event;
    const peers = topics.of(topicOf('book', symbol));
    const book = source.book(symbol);
    if (peers === undefined || book === undefined) return;
    const extra = damage?.bid === undefined ? [] : [damage.bid];
    const checksum = wire.checksum(symbol, book) ^ (damage?.wrongChecksum === true ? 1 : 0);
    const texts = new Map<number, string | undefined>();
    const textFor = (depth: number): string | undefined => {
      if (!narrow(depth) && event.raw !== undefined && damage === undefined) return event.raw;
      const change = narrow(depth) ? views.get(viewKey(symbol, depth))?.follow(book) : event;
      const bids = [...(change?.bids ?? []), ...extra];
      if (change === undefined || bids.length + change.asks.length === 0) return undefined;
      return wire.book(symbol, 'update', { bids, asks: change.asks }, checksum >>> 0, event.ts);
    };
    for (const [peer, { depth }] of peers) {
      if (!texts.has(depth)) texts.set(depth, textFor(depth));
      const text = texts.get(depth);
      if (text !== undefined) deliver(peer, text);
    }
    // A view nobody follows would go stale; it is made again for the next subscriber.
    for (const [key, view] of views) if (keySymbol(key) === symbol && !texts.has(view.depth)) views.delete(key);
  };
  const publish = (event: TapeEvent, deliver: Deliver, damage?: Damage): void => {
    if (event.kind === 'book') return publishBook(event, deliver, damage);
    if (event.raw === '') return;
    const interval = event.kind === 'candle' ? TIMEFRAMES_MS[event.timeframe] / 60_000 : 0;
    const channel = { top: 'ticker', ticker: 'ticker', trade: 'trade', candle: 'ohlc' }[event.kind];
    const peers = topics.of(topicOf(channel, event.symbol, interval));
    if (peers === undefined) return;
    const text = event.raw ?? encode(event, wire);
    if (text === undefined) return;
    for (const [peer, { trigger }] of peers) if (event.kind !== 'top' || trigger === 'bbo') deliver(peer, text);
  };
  return {
    venue: 'kraken',
    rest,
    snapshotSymbol,
    opened: (peer) => peer.send(JSON.stringify(statusFrame(peer))),
    closed: (peer) => topics.drop(peer),
    message: (peer, text) => answer(peer, text, { services, topics, known, begin }),
    publish,
    tick: (deliver) => {
      const listening = new Set([...topics.all()].flatMap(([, peers]) => [...peers.keys()]));
      for (const peer of listening) deliver(peer, '{"channel":"heartbeat"}');
    },
  };
}

type Desk = Readonly<{
  services: VenueServices;
  topics: Topics<Subscription>;
  known: ReadonlySet<string>;
  begin: (peer: Peer, symbol: string, wanted: Wanted) => void;
}>;

function answer(peer: Peer, text: string, desk: Desk): void {
  const request = parseRequest(text);
  const method = request?.['method'];
  const times = { time_in: krakenTime(Date.now()), time_out: krakenTime(Date.now()) };
  const id = request?.['req_id'] === undefined ? {} : { req_id: request['req_id'] };
  const reply = (body: object): void => peer.send(JSON.stringify({ method, ...id, ...body, ...times }));
  if (request === undefined) return reply({ error: 'Malformed request', success: false });
  if (method === 'ping') return peer.send(JSON.stringify({ method: 'pong', ...id, ...times }));
  if (method !== 'subscribe' && method !== 'unsubscribe') return reply({ error: 'Unsupported method', success: false });
  const params = (request['params'] ?? {}) as Readonly<Record<string, unknown>>;
  const wanted = wantedOf(params);
  if (typeof wanted === 'string') return reply({ error: wanted, success: false });
  for (const symbol of textList(params['symbol'])) {
    const problem =
      method === 'subscribe' ? subscribe(peer, symbol, wanted, desk, reply) : leave(peer, symbol, wanted, desk, reply);
    if (problem !== undefined) reply({ error: problem, success: false, symbol });
  }
}

function subscribe(
  peer: Peer,
  symbol: string,
  wanted: Wanted,
  desk: Desk,
  reply: (body: object) => void,
): string | undefined {
  if (!desk.known.has(symbol)) return `Currency pair not supported ${symbol}`;
  const { channel, interval, depth, trigger } = wanted;
  const present = desk.topics.of(topicOf(channel, symbol, interval))?.get(peer);
  if (present !== undefined && present.depth === depth && present.trigger === trigger) return 'Already subscribed';
  if (channel === 'book' && desk.services.snapshotMood(symbol).fail) return 'Internal error: sandbox fault';
  const details = channel === 'book' ? { depth } : channel === 'ohlc' ? { interval } : {};
  reply({ result: { channel, ...details, snapshot: wanted.snapshot !== false, symbol }, success: true });
  desk.begin(peer, symbol, wanted);
  desk.services.subscribed();
  return undefined;
}

function leave(
  peer: Peer,
  symbol: string,
  wanted: Wanted,
  desk: Desk,
  reply: (body: object) => void,
): string | undefined {
  const { channel, interval } = wanted;
  if (!desk.topics.remove(topicOf(channel, symbol, interval), peer)) return 'Subscription Not Found';
  reply({ result: { channel, symbol }, success: true });
  return undefined;
}

/** The request's parameters with their defaults, or what is wrong with them. */
function wantedOf(params: Readonly<Record<string, unknown>>): Wanted | string {
  const { channel, depth = DEFAULT_DEPTH, interval = 1, event_trigger: trigger = 'trades', snapshot } = params;
  if (!['book', 'trade', 'ticker', 'ohlc'].includes(String(channel))) return 'Subscription name invalid';
  if (textList(params['symbol']).length === 0) return 'Symbol(s) not found';
  if (channel === 'book' && !BOOK_DEPTHS.includes(Number(depth))) return 'Subscription depth not supported';
  const minutes = channel === 'ohlc' ? Number(interval) : 0;
  const timeframes = Object.keys(TIMEFRAMES_MS) as Timeframe[];
  if (minutes !== 0 && !timeframes.some((each) => TIMEFRAMES_MS[each] === minutes * 60_000)) {
    return 'Subscription ohlc interval not supported';
  }
  return { channel: String(channel), interval: minutes, depth: Number(depth), trigger: String(trigger), snapshot };
}

function encode(event: TapeEvent, wire: ReturnType<typeof createKrakenWire>): string | undefined {
  switch (event.kind) {
    case 'trade':
      return wire.trades([event], 'update');
    case 'candle':
      return wire.candle(event);
    case 'ticker':
      return wire.ticker(event.symbol, 'update', event.ts);
    case 'top':
      return wire.ticker(event.symbol, 'update', event.ts, event);
    case 'book':
      return undefined;
  }
}

function topicOf(channel: string, symbol: string, interval = 0): string {
  return `${channel} ${symbol} ${channel === 'ohlc' ? interval : 0}`;
}

function viewKey(symbol: string, depth: number): string {
  return `${depth} ${symbol}`;
}

function keySymbol(key: string): string {
  return key.slice(key.indexOf(' ') + 1);
}

function statusFrame(peer: Peer): object {
  const row = { version: '2.0.10', system: 'online', api_version: 'v2', connection_id: peer.id };
  return { channel: 'status', type: 'update', data: [row] };
}

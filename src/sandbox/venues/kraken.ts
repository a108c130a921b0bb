import { TIMEFRAMES_MS } from '../../protocol/streams.ts';
import type { Timeframe } from '../../protocol/streams.ts';
import { BookView } from '../book-view.ts';
import type { TapeEvent } from '../tape.ts';
import { parseRequest, textList, textOf, Topics } from '../venue.ts';
import type { Damage, Deliver, Peer, RestReply, RestRequest, VenueDriver, VenueServices } from '../venue.ts';
import { createKrakenRest } from './kraken-rest.ts';
import { createKrakenWire, krakenTime } from './kraken-wire.ts';

const BOOK_DEPTHS = [10, 25, 100, 500, 1000];
const DEFAULT_DEPTH = 10;
const SNAPSHOT_TRADES = 50;
const SNAPSHOT_CANDLES = 720;
const CHANNELS = ['book', 'trade', 'ticker', 'ohlc'];
const CHANNEL_OF = { book: 'book', top: 'ticker', ticker: 'ticker', trade: 'trade', candle: 'ohlc' } as const;

/** `depth` for books, `trigger` for tickers. */
type Subscription = Readonly<{ depth: number; trigger: string }>;
type Wanted = Subscription & Readonly<{ channel: string; interval: number; snapshot: unknown }>;
type BookEvent = Extract<TapeEvent, { kind: 'book' }>;
type Reply = (body: object) => void;

/** WebSocket version 2, public channels. */
export class KrakenDriver implements VenueDriver {
  readonly venue = 'kraken';
  readonly #services: VenueServices;
  readonly #topics = new Topics<Subscription>();
  readonly #wire: ReturnType<typeof createKrakenWire>;
  readonly #rest: ReturnType<typeof createKrakenRest>;
  readonly #known: ReadonlySet<string>;
  /** What clients of one symbol and depth hold, for depths smaller than the book's own. */
  readonly #views = new Map<string, Map<number, BookView>>();

  constructor(services: VenueServices) {
    this.#services = services;
    this.#wire = createKrakenWire(services.source);
    this.#rest = createKrakenRest(services);
    this.#known = new Set(services.source.markets.map((market) => market.symbol));
  }

  rest(request: RestRequest): RestReply {
    return this.#rest.rest(request);
  }

  snapshotSymbol(request: RestRequest): string | undefined {
    return this.#rest.snapshotSymbol(request);
  }

  opened(peer: Peer): void {
    const row = { version: '2.0.10', system: 'online', api_version: 'v2', connection_id: peer.id };
    peer.send(JSON.stringify({ channel: 'status', type: 'update', data: [row] }));
  }

  closed(peer: Peer): void {
    this.#topics.drop(peer);
  }

  tick(deliver: Deliver): void {
    const listening = new Set([...this.#topics.all()].flatMap(([, peers]) => [...peers.keys()]));
    for (const peer of listening) deliver(peer, '{"channel":"heartbeat"}');
  }

  publish(event: TapeEvent, deliver: Deliver, damage?: Damage): void {
    if (event.kind === 'book') return this.#publishBook(event, deliver, damage);
    if (event.raw === '') return;
    const interval = event.kind === 'candle' ? TIMEFRAMES_MS[event.timeframe] / 60_000 : 0;
    const peers = this.#topics.of(topicOf(CHANNEL_OF[event.kind], event.symbol, interval));
    if (peers === undefined) return;
    const text = event.raw ?? this.#encode(event);
    if (text === undefined) return;
    for (const [peer, { trigger }] of peers) if (event.kind !== 'top' || trigger === 'bbo') deliver(peer, text);
  }

  message(peer: Peer, text: string): void {
    const request = parseRequest(text);
    const method = request?.['method'];
    const times = { time_in: krakenTime(Date.now()), time_out: krakenTime(Date.now()) };
    const id = request?.['req_id'] === undefined ? {} : { req_id: request['req_id'] };
    const reply: Reply = (body) => peer.send(JSON.stringify({ method, ...id, ...body, ...times }));
    if (request === undefined) return reply({ error: 'Malformed request', success: false });
    if (method === 'ping') return peer.send(JSON.stringify({ method: 'pong', ...id, ...times }));
    if (method !== 'subscribe' && method !== 'unsubscribe')
      return reply({ error: 'Unsupported method', success: false });
    const params = (request['params'] ?? {}) as Readonly<Record<string, unknown>>;
    const wanted = wantedOf(params);
    if (typeof wanted === 'string') return reply({ error: wanted, success: false });
    for (const symbol of textList(params['symbol'])) {
      const problem =
        method === 'subscribe'
          ? this.#subscribe(peer, symbol, wanted, reply)
          : this.#leave(peer, symbol, wanted, reply);
      if (problem !== undefined) reply({ error: problem, success: false, symbol });
    }
  }

  /** Answers what is wrong, if anything. */
  #subscribe(peer: Peer, symbol: string, wanted: Wanted, reply: Reply): string | undefined {
    if (!this.#known.has(symbol)) return `Currency pair not supported ${symbol}`;
    const { channel, interval, depth, trigger, snapshot } = wanted;
    const present = this.#topics.of(topicOf(channel, symbol, interval))?.get(peer);
    if (present !== undefined && present.depth === depth && present.trigger === trigger) return 'Already subscribed';
    const mood = channel === 'book' ? this.#services.snapshotMood(symbol) : { delayMs: 0, fail: false };
    if (mood.fail) return 'Internal error: sandbox fault';
    const details = channel === 'book' ? { depth } : channel === 'ohlc' ? { interval } : {};
    reply({ result: { channel, ...details, snapshot: snapshot !== false, symbol }, success: true });
    if (channel === 'book') this.#services.later(peer, mood.delayMs, () => this.#beginBook(peer, symbol, wanted));
    else this.#begin(peer, symbol, wanted);
    this.#services.subscribed();
    return undefined;
  }

  #leave(peer: Peer, symbol: string, { channel, interval }: Wanted, reply: Reply): string | undefined {
    if (!this.#topics.remove(topicOf(channel, symbol, interval), peer)) return 'Subscription Not Found';
    reply({ result: { channel, symbol }, success: true });
    return undefined;
  }

  /** The snapshot and the first change after it belong together: the client joins in the step that sends the snapshot. */
  #beginBook(peer: Peer, symbol: string, { depth, trigger }: Subscription): void {
    const { source, now } = this.#services;
    const book = source.book(symbol);
    if (book === undefined) return;
    const views = this.#views.get(symbol) ?? new Map<number, BookView>();
    const view = views.get(depth) ?? new BookView(book, depth);
    if (this.#narrow(depth)) this.#views.set(symbol, views.set(depth, view));
    this.#topics.add(topicOf('book', symbol), peer, { depth, trigger });
    peer.send(this.#wire.book(symbol, 'snapshot', view, this.#wire.checksum(symbol, book), now()));
  }

  #begin(peer: Peer, symbol: string, { channel, interval, depth, trigger, snapshot }: Wanted): void {
    const { source, now } = this.#services;
    this.#topics.add(topicOf(channel, symbol, interval), peer, { depth, trigger });
    if (channel === 'ticker') {
      const text = this.#wire.ticker(symbol, 'snapshot', now());
      if (text !== undefined) peer.send(text);
    } else if (channel === 'ohlc' && snapshot !== false) {
      const timeframe = timeframeOf(interval)!;
      const candles = source.candles(symbol, timeframe, SNAPSHOT_CANDLES);
      if (candles.length > 0) peer.send(this.#wire.candles(symbol, timeframe, candles, 'snapshot', now()));
    } else if (channel === 'trade' && snapshot === true) {
      peer.send(this.#wire.trades(source.trades(symbol, SNAPSHOT_TRADES), 'snapshot'));
    }
  }

  #publishBook(event: BookEvent, deliver: Deliver, damage?: Damage): void {
    const { symbol } = event;
    const peers = this.#topics.of(topicOf('book', symbol));
    // A view that nobody follows would go stale; the next subscriber makes it anew.
    if (peers === undefined) return void this.#views.delete(symbol);
    const texts = new Map<number, string | undefined>();
    for (const [peer, { depth }] of peers) {
      if (!texts.has(depth)) texts.set(depth, this.#bookText(event, depth, damage));
      const text = texts.get(depth);
      if (text !== undefined) deliver(peer, text);
    }
    for (const depth of this.#views.get(symbol)?.keys() ?? []) {
      if (!texts.has(depth)) this.#views.get(symbol)?.delete(depth);
    }
  }

  /** Undefined: nothing changed within this depth. */
  #bookText(event: BookEvent, depth: number, damage?: Damage): string | undefined {
    const { symbol } = event;
    const book = this.#services.source.book(symbol);
    if (book === undefined) return undefined;
    const change = this.#narrow(depth) ? this.#views.get(symbol)?.get(depth)?.follow(book) : event;
    if (!this.#narrow(depth) && event.raw !== undefined && damage === undefined) return event.raw;
    const bids = [...(change?.bids ?? []), ...(damage?.bid === undefined ? [] : [damage.bid])];
    if (change === undefined || bids.length + change.asks.length === 0) return undefined;
    const checksum = this.#wire.checksum(symbol, book) ^ (damage?.wrongChecksum === true ? 1 : 0);
    return this.#wire.book(symbol, 'update', { bids, asks: change.asks }, checksum >>> 0, event.ts);
  }

  /** A recorded stream of 1000 levels serves a subscriber of 1000 as it is, smaller ones from a view. */
  #narrow(depth: number): boolean {
    return depth < (this.#services.source.bookDepth ?? Number.POSITIVE_INFINITY);
  }

  #encode(event: Exclude<TapeEvent, BookEvent>): string | undefined {
    switch (event.kind) {
      case 'trade':
        return this.#wire.trades([event], 'update');
      case 'candle':
        return this.#wire.candles(event.symbol, event.timeframe, [event], 'update', event.ts);
      case 'ticker':
        return this.#wire.ticker(event.symbol, 'update', event.ts);
      case 'top':
        return this.#wire.ticker(event.symbol, 'update', event.ts, event);
    }
  }
}

/** The request's parameters with their defaults, or what is wrong with them. */
function wantedOf(params: Readonly<Record<string, unknown>>): Wanted | string {
  const { depth = DEFAULT_DEPTH, interval = 1, event_trigger: trigger = 'trades', snapshot } = params;
  const channel = textOf(params['channel']);
  if (!CHANNELS.includes(channel)) return 'Subscription name invalid';
  if (textList(params['symbol']).length === 0) return 'Symbol(s) not found';
  if (channel === 'book' && !BOOK_DEPTHS.includes(Number(depth))) return 'Subscription depth not supported';
  const minutes = channel === 'ohlc' ? Number(interval) : 0;
  if (minutes !== 0 && timeframeOf(minutes) === undefined) return 'Subscription ohlc interval not supported';
  return { channel, interval: minutes, depth: Number(depth), trigger: textOf(trigger), snapshot };
}

function timeframeOf(minutes: number): Timeframe | undefined {
  return (Object.keys(TIMEFRAMES_MS) as Timeframe[]).find((each) => TIMEFRAMES_MS[each] === minutes * 60_000);
}

function topicOf(channel: string, symbol: string, interval = 0): string {
  return `${channel} ${symbol} ${channel === 'ohlc' ? interval : 0}`;
}

import type { TapeBook, TapeEvent, TapeLevel } from '../tape.ts';
import { damaged, parseRequest, textList, Topics } from '../venue.ts';
import type { Damage, Deliver, Peer, RestReply, RestRequest, VenueDriver, VenueServices } from '../venue.ts';
import { createCoinbaseRest, isoTime, productId, productRow, tradeRow } from './coinbase-rest.ts';

/** Subscription channel -> the name that its frames carry. */
const FRAME_CHANNEL = {
  level2: 'l2_data',
  market_trades: 'market_trades',
  ticker: 'ticker',
  ticker_batch: 'ticker_batch',
  candles: 'candles',
  heartbeats: 'heartbeats',
} as const;
type Channel = keyof typeof FRAME_CHANNEL;
const CHANNELS_OF: Readonly<Record<TapeEvent['kind'], readonly Channel[]>> = {
  book: ['level2'],
  trade: ['market_trades'],
  ticker: ['ticker', 'ticker_batch'],
  candle: ['candles'],
  top: [],
};
/** The only candles that this stream knows. */
const CANDLE_TIMEFRAME = '5m';
const GREETING_TRADES = 100;
const ALL = '*';

/** Advanced Trade, public channels. */
export class CoinbaseDriver implements VenueDriver {
  readonly venue = 'coinbase';
  readonly #services: VenueServices;
  readonly #topics = new Topics<undefined>();
  readonly #symbols: ReadonlyMap<string, string>;
  readonly #rest: ReturnType<typeof createCoinbaseRest>;
  /** Frames sent so far per connection: every frame carries its number, recorded ones get it in place of the recorder's. */
  readonly #sequences = new Map<Peer, number>();
  #heartbeats = 0;

  constructor(services: VenueServices) {
    this.#services = services;
    this.#symbols = new Map(services.source.markets.map((market) => [productId(market.symbol), market.symbol]));
    this.#rest = createCoinbaseRest(services, this.#symbols);
  }

  rest(request: RestRequest): RestReply {
    return this.#rest.rest(request);
  }

  snapshotSymbol(request: RestRequest): string | undefined {
    return this.#rest.snapshotSymbol(request);
  }

  opened(peer: Peer): void {
    this.#sequences.set(peer, 0);
  }

  closed(peer: Peer): void {
    this.#topics.drop(peer);
    this.#sequences.delete(peer);
  }

  tick(deliver: Deliver): void {
    const peers = this.#topics.of(topicOf('heartbeats', ALL));
    if (peers === undefined) return;
    this.#heartbeats += 1;
    const current = `${isoTime(this.#services.now()).replace('T', ' ').replace('Z', '')} +0000 UTC`;
    const text = this.#frame('heartbeats', [{ current_time: current, heartbeat_counter: this.#heartbeats }]);
    for (const peer of peers.keys()) deliver(peer, this.#numbered(peer, text));
  }

  publish(original: TapeEvent, deliver: Deliver, damage?: Damage): void {
    if (original.raw === '' || (original.kind === 'candle' && original.timeframe !== CANDLE_TIMEFRAME)) return;
    const event = damaged(original, damage);
    for (const channel of CHANNELS_OF[event.kind]) {
      const peers = this.#topics.of(topicOf(channel, event.symbol));
      if (peers === undefined) continue;
      const name = FRAME_CHANNEL[channel];
      const text = recorded(event, name) ?? this.#frame(name, [this.#update(event)], event.ts);
      for (const peer of peers.keys()) deliver(peer, this.#numbered(peer, text));
    }
  }

  message(peer: Peer, text: string): void {
    const request = parseRequest(text);
    const error = (reason: string): void => peer.send(JSON.stringify({ type: 'error', message: reason }));
    const channel = Object.keys(FRAME_CHANNEL).find((each) => each === request?.['channel']) as Channel | undefined;
    const type = request?.['type'];
    if (type !== 'subscribe' && type !== 'unsubscribe') return error('type is required: subscribe or unsubscribe');
    if (channel === undefined) return error('invalid channel');
    const products = textList(request?.['product_ids']);
    const unknown = products.filter((product) => !this.#symbols.has(product));
    if (unknown.length > 0) return error(`product ids not found: ${unknown.join(', ')}`);
    const symbols = products.map((product) => this.#symbols.get(product)!);
    if (type === 'unsubscribe') return this.#unsubscribe(peer, channel, symbols);
    if (channel === 'level2') return this.#subscribeBooks(peer, symbols, error);
    this.#subscribe(peer, channel, symbols);
  }

  #subscribe(peer: Peer, channel: Exclude<Channel, 'level2'>, symbols: readonly string[]): void {
    const targets = channel === 'heartbeats' ? [ALL] : symbols;
    for (const symbol of targets) this.#topics.add(topicOf(channel, symbol), peer, undefined);
    this.#acknowledge(peer, []);
    for (const symbol of targets) this.#greet(peer, channel, symbol);
    this.#services.subscribed();
  }

  /** Changes follow the snapshot, never precede it: the client joins in the step that sends the snapshot. */
  #subscribeBooks(peer: Peer, symbols: readonly string[], error: (reason: string) => void): void {
    const { snapshotMood, later, source, subscribed } = this.#services;
    const moods = symbols.map((symbol) => ({ symbol, ...snapshotMood(symbol) }));
    if (moods.some(({ fail }) => fail)) return error('internal error: sandbox fault');
    this.#acknowledge(peer, symbols);
    for (const { symbol, delayMs } of moods) {
      later(peer, delayMs, () => {
        const book = source.book(symbol);
        if (book === undefined) return;
        this.#topics.add(topicOf('level2', symbol), peer, undefined);
        this.#say(peer, 'l2_data', [bookEvent(symbol, 'snapshot', book)]);
      });
    }
    subscribed();
  }

  #unsubscribe(peer: Peer, channel: Channel, symbols: readonly string[]): void {
    const gone = symbols.length > 0 ? symbols : [...this.#symbols.values()];
    for (const symbol of [...gone, ALL]) this.#topics.remove(topicOf(channel, symbol), peer);
    this.#acknowledge(peer, []);
  }

  /** Lists what the client is subscribed to; `coming` are books whose snapshot is still on its way. */
  #acknowledge(peer: Peer, coming: readonly string[]): void {
    const subscriptions: Record<string, string[]> = {};
    const topics = [...this.#topics.ofPeer(peer), ...coming.map((symbol) => topicOf('level2', symbol))];
    for (const topic of new Set(topics)) {
      const [channel = '', symbol = ''] = topic.split(' ');
      (subscriptions[channel] ??= []).push(symbol === ALL ? 'heartbeats' : productId(symbol));
    }
    this.#say(peer, 'subscriptions', [{ subscriptions }]);
  }

  #greet(peer: Peer, channel: Channel, symbol: string): void {
    if (channel === 'market_trades') {
      const trades = this.#services.source.trades(symbol, GREETING_TRADES).map(tradeRow).toReversed();
      if (trades.length > 0) this.#say(peer, channel, [{ type: 'snapshot', trades }]);
    } else if (channel === 'ticker' || channel === 'ticker_batch') {
      const row = this.#ticker(symbol);
      if (row !== undefined) this.#say(peer, channel, [{ type: 'snapshot', tickers: [row] }]);
    }
  }

  #update(event: TapeEvent): object {
    switch (event.kind) {
      case 'book':
        return bookEvent(event.symbol, 'update', event);
      case 'trade':
        return { type: 'update', trades: [tradeRow(event)] };
      case 'candle': {
        const { openTs, high, low, open, close, volume, symbol } = event;
        const row = { start: String(openTs / 1000), high, low, open, close, volume, product_id: productId(symbol) };
        return { type: 'update', candles: [row] };
      }
      case 'ticker':
      case 'top':
        return { type: 'update', tickers: [this.#ticker(event.symbol)] };
    }
  }

  /** Undefined while no 24 h figures are known: none are made up. */
  #ticker(symbol: string): object | undefined {
    const ticker = this.#services.source.ticker(symbol);
    return ticker === undefined ? undefined : productRow(this.#services, symbol, ticker);
  }

  #say(peer: Peer, channel: string, events: unknown): void {
    peer.send(this.#numbered(peer, this.#frame(channel, events)));
  }

  #frame(channel: string, events: unknown, ts = this.#services.now()): string {
    return JSON.stringify({ channel, client_id: '', timestamp: isoTime(ts), sequence_num: 0, events });
  }

  #numbered(peer: Peer, text: string): string {
    const sequence = this.#sequences.get(peer) ?? 0;
    this.#sequences.set(peer, sequence + 1);
    return text.replace(/"sequence_num":\d+/, `"sequence_num":${sequence}`);
  }
}

/** The recorded frame if its channel is the asked one: `ticker_batch` is made from recorded `ticker` by its name alone. */
function recorded(event: TapeEvent, name: string): string | undefined {
  if (event.raw === undefined) return undefined;
  return event.kind === 'ticker' ? event.raw.replace(/"channel":"ticker(_batch)?"/, `"channel":"${name}"`) : event.raw;
}

function bookEvent(symbol: string, type: 'snapshot' | 'update', book: Omit<TapeBook, 'lastId'>): object {
  const time = isoTime(book.ts);
  const side = (name: string, levels: readonly TapeLevel[]): object[] =>
    levels.map(([price, size]) => ({ side: name, event_time: time, price_level: price, new_quantity: size }));
  return { type, product_id: productId(symbol), updates: [...side('bid', book.bids), ...side('offer', book.asks)] };
}

function topicOf(channel: Channel, symbol: string): string {
  return `${channel} ${symbol}`;
}

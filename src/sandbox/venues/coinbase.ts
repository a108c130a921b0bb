import type { TapeBook, TapeEvent, TapeLevel } from '../tape.ts';
import { damaged, parseRequest, textList, Topics } from '../venue.ts';
import type { Damage, Deliver, Peer, VenueDriver, VenueServices } from '../venue.ts';
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
const CHANNEL_OF: Readonly<Record<TapeEvent['kind'], readonly Channel[]>> = {
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
export function createCoinbase(services: VenueServices): VenueDriver {
  const { source } = services;
  const topics = new Topics<undefined>();
  const symbols = new Map(source.markets.map((market) => [productId(market.symbol), market.symbol]));
  /** Frames sent so far per connection: every frame carries its number, recorded ones get it in place of the recorder's. */
  const sequences = new Map<Peer, number>();
  let heartbeats = 0;

  const numbered = (peer: Peer, text: string): string => {
    const sequence = sequences.get(peer) ?? 0;
    sequences.set(peer, sequence + 1);
    return text.replace(/"sequence_num":\d+/, `"sequence_num":${sequence}`);
  };
  const frame = (channel: string, events: unknown, ts = services.now()): string =>
    JSON.stringify({ channel, client_id: '', timestamp: isoTime(ts), sequence_num: 0, events });
  const say = (peer: Peer, channel: string, events: unknown): void => peer.send(numbered(peer, frame(channel, events)));
  const greet = (peer: Peer, channel: Channel, symbol: string): void => {
    const book = channel === 'level2' ? source.book(symbol) : undefined;
    if (book !== undefined) say(peer, 'l2_data', [bookEvent(symbol, 'snapshot', book)]);
    if (channel === 'market_trades') {
      const trades = source.trades(symbol, GREETING_TRADES).map(tradeRow).toReversed();
      if (trades.length > 0) say(peer, channel, [{ type: 'snapshot', trades }]);
    }
    const row = channel === 'ticker' || channel === 'ticker_batch' ? tickerRow(services, symbol) : undefined;
    if (row !== undefined) say(peer, channel, [{ type: 'snapshot', tickers: [row] }]);
  };
  const subscribe = (peer: Peer, channel: Channel, products: readonly string[]): void => {
    if (channel === 'heartbeats') topics.add(topicOf(channel, ALL), peer, undefined);
    const asked = products.flatMap((product) => symbols.get(product) ?? []);
    for (const symbol of asked) if (channel !== 'level2') topics.add(topicOf(channel, symbol), peer, undefined);
    say(peer, 'subscriptions', [{ subscriptions: mine(peer, topics, channel === 'level2' ? asked : []) }]);
    for (const symbol of asked) {
      if (channel !== 'level2') greet(peer, channel, symbol);
      // Changes follow the snapshot, never precede it.
      else {
        services.later(peer, services.snapshotMood(symbol).delayMs, () => {
          if (source.book(symbol) === undefined) return;
          topics.add(topicOf(channel, symbol), peer, undefined);
          greet(peer, channel, symbol);
        });
      }
    }
    services.subscribed();
  };
  const message = (peer: Peer, text: string): void => {
    const request = parseRequest(text);
    const error = (reason: string): void => peer.send(JSON.stringify({ type: 'error', message: reason }));
    const channel = Object.keys(FRAME_CHANNEL).find((each) => each === request?.['channel']) as Channel | undefined;
    const type = request?.['type'];
    if (type !== 'subscribe' && type !== 'unsubscribe') return error('type is required: subscribe or unsubscribe');
    if (channel === undefined) return error('invalid channel');
    const products = textList(request?.['product_ids']);
    const unknown = products.filter((product) => !symbols.has(product));
    if (unknown.length > 0) return error(`product ids not found: ${unknown.join(', ')}`);
    if (type === 'subscribe') {
      const failing =
        channel === 'level2' && products.some((product) => services.snapshotMood(symbols.get(product)!).fail);
      return failing ? error('internal error: sandbox fault') : subscribe(peer, channel, products);
    }
    const gone = products.length > 0 ? products.map((product) => symbols.get(product)!) : [...symbols.values()];
    for (const symbol of [...gone, ALL]) topics.remove(topicOf(channel, symbol), peer);
    say(peer, 'subscriptions', [{ subscriptions: mine(peer, topics, []) }]);
  };
  const publish = (original: TapeEvent, deliver: Deliver, damage?: Damage): void => {
    if (original.raw === '' || (original.kind === 'candle' && original.timeframe !== CANDLE_TIMEFRAME)) return;
    const event = damaged(original, damage);
    for (const channel of CHANNEL_OF[event.kind]) {
      const peers = topics.of(topicOf(channel, event.symbol));
      if (peers === undefined) continue;
      const name = FRAME_CHANNEL[channel];
      const text = recorded(event, name) ?? frame(name, [updateOf(event, services)], event.ts);
      for (const peer of peers.keys()) deliver(peer, numbered(peer, text));
    }
  };
  return {
    venue: 'coinbase',
    ...createCoinbaseRest(services, symbols),
    opened: () => {},
    closed: (peer) => {
      topics.drop(peer);
      sequences.delete(peer);
    },
    message,
    publish,
    tick: (deliver) => {
      const peers = topics.of(topicOf('heartbeats', ALL));
      if (peers === undefined) return;
      heartbeats += 1;
      const current = `${new Date(services.now()).toISOString().replace('T', ' ').replace('Z', '')} +0000 UTC`;
      const text = frame('heartbeats', [{ current_time: current, heartbeat_counter: heartbeats }]);
      for (const peer of peers.keys()) deliver(peer, numbered(peer, text));
    },
  };
}

/** The recorded frame if its channel is the asked one: `ticker_batch` is made from recorded `ticker` by its name alone. */
function recorded(event: TapeEvent, name: string): string | undefined {
  if (event.raw === undefined) return undefined;
  return event.kind === 'ticker' ? event.raw.replace(/"channel":"ticker(_batch)?"/, `"channel":"${name}"`) : event.raw;
}

function updateOf(event: TapeEvent, services: VenueServices): object {
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
      return { type: 'update', tickers: [tickerRow(services, event.symbol)] };
  }
}

function bookEvent(symbol: string, type: 'snapshot' | 'update', book: Omit<TapeBook, 'lastId'>): object {
  const time = isoTime(book.ts);
  const side = (name: string, levels: readonly TapeLevel[]): object[] =>
    levels.map(([price, size]) => ({ side: name, event_time: time, price_level: price, new_quantity: size }));
  return { type, product_id: productId(symbol), updates: [...side('bid', book.bids), ...side('offer', book.asks)] };
}

/** Undefined while no 24 h figures are known: none are made up. */
function tickerRow(services: VenueServices, symbol: string): object | undefined {
  const ticker = services.source.ticker(symbol);
  return ticker === undefined ? undefined : productRow(services, symbol, ticker);
}

/** What a client is subscribed to, by channel; `coming` are books whose snapshot is still on its way. */
function mine(peer: Peer, topics: Topics<undefined>, coming: readonly string[]): Record<string, string[]> {
  const channels: Record<string, string[]> = {};
  const all = [...topics.ofPeer(peer), ...coming.map((symbol) => topicOf('level2', symbol))];
  for (const topic of new Set(all)) {
    const [channel = '', symbol = ''] = topic.split(' ');
    (channels[channel] ??= []).push(symbol === ALL ? 'heartbeats' : productId(symbol));
  }
  return channels;
}

function topicOf(channel: Channel, symbol: string): string {
  return `${channel} ${symbol}`;
}

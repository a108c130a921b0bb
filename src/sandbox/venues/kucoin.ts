import { TIMEFRAMES_MS } from '../../protocol/streams.ts';
import { KUCOIN_TIMEFRAMES } from '../decoders/kucoin.ts';
import type { TapeEvent, TapeTicker } from '../tape.ts';
import { damaged, parseRequest, textOf, Topics } from '../venue.ts';
import type { Damage, Deliver, Peer, RestReply, RestRequest, VenueDriver, VenueServices } from '../venue.ts';
import { createKucoinRest, idOf } from './kucoin-rest.ts';

const CHANNELS: readonly string[] = [
  '/market/level2',
  '/market/match',
  '/market/ticker',
  '/market/snapshot',
  '/market/candles',
  '/spotMarket/level1',
];
/** Channels that can be asked for as `:all`. */
const ALL_CHANNELS: readonly string[] = ['/market/ticker', '/market/snapshot'];

/** Spot, classic WebSocket: topics `channel:SYMBOL[,SYMBOL ...]`. */
export class KucoinDriver implements VenueDriver {
  readonly venue = 'kucoin';
  readonly #services: VenueServices;
  readonly #topics = new Topics<undefined>();
  readonly #symbols: ReadonlyMap<string, string>;
  readonly #rest: ReturnType<typeof createKucoinRest>;

  constructor(services: VenueServices) {
    this.#services = services;
    this.#symbols = new Map(services.source.markets.map((market) => [idOf(market.symbol), market.symbol]));
    this.#rest = createKucoinRest(services, this.#symbols);
  }

  rest(request: RestRequest): RestReply {
    return this.#rest.rest(request);
  }

  snapshotSymbol(request: RestRequest): string | undefined {
    return this.#rest.snapshotSymbol(request);
  }

  opened(peer: Peer): void {
    peer.send(JSON.stringify({ id: peer.query.get('connectId') ?? String(peer.id), type: 'welcome' }));
  }

  closed(peer: Peer): void {
    this.#topics.drop(peer);
  }

  /** The exchange sends nothing by itself; clients ping it. */
  tick(): void {}

  publish(original: TapeEvent, deliver: Deliver, damage?: Damage): void {
    if (original.raw === '') return;
    const event = damaged(original, damage);
    const id = idOf(event.symbol);
    const send = (topic: string, subject: string, data: () => object): void => {
      const peers = this.#topics.of(topic);
      if (peers === undefined) return;
      // A recorded frame belongs to the one topic it was recorded on.
      const raw = event.raw?.includes(`"topic":"${topic}"`) === true ? event.raw : undefined;
      const text = raw ?? JSON.stringify({ topic, type: 'message', subject, data: data() });
      for (const peer of peers.keys()) deliver(peer, text);
    };
    switch (event.kind) {
      case 'book':
        return send(`/market/level2:${id}`, 'trade.l2update', () => bookData(event, id));
      case 'trade':
        return send(`/market/match:${id}`, 'trade.l3match', () => tradeData(event, id));
      case 'top':
        send(`/spotMarket/level1:${id}`, 'level1', () => ({ asks: event.ask, bids: event.bid, timestamp: event.ts }));
        send(`/market/ticker:${id}`, 'trade.ticker', () => topData(event, this.#services));
        return send('/market/ticker:all', id, () => topData(event, this.#services));
      case 'ticker':
        send(`/market/snapshot:${id}`, 'trade.snapshot', () => snapshotData(event, id));
        return send('/market/snapshot:all', id, () => snapshotData(event, id));
      case 'candle': {
        const topic = `/market/candles:${id}_${KUCOIN_TIMEFRAMES[event.timeframe]}`;
        return send(topic, 'trade.candles.update', () => candleData(event, id));
      }
    }
  }

  message(peer: Peer, text: string): void {
    const request = parseRequest(text);
    const id = textOf(request?.['id']);
    const error = (code: number, data: string): void => peer.send(JSON.stringify({ id, type: 'error', code, data }));
    const type = request?.['type'];
    if (type === 'ping') return peer.send(JSON.stringify({ id, type: 'pong', timestamp: Date.now() * 1000 }));
    if (type !== 'subscribe' && type !== 'unsubscribe') return error(415, 'type is not supported');
    const topic = textOf(request?.['topic']);
    const wanted = topicsOf(topic, this.#symbols);
    if (wanted === undefined) return error(404, `topic ${topic} is not found`);
    for (const each of wanted) {
      if (type === 'subscribe') this.#topics.add(each, peer, undefined);
      else this.#topics.remove(each, peer);
    }
    if (request?.['response'] !== false) peer.send(JSON.stringify({ id, type: 'ack' }));
    if (type === 'subscribe') this.#services.subscribed();
  }
}

/** `/market/level2:BTC-USDT,ETH-USDT` -> one topic per symbol; undefined for what the exchange would not find. */
function topicsOf(topic: string, symbols: ReadonlyMap<string, string>): string[] | undefined {
  const [channel = '', targets = ''] = topic.split(':');
  if (!CHANNELS.includes(channel) || targets === '') return undefined;
  const list = targets.split(',');
  const fine = list.every((target) => {
    if (target === 'all') return ALL_CHANNELS.includes(channel);
    const [id = '', timeframe] = target.split('_');
    const timed =
      timeframe === undefined ? channel !== '/market/candles' : Object.values(KUCOIN_TIMEFRAMES).includes(timeframe);
    return symbols.has(id) && timed;
  });
  return fine ? list.map((target) => `${channel}:${target}`) : undefined;
}

type Of<K extends TapeEvent['kind']> = Extract<TapeEvent, { kind: K }>;

function bookData(event: Of<'book'>, id: string): object {
  const sequence = String(event.lastId);
  const rows = (levels: Of<'book'>['bids']): string[][] => levels.map(([price, size]) => [price, size, sequence]);
  return {
    changes: { asks: rows(event.asks), bids: rows(event.bids) },
    sequenceStart: event.firstId,
    sequenceEnd: event.lastId,
    symbol: id,
    time: event.ts,
  };
}

function tradeData(event: Of<'trade'>, id: string): object {
  const { price, size, takerSide: side, id: tradeId } = event;
  // Nanoseconds as text: more digits than a double holds.
  const time = `${event.ts}000000`;
  return { symbol: id, sequence: tradeId, side, size, price, time, type: 'match', tradeId };
}

function topData(event: Of<'top'>, services: VenueServices): object {
  const [bestBid, bestBidSize] = event.bid;
  const [bestAsk, bestAskSize] = event.ask;
  const trade = services.source.trades(event.symbol, 1)[0];
  // Before the first trade of a tape there is no last price to tell.
  const last = trade === undefined ? {} : { price: trade.price, size: trade.size };
  return { bestAsk, bestAskSize, bestBid, bestBidSize, ...last, sequence: String(event.id), time: event.ts };
}

function snapshotData(event: TapeTicker & { ts: number }, id: string): object {
  const [baseCurrency, quoteCurrency] = id.split('-');
  const change = Number(event.last) - Number(event.open);
  const data = {
    symbol: id,
    symbolCode: id,
    baseCurrency,
    quoteCurrency,
    trading: true,
    buy: Number(event.bid),
    sell: Number(event.ask),
    high: Number(event.high),
    low: Number(event.low),
    vol: Number(event.baseVolume),
    volValue: Number(event.quoteVolume),
    changePrice: change,
    changeRate: Number(event.open) === 0 ? 0 : change / Number(event.open),
    lastTradedPrice: Number(event.last),
    datetime: event.ts,
  };
  return { sequence: String(event.ts), data };
}

function candleData(event: Of<'candle'>, id: string): object {
  const { openTs, open, close, high, low, volume, quoteVolume, timeframe, ts } = event;
  // The last push of a candle bears a time inside of it.
  const time = Math.min(ts, openTs + TIMEFRAMES_MS[timeframe] - 1);
  const candles = [String(openTs / 1000), open, close, high, low, volume, quoteVolume];
  return { symbol: id, candles, time: time * 1_000_000 };
}

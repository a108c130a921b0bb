import { TIMEFRAMES_MS } from '../../protocol/streams.ts';
import { KUCOIN_TIMEFRAMES } from '../decoders/kucoin.ts';
import type { TapeEvent, TapeTicker } from '../tape.ts';
import { damaged, parseRequest, Topics } from '../venue.ts';
import type { Damage, Deliver, Peer, VenueDriver, VenueServices } from '../venue.ts';
import { createKucoinRest, idOf } from './kucoin-rest.ts';

const CHANNELS = [
  '/market/level2',
  '/market/match',
  '/market/ticker',
  '/market/snapshot',
  '/market/candles',
  '/spotMarket/level1',
] as const;
/** Channels that can be asked for as `:all`. */
const ALL_CHANNELS: readonly string[] = ['/market/ticker', '/market/snapshot'];

/** Spot, classic WebSocket: topics `channel:SYMBOL[,SYMBOL ...]`. */
export function createKucoin(services: VenueServices): VenueDriver {
  const { source } = services;
  const topics = new Topics<undefined>();
  const symbols = new Map(source.markets.map((market) => [idOf(market.symbol), market.symbol]));

  const send = (topic: string, subject: string, data: () => object, deliver: Deliver, raw?: string): void => {
    const peers = topics.of(topic);
    if (peers === undefined) return;
    const text = raw ?? JSON.stringify({ topic, type: 'message', subject, data: data() });
    for (const peer of peers.keys()) deliver(peer, text);
  };
  const publish = (original: TapeEvent, deliver: Deliver, damage?: Damage): void => {
    if (original.raw === '') return;
    const event = damaged(original, damage);
    const id = idOf(event.symbol);
    // A recorded frame belongs to the one topic it was recorded on.
    const rawFor = (topic: string): string | undefined =>
      event.raw?.includes(`"topic":"${topic}"`) === true ? event.raw : undefined;
    const each = (topic: string, subject: string, data: () => object): void =>
      send(topic, subject, data, deliver, rawFor(topic));
    switch (event.kind) {
      case 'book':
        return each(`/market/level2:${id}`, 'trade.l2update', () => bookData(event, id));
      case 'trade':
        return each(`/market/match:${id}`, 'trade.l3match', () => tradeData(event, id));
      case 'top':
        each(`/spotMarket/level1:${id}`, 'level1', () => ({ asks: event.ask, bids: event.bid, timestamp: event.ts }));
        each(`/market/ticker:${id}`, 'trade.ticker', () => topData(event, services));
        return each('/market/ticker:all', id, () => topData(event, services));
      case 'ticker':
        each(`/market/snapshot:${id}`, 'trade.snapshot', () => snapshotData(event, id));
        return each('/market/snapshot:all', id, () => snapshotData(event, id));
      case 'candle':
        return each(`/market/candles:${id}_${KUCOIN_TIMEFRAMES[event.timeframe]}`, 'trade.candles.update', () =>
          candleData(event, id),
        );
    }
  };
  const message = (peer: Peer, text: string): void => {
    const request = parseRequest(text);
    const id = String(request?.['id'] ?? '');
    const error = (code: number, data: string): void => peer.send(JSON.stringify({ id, type: 'error', code, data }));
    const type = request?.['type'];
    if (type === 'ping') return peer.send(JSON.stringify({ id, type: 'pong', timestamp: Date.now() * 1000 }));
    if (type !== 'subscribe' && type !== 'unsubscribe') return error(415, 'type is not supported');
    const topic = String(request?.['topic'] ?? '');
    const wanted = topicsOf(topic, symbols);
    if (wanted === undefined) return error(404, `topic ${topic} is not found`);
    for (const each of wanted) {
      if (type === 'subscribe') topics.add(each, peer, undefined);
      else topics.remove(each, peer);
    }
    if (request?.['response'] !== false) peer.send(JSON.stringify({ id, type: 'ack' }));
    if (type === 'subscribe') services.subscribed();
  };
  return {
    venue: 'kucoin',
    ...createKucoinRest(services, symbols),
    opened: (peer) =>
      peer.send(JSON.stringify({ id: peer.query.get('connectId') ?? String(peer.id), type: 'welcome' })),
    closed: (peer) => topics.drop(peer),
    message,
    publish,
    // The exchange sends nothing by itself; clients ping it.
    tick: () => {},
  };
}

/** `/market/level2:BTC-USDT,ETH-USDT` -> one topic per symbol; undefined for what the exchange would not find. */
function topicsOf(topic: string, symbols: ReadonlyMap<string, string>): string[] | undefined {
  const [channel = '', targets = ''] = topic.split(':');
  const known: readonly string[] = CHANNELS;
  if (!known.includes(channel) || targets === '') return undefined;
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
    ...{ baseCurrency, quoteCurrency, trading: true },
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

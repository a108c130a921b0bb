import { crc32 } from '../../kernel/crc32.ts';
import { OKX_TIMEFRAMES } from '../decoders/okx.ts';
import type { TapeBook, TapeEvent, TapeLevel } from '../tape.ts';
import { damaged, parseRequest, Topics } from '../venue.ts';
import type { Damage, Deliver, Peer, VenueDriver, VenueServices } from '../venue.ts';
import { createOkxRest, instIdOf, tickerRow, tradeRow } from './okx-rest.ts';

/** Levels in the snapshot of the `books` channel. */
const BOOK_LEVELS = 400;
const SMALL_BOOK_LEVELS = 5;
const CHECKSUM_LEVELS = 25;
const CHANNELS: readonly string[] = [
  ...['books', 'books5', 'bbo-tbt', 'trades', 'tickers'],
  ...Object.values(OKX_TIMEFRAMES).map((name) => `candle${name}`),
];

/** Public and business sockets of version 5. */
export function createOkx(services: VenueServices): VenueDriver {
  const { source } = services;
  const topics = new Topics<undefined>();
  const symbols = new Map(source.markets.map((market) => [instIdOf(market.symbol), market.symbol]));
  const previousIds = new Map<string, number>();

  const push = (channel: string, instId: string, rows: readonly object[], action?: string): string =>
    JSON.stringify({ arg: { channel, instId }, ...(action === undefined ? {} : { action }), data: rows });
  const bookRow = (book: TapeBook, full: TapeBook, previousId: number, damage?: Damage): object => ({
    asks: book.asks.map(levelRow),
    bids: book.bids.map(levelRow),
    ts: String(book.ts),
    checksum: okxChecksum(full) ^ (damage?.wrongChecksum === true ? 1 : 0),
    // Recordings from before numbered books must not begin to number them in the middle.
    ...(source.numbered === false ? {} : { prevSeqId: previousId, seqId: book.lastId }),
  });
  const greet = (peer: Peer, channel: string, symbol: string): void => {
    const instId = instIdOf(symbol);
    const book = source.book(symbol);
    if (channel === 'books' && book !== undefined) {
      const bids = book.bids.slice(0, BOOK_LEVELS);
      const top = { ...times(book), bids, asks: book.asks.slice(0, BOOK_LEVELS) };
      peer.send(push(channel, instId, [bookRow(top, book, -1)], 'snapshot'));
    }
    const row = channel === 'tickers' ? tickerRow(services, symbol) : undefined;
    if (row !== undefined) peer.send(push(channel, instId, [row]));
  };
  const publish = (original: TapeEvent, deliver: Deliver, damage?: Damage): void => {
    const event = damaged(original, damage);
    const { symbol } = event;
    const instId = instIdOf(symbol);
    const send = (channel: string, text: () => string | undefined): void => {
      const peers = topics.of(topicOf(channel, instId));
      const frame = peers === undefined ? undefined : text();
      if (frame !== undefined) for (const peer of peers!.keys()) deliver(peer, frame);
    };
    if (event.kind === 'book') {
      const previousId = event.previousId ?? previousIds.get(symbol) ?? event.firstId - 1;
      previousIds.set(symbol, event.lastId);
      const full = source.book(symbol) ?? event;
      const raw = damage === undefined ? event.raw : undefined;
      send('books', () => raw ?? push('books', instId, [bookRow(event, full, previousId, damage)], 'update'));
      return send('books5', () => push('books5', instId, [smallBook(full, instId)]));
    }
    if (event.raw === '') return;
    switch (event.kind) {
      case 'trade':
        return send('trades', () => event.raw ?? push('trades', instId, [tradeRow(event)]));
      case 'top': {
        const row = { asks: [levelRow(event.ask)], bids: [levelRow(event.bid)], ts: String(event.ts), seqId: event.id };
        return send('bbo-tbt', () => event.raw ?? push('bbo-tbt', instId, [row]));
      }
      case 'ticker':
        return send('tickers', () => event.raw ?? push('tickers', instId, [tickerRow(services, symbol, event.ts)!]));
      case 'candle': {
        const channel = `candle${OKX_TIMEFRAMES[event.timeframe]}`;
        const { openTs, open, high, low, close, volume, quoteVolume, closed } = event;
        const row = [String(openTs), open, high, low, close, volume, quoteVolume, quoteVolume, closed ? '1' : '0'];
        return send(channel, () => event.raw ?? push(channel, instId, [row]));
      }
    }
  };
  return {
    venue: 'okx',
    ...createOkxRest(services),
    opened: () => {},
    closed: (peer) => topics.drop(peer),
    message: (peer, text) => {
      if (text === 'ping') return peer.send('pong');
      answer(peer, text, { services, topics, symbols, greet });
    },
    publish,
    // The exchange sends nothing by itself; clients ping it.
    tick: () => {},
  };
}

type Desk = Readonly<{
  services: VenueServices;
  topics: Topics<undefined>;
  symbols: ReadonlyMap<string, string>;
  greet: (peer: Peer, channel: string, symbol: string) => void;
}>;

function answer(peer: Peer, text: string, { services, topics, symbols, greet }: Desk): void {
  const request = parseRequest(text);
  const id = request?.['id'] === undefined ? {} : { id: request['id'] };
  const reply = (body: object): void => peer.send(JSON.stringify({ ...id, ...body, connId: `sandbox${peer.id}` }));
  const op = request?.['op'];
  const args = request?.['args'];
  if ((op !== 'subscribe' && op !== 'unsubscribe') || !Array.isArray(args)) {
    return reply({ event: 'error', code: '60012', msg: `Illegal request: ${text.slice(0, 200)}` });
  }
  for (const value of args as readonly unknown[]) {
    const { channel, instId } = (value ?? {}) as Readonly<Record<string, unknown>>;
    const symbol = symbols.get(String(instId));
    if (symbol === undefined || !CHANNELS.includes(String(channel))) {
      const msg = `Wrong URL or channel:${String(channel)},instId:${String(instId)} doesn't exist. Please use the correct URL, channel and parameters referring to API document.`;
      reply({ event: 'error', code: '60018', msg });
      continue;
    }
    const topic = topicOf(String(channel), String(instId));
    const mood =
      channel === 'books' && op === 'subscribe' ? services.snapshotMood(symbol) : { delayMs: 0, fail: false };
    if (mood.fail) {
      reply({ event: 'error', code: '63999', msg: 'Internal system error: sandbox fault' });
      continue;
    }
    reply({ event: op, arg: { channel, instId } });
    if (op === 'unsubscribe') {
      topics.remove(topic, peer);
      continue;
    }
    services.later(peer, mood.delayMs, () => {
      if (channel === 'books' && services.source.book(symbol) === undefined) return;
      topics.add(topic, peer, undefined);
      greet(peer, String(channel), symbol);
    });
    services.subscribed();
  }
}

/** Best 25 levels, bid and ask in turn, as `price:size` joined by colons; signed. */
export function okxChecksum(book: Readonly<{ bids: readonly TapeLevel[]; asks: readonly TapeLevel[] }>): number {
  const parts: string[] = [];
  for (let index = 0; index < CHECKSUM_LEVELS; index++) {
    for (const level of [book.bids[index], book.asks[index]]) if (level !== undefined) parts.push(level[0], level[1]);
  }
  return crc32(parts.join(':')) | 0;
}

function smallBook(book: TapeBook, instId: string): object {
  const asks = book.asks.slice(0, SMALL_BOOK_LEVELS).map(levelRow);
  const bids = book.bids.slice(0, SMALL_BOOK_LEVELS).map(levelRow);
  return { asks, bids, instId, ts: String(book.ts), seqId: book.lastId };
}

function levelRow([price, size]: TapeLevel): string[] {
  // The third is deprecated and always 0; the number of orders is not on a tape.
  return [price, size, '0', Number(size) === 0 ? '0' : '1'];
}

function times(book: TapeBook): Pick<TapeBook, 'lastId' | 'ts'> {
  return { lastId: book.lastId, ts: book.ts };
}

function topicOf(channel: string, instId: string): string {
  return `${channel} ${instId}`;
}

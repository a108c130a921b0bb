import { crc32 } from '../../kernel/crc32.ts';
import { BookView } from '../book-view.ts';
import { OKX_TIMEFRAMES } from '../decoders/okx.ts';
import type { TapeBook, TapeCandle, TapeEvent, TapeLevel } from '../tape.ts';
import { parseRequest, textOf, Topics } from '../venue.ts';
import type { Damage, Deliver, Peer, RestReply, RestRequest, VenueDriver, VenueServices } from '../venue.ts';
import { createOkxRest, instIdOf, tickerRow, tradeRow } from './okx-rest.ts';
import { timeframeNamed } from './query.ts';

/** Levels in the snapshot of the `books` channel. */
const BOOK_LEVELS = 400;
const SMALL_BOOK_LEVELS = 5;
const CHECKSUM_LEVELS = 25;
const CHANNELS: readonly string[] = [
  'books',
  'books5',
  'bbo-tbt',
  'trades',
  'tickers',
  ...Object.values(OKX_TIMEFRAMES).map((name) => `candle${name}`),
];

/** Public and business sockets of version 5. */
export class OkxDriver implements VenueDriver {
  readonly venue = 'okx';
  readonly #services: VenueServices;
  readonly #topics = new Topics<undefined>();
  readonly #symbols: ReadonlyMap<string, string>;
  readonly #rest: ReturnType<typeof createOkxRest>;
  readonly #previousIds = new Map<string, number>();
  /** The 400 levels that subscribers hold of a book that may be deeper; a recorded stream has been cut by the exchange. */
  readonly #views = new Map<string, BookView>();

  constructor(services: VenueServices) {
    this.#services = services;
    this.#symbols = new Map(services.source.markets.map((market) => [instIdOf(market.symbol), market.symbol]));
    this.#rest = createOkxRest(services);
  }

  rest(request: RestRequest): RestReply {
    return this.#rest.rest(request);
  }

  snapshotSymbol(request: RestRequest): string | undefined {
    return this.#rest.snapshotSymbol(request);
  }

  opened(): void {}

  closed(peer: Peer): void {
    this.#topics.drop(peer);
  }

  /** The exchange sends nothing by itself; clients ping it. */
  tick(): void {}

  publish(event: TapeEvent, deliver: Deliver, damage?: Damage): void {
    const instId = instIdOf(event.symbol);
    const send = (channel: string, text: () => string): void => {
      const peers = this.#topics.of(topicOf(channel, instId));
      if (peers === undefined) return;
      const frame = text();
      for (const peer of peers.keys()) deliver(peer, frame);
    };
    if (event.kind === 'book') return this.#publishBook(event, send, damage);
    if (event.raw === '') return;
    const rows = (channel: string, row: () => unknown): void =>
      send(channel, () => event.raw ?? frameOf(channel, instId, [row()]));
    switch (event.kind) {
      case 'trade':
        return rows('trades', () => tradeRow(event));
      case 'top':
        return rows('bbo-tbt', () => topRow(event));
      case 'ticker':
        return rows('tickers', () => tickerRow(this.#services, event.symbol, event.ts));
      case 'candle':
        return rows(`candle${OKX_TIMEFRAMES[event.timeframe]}`, () => candleRow(event));
    }
  }

  message(peer: Peer, text: string): void {
    if (text === 'ping') return peer.send('pong');
    const request = parseRequest(text);
    const id = request?.['id'] === undefined ? {} : { id: request['id'] };
    const reply = (body: object): void => peer.send(JSON.stringify({ ...id, ...body, connId: `sandbox${peer.id}` }));
    const op = request?.['op'];
    const args = request?.['args'];
    if ((op !== 'subscribe' && op !== 'unsubscribe') || !Array.isArray(args)) {
      return reply({ event: 'error', code: '60012', msg: `Illegal request: ${text.slice(0, 200)}` });
    }
    for (const value of args as readonly unknown[]) {
      const arg = (value ?? {}) as Readonly<Record<string, unknown>>;
      const channel = textOf(arg['channel']);
      const instId = textOf(arg['instId']);
      const symbol = this.#symbols.get(instId);
      if (symbol === undefined || !CHANNELS.includes(channel)) {
        const hint = 'Please use the correct URL, channel and parameters referring to API document.';
        const msg = `Wrong URL or channel:${channel},instId:${instId} doesn't exist. ${hint}`;
        reply({ event: 'error', code: '60018', msg });
      } else if (op === 'subscribe') {
        this.#subscribe(peer, channel, symbol, reply);
      } else {
        this.#topics.remove(topicOf(channel, instId), peer);
        reply({ event: op, arg: { channel, instId } });
      }
    }
  }

  #subscribe(peer: Peer, channel: string, symbol: string, reply: (body: object) => void): void {
    const { snapshotMood, later, subscribed } = this.#services;
    const mood = channel === 'books' ? snapshotMood(symbol) : { delayMs: 0, fail: false };
    if (mood.fail) return reply({ event: 'error', code: '63999', msg: 'Internal system error: sandbox fault' });
    reply({ event: 'subscribe', arg: { channel, instId: instIdOf(symbol) } });
    later(peer, mood.delayMs, () => this.#begin(peer, channel, symbol));
    subscribed();
  }

  /** The snapshot and the first change after it belong together: the client joins in the step that sends the snapshot. */
  #begin(peer: Peer, channel: string, symbol: string): void {
    const instId = instIdOf(symbol);
    const book = this.#services.source.book(symbol);
    if (channel === 'books' && book === undefined) return;
    this.#topics.add(topicOf(channel, instId), peer, undefined);
    if (channel === 'books' && book !== undefined) {
      const view = this.#views.get(symbol) ?? new BookView(book, BOOK_LEVELS);
      if (this.#services.source.origin === 'simulation') this.#views.set(symbol, view);
      const { lastId, ts } = book;
      const row = this.#bookRow({ lastId, ts, bids: view.bids, asks: view.asks }, book, -1);
      return peer.send(frameOf(channel, instId, [row], 'snapshot'));
    }
    const row = this.#greeting(channel, symbol, book);
    if (row !== undefined) peer.send(frameOf(channel, instId, [row]));
  }

  /** What a subscriber is told at once; undefined where there is nothing to tell. */
  #greeting(channel: string, symbol: string, book: TapeBook | undefined): unknown {
    if (channel === 'tickers') return tickerRow(this.#services, symbol);
    if (channel === 'books5') return book === undefined ? undefined : smallBook(book, instIdOf(symbol));
    const timeframe = timeframeNamed(OKX_TIMEFRAMES, channel.replace(/^candle/, ''));
    const candle = timeframe === undefined ? undefined : this.#services.source.candles(symbol, timeframe, 1)[0];
    return candle === undefined ? undefined : candleRow({ ...candle, closed: false });
  }

  #publishBook(
    event: Extract<TapeEvent, { kind: 'book' }>,
    send: (channel: string, text: () => string) => void,
    damage?: Damage,
  ): void {
    const { symbol, lastId, ts } = event;
    const instId = instIdOf(symbol);
    const previousId = event.previousId ?? this.#previousIds.get(symbol) ?? event.firstId - 1;
    this.#previousIds.set(symbol, lastId);
    // A view that nobody follows would go stale; the next subscriber makes it anew.
    if (this.#topics.of(topicOf('books', instId)) === undefined) this.#views.delete(symbol);
    const full = this.#services.source.book(symbol) ?? event;
    send('books', () => {
      if (event.raw !== undefined && damage === undefined) return event.raw;
      const { bids, asks } = this.#views.get(symbol)?.follow(full) ?? event;
      // Sent even when nothing changed within 400 levels: the ids must chain for every subscriber.
      const change = { lastId, ts, asks, bids: damage?.bid === undefined ? bids : [...bids, damage.bid] };
      return frameOf('books', instId, [this.#bookRow(change, full, previousId, damage)], 'update');
    });
    send('books5', () => frameOf('books5', instId, [smallBook(full, instId)]));
  }

  #bookRow(book: TapeBook, full: TapeBook, previousId: number, damage?: Damage): object {
    return {
      asks: book.asks.map(levelRow),
      bids: book.bids.map(levelRow),
      ts: String(book.ts),
      checksum: okxChecksum(full) ^ (damage?.wrongChecksum === true ? 1 : 0),
      // Recordings from before numbered books must not begin to number them in the middle.
      ...(this.#services.source.numbered === false ? {} : { prevSeqId: previousId, seqId: book.lastId }),
    };
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

function frameOf(channel: string, instId: string, rows: readonly unknown[], action?: string): string {
  return JSON.stringify({ arg: { channel, instId }, ...(action === undefined ? {} : { action }), data: rows });
}

function topRow(event: Extract<TapeEvent, { kind: 'top' }>): object {
  return { asks: [levelRow(event.ask)], bids: [levelRow(event.bid)], ts: String(event.ts), seqId: event.id };
}

function candleRow(candle: TapeCandle & { closed: boolean }): string[] {
  const { openTs, open, high, low, close, volume, quoteVolume, closed } = candle;
  return [String(openTs), open, high, low, close, volume, quoteVolume, quoteVolume, closed ? '1' : '0'];
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

function topicOf(channel: string, instId: string): string {
  return `${channel} ${instId}`;
}

import { crc32 } from '../../kernel/crc32.ts';
import { OKX_TIMEFRAMES } from '../decoders/okx.ts';
import type { TapeBook, TapeEvent, TapeLevel } from '../tape.ts';
import { damaged, parseRequest, textOf, Topics } from '../venue.ts';
import type { Damage, Deliver, Peer, RestReply, RestRequest, VenueDriver, VenueServices } from '../venue.ts';
import { createOkxRest, instIdOf, tickerRow, tradeRow } from './okx-rest.ts';

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

  publish(original: TapeEvent, deliver: Deliver, damage?: Damage): void {
    const event = damaged(original, damage);
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
    const book = channel === 'books' ? this.#services.source.book(symbol) : undefined;
    if (channel === 'books' && book === undefined) return;
    this.#topics.add(topicOf(channel, instId), peer, undefined);
    if (book !== undefined) {
      const { lastId, ts } = book;
      const top = { lastId, ts, bids: book.bids.slice(0, BOOK_LEVELS), asks: book.asks.slice(0, BOOK_LEVELS) };
      peer.send(frameOf(channel, instId, [this.#bookRow(top, book, -1)], 'snapshot'));
    }
    const row = channel === 'tickers' ? tickerRow(this.#services, symbol) : undefined;
    if (row !== undefined) peer.send(frameOf(channel, instId, [row]));
  }

  #publishBook(
    event: Extract<TapeEvent, { kind: 'book' }>,
    send: (channel: string, text: () => string) => void,
    damage?: Damage,
  ): void {
    const { symbol } = event;
    const instId = instIdOf(symbol);
    const previousId = event.previousId ?? this.#previousIds.get(symbol) ?? event.firstId - 1;
    this.#previousIds.set(symbol, event.lastId);
    const full = this.#services.source.book(symbol) ?? event;
    const raw = damage === undefined ? event.raw : undefined;
    send('books', () => raw ?? frameOf('books', instId, [this.#bookRow(event, full, previousId, damage)], 'update'));
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

function candleRow(event: Extract<TapeEvent, { kind: 'candle' }>): string[] {
  const { openTs, open, high, low, close, volume, quoteVolume, closed } = event;
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

import { BookState } from '../../protocol/book.ts';
import { SNAPSHOT_LIMITS } from '../../protocol/limits.ts';
import type { Market } from '../../protocol/market.ts';
import type { Candle, Level, MessageKind, StreamMessage, StreamState, Trade } from '../../protocol/messages.ts';
import { parseStreamName } from '../../protocol/streams.ts';
import type { StreamHead, StreamSource } from '../../platform/bus.ts';
import { MemoryBus } from '../../platform/bus-memory.ts';

/** A venue's streams as a sequencer would publish them, each message by a word of the test. */
export const VENUE = 'sandbox';
export const SYMBOLS = ['BTC/USDT', 'ETH/USDT', 'SOL/USDT', '１２３４５６/USDT'];
export const LIVE: StreamState = { status: 'live', since: 1, reason: '' };

type Line = {
  readonly name: string;
  readonly channel: string;
  epoch: string;
  seq: number;
  state: StreamState;
  hasData: boolean;
  readonly book: BookState;
  trades: Trade[];
  candles: Candle[];
  latest: unknown;
};

export class ScriptedMarket implements StreamSource {
  readonly bus = new MemoryBus();
  readonly opened: string[] = [];
  readonly closed: string[] = [];
  readonly #lines = new Map<string, Line>();
  #epochs = 0;
  #tradeIds = 0;
  /** Streams that nobody serves: their head never comes. */
  readonly silent = new Set<string>();

  constructor(extraSymbols: readonly string[] = []) {
    const markets = this.line(`markets:${VENUE}`);
    markets.hasData = true;
    markets.seq = 1;
    markets.latest = { markets: [...SYMBOLS, ...extraSymbols].map(marketOf) };
    this.bus.serve(this);
  }

  open(stream: string): StreamHead | null {
    if (this.silent.has(stream)) return null;
    if (!stream.startsWith('markets:') && !parseStreamName(stream).ok) return null;
    this.opened.push(stream);
    const line = this.line(stream);
    return {
      position: { epoch: line.epoch, seq: line.seq },
      state: line.state,
      snapshot: line.hasData ? this.#message(line, 'snapshot', contentOf(line)) : null,
    };
  }

  close(stream: string): void {
    this.closed.push(stream);
  }

  line(name: string): Line {
    let line = this.#lines.get(name);
    if (line === undefined) {
      line = {
        name,
        channel: name.slice(0, name.indexOf(':')),
        epoch: this.#nextEpoch(),
        seq: 0,
        state: { status: 'resyncing', since: 1, reason: 'starting' },
        hasData: false,
        book: new BookState(),
        trades: [],
        candles: [],
        latest: null,
      };
      this.#lines.set(name, line);
    }
    return line;
  }

  /** First data, or a new epoch: a snapshot at seq 1 and `live` at seq 2, as the sequencer begins. */
  begin(name: string): void {
    const line = this.line(name);
    if (line.seq > 0) {
      line.epoch = this.#nextEpoch();
      line.seq = 0;
    }
    line.hasData = true;
    if (line.channel === 'book' && line.book.bids.length === 0) {
      line.book.reset({ bids: [['100', '1']], asks: [['101', '1']] });
    }
    line.latest ??= { last: '0' };
    this.#publish(line, 'snapshot', contentOf(line));
    this.state(name, LIVE);
  }

  state(name: string, state: StreamState): void {
    const line = this.line(name);
    line.state = state;
    this.#publish(line, 'state', state);
  }

  delta(name: string, bids: Level[], asks: Level[], withChecksum = true): void {
    const line = this.line(name);
    line.book.apply({ bids, asks });
    const checksum = withChecksum ? { checksum: line.book.checksum() } : {};
    this.#publish(line, 'delta', { bids, asks, ...checksum });
  }

  trade(name: string): Trade {
    const line = this.line(name);
    this.#tradeIds += 1;
    const trade: Trade = { id: String(this.#tradeIds), price: '100', size: '1', side: 'buy', ts: this.#tradeIds };
    line.trades = [...line.trades, trade].slice(-SNAPSHOT_LIMITS.trades);
    this.#publish(line, 'update', { trades: [trade] });
    return trade;
  }

  candle(name: string, candle: Candle): void {
    const line = this.line(name);
    line.candles = [...line.candles.filter(({ ts }) => ts !== candle.ts), candle].slice(-SNAPSHOT_LIMITS.candles);
    this.#publish(line, 'update', { candles: [candle], origin: 'exchange' });
  }

  /** `data` as it is: for tickers, venues and messages of any size. */
  update(name: string, data: unknown): void {
    const line = this.line(name);
    line.latest = data;
    this.#publish(line, 'update', data);
  }

  list(venue: string, symbols: readonly string[]): void {
    this.update(`markets:${venue}`, { markets: symbols.map(marketOf) });
  }

  /** A message that the bus loses: the next one shows the cache that something is missing. */
  skip(name: string): void {
    this.line(name).seq += 1;
  }

  #publish(line: Line, kind: MessageKind, data: unknown): void {
    line.seq += 1;
    this.bus.publish(this.#message(line, kind, data));
  }

  #message(line: Line, kind: MessageKind, data: unknown): StreamMessage {
    return { stream: line.name, epoch: line.epoch, seq: line.seq, kind, ingestTs: Date.now(), data };
  }

  #nextEpoch(): string {
    this.#epochs += 1;
    return `epoch${this.#epochs}`;
  }
}

function contentOf(line: Line): unknown {
  switch (line.channel) {
    case 'book':
      return { bids: line.book.bids.slice(), asks: line.book.asks.slice(), checksum: line.book.checksum() };
    case 'trades':
      return { trades: line.trades };
    case 'candles':
      return { candles: line.candles, origin: 'exchange' };
    default:
      return line.latest;
  }
}

function marketOf(symbol: string): Market {
  const [base = '', quote = ''] = symbol.split('/');
  return {
    venue: VENUE,
    symbol,
    exchangeSymbol: `${base}${quote}`,
    base,
    quote,
    type: 'spot',
    active: true,
    priceDecimals: 2,
    sizeDecimals: 8,
    tickSize: '0.01',
    lotSize: null,
    minSize: null,
    minNotional: null,
  };
}

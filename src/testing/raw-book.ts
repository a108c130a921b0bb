import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

/**
 * Order books rebuilt straight from the lines of a recording, by each exchange's own published rules and by nothing else of this
 * project: the yardstick that sandbox, feed and client are measured with. Knows nothing of src/sandbox on purpose.
 */
export type RawLevel = readonly [price: string, size: string];
export type RawStep = Readonly<{
  /** The exchange's own id of the market: `BTCUSDT`, `BTC/USD`, `BTC-USD`. */
  market: string;
  /** The exchange's update id; where it numbers nothing, the number of the change since the snapshot (0). */
  id: number;
  numbered: boolean;
  /** The frame's own checksum, where it carries one. */
  checksum?: number;
  /** Best levels first. True only until the next step is taken. */
  top(levels: number): Readonly<{ bids: RawLevel[]; asks: RawLevel[] }>;
}>;

type Line = { t: string; url?: string; raw?: string; ts_us: number };
type Change = {
  market: string;
  snapshot: boolean;
  bids: RawLevel[];
  asks: RawLevel[];
  first?: number;
  last?: number;
  checksum?: number;
};

/** Kraken's clients drop what falls out of the depth they subscribed to; the captures were taken at 1000. */
const KRAKEN_DEPTH = 1000;

class Sides {
  readonly bids = new Map<number, RawLevel>();
  readonly asks = new Map<number, RawLevel>();
  id = 0;

  apply(change: Change): void {
    if (change.snapshot) {
      this.bids.clear();
      this.asks.clear();
    }
    for (const [side, levels] of [[this.bids, change.bids] as const, [this.asks, change.asks] as const]) {
      for (const level of levels) {
        const price = Number(level[0]);
        if (Number(level[1]) === 0) side.delete(price);
        else side.set(price, level);
      }
    }
  }

  cut(depth: number): void {
    for (const [side, sign] of [[this.bids, -1] as const, [this.asks, 1] as const]) {
      if (side.size <= depth) continue;
      const prices = [...side.keys()].toSorted((a, b) => sign * (a - b));
      for (const price of prices.slice(depth)) side.delete(price);
    }
  }

  top(levels: number): { bids: RawLevel[]; asks: RawLevel[] } {
    const best = (side: Map<number, RawLevel>, sign: number): RawLevel[] =>
      [...side.keys()]
        .toSorted((a, b) => sign * (a - b))
        .slice(0, levels)
        .map((price) => side.get(price)!);
    return { bids: best(this.bids, -1), asks: best(this.asks, 1) };
  }
}

/** Every state that a recorded book goes through, from its first snapshot on. Throws when the recording itself has a gap. */
export function* reconstruct(folder: string): Generator<RawStep> {
  const lines = readLines(folder);
  const books = new Map<string, Sides>();
  // REST snapshots are requested after the stream is joined: changes that came earlier wait for them in the exchange's recipe,
  // which is the same as knowing the snapshot beforehand and skipping what it already holds.
  const snapshots = new Map<string, Change>();
  for (const line of lines) {
    const change = line.t === 'http' ? restSnapshot(line.url ?? '', line.raw ?? '') : undefined;
    if (change !== undefined && !snapshots.has(change.market)) snapshots.set(change.market, change);
  }
  for (const line of lines) {
    if (line.t !== 'recv' || line.raw === undefined) continue;
    for (const change of changesOf(line.raw)) {
      const rest = snapshots.get(change.market);
      if (rest !== undefined && !books.has(change.market)) yield begin(books, rest);
      const step = advance(books, change);
      if (step !== undefined) yield step;
    }
  }
}

/** The last state of every market of a recording. */
export function lastBooks(
  folder: string,
  levels: number,
): Map<string, { id: number; bids: RawLevel[]; asks: RawLevel[] }> {
  const last = new Map<string, RawStep>();
  for (const step of reconstruct(folder)) last.set(step.market, step);
  return new Map([...last].map(([market, step]) => [market, { id: step.id, ...step.top(levels) }]));
}

/** The book as REST answered it: a state of its own, between two updates of the stream. */
function begin(books: Map<string, Sides>, rest: Change): RawStep {
  const book = new Sides();
  books.set(rest.market, book);
  book.apply(rest);
  book.id = rest.last!;
  return { market: rest.market, id: book.id, numbered: true, top: (levels) => book.top(levels) };
}

function advance(books: Map<string, Sides>, change: Change): RawStep | undefined {
  const { market } = change;
  let book = books.get(market);
  if (book === undefined) {
    if (!change.snapshot) return undefined;
    book = new Sides();
    books.set(market, book);
  }
  if (change.last !== undefined) {
    if (change.last <= book.id) return undefined;
    const joined = change.first! <= book.id + 1;
    if (!joined) throw new Error(`${market}: change ${change.first} does not follow ${book.id}`);
    book.id = change.last;
  } else {
    book.id = change.snapshot ? 0 : book.id + 1;
  }
  book.apply(change);
  if (market.includes('/')) book.cut(KRAKEN_DEPTH);
  const own = book;
  const checksum = change.checksum === undefined ? {} : { checksum: change.checksum };
  return { market, id: book.id, numbered: change.last !== undefined, ...checksum, top: (levels) => own.top(levels) };
}

function readLines(folder: string): Line[] {
  const names = readdirSync(folder).filter((name) => /\.jsonl(\.gz)?$/.test(name));
  const lines = names.toSorted().flatMap((name) => {
    const bytes = readFileSync(join(folder, name));
    const text = (name.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8');
    return text.split('\n').flatMap((line): Line[] => (line === '' ? [] : [JSON.parse(line) as Line]));
  });
  return lines.toSorted((a, b) => a.ts_us - b.ts_us);
}

// Frames are whatever an exchange sent: their shape is checked field by field where it is used.
// eslint-disable-next-line typescript/no-explicit-any
type Frame = any;

function restSnapshot(url: string, raw: string): Change | undefined {
  const market = /[?&]symbol=([^&]+)/.exec(url)?.[1];
  if (market === undefined) return undefined;
  const body = JSON.parse(raw) as Frame;
  const book = body.data ?? body;
  const last = Number(book.lastUpdateId ?? book.sequence);
  return { market, snapshot: true, bids: book.bids, asks: book.asks, last };
}

function changesOf(raw: string): Change[] {
  // Numbers keep their digits: Kraken's checksum counts trailing zeros.
  const digits = (_key: string, value: unknown, context?: { source: string }): unknown =>
    typeof value === 'number' ? (context?.source ?? value) : value;
  const frame = JSON.parse(raw, digits as (key: string, value: unknown) => unknown) as Frame;
  const data = frame.data ?? frame;
  if (data.e === 'depthUpdate') return [binance(data)];
  if (frame.channel === 'book') return data.map((row: Frame) => kraken(row, frame.type === 'snapshot'));
  if (frame.channel === 'l2_data') return frame.events.map(coinbase);
  if (frame.topic?.startsWith('/market/level2:')) return [kucoin(frame.topic.split(':')[1], data)];
  if (frame.arg?.channel === 'books' && frame.action !== undefined) {
    return data.map((row: Frame) => okx(frame.arg.instId, row, frame.action === 'snapshot'));
  }
  return [];
}

function binance(data: Frame): Change {
  // Futures: ids have holes, each change names the one before.
  const first = data.pu === undefined ? Number(data.U) : Math.min(Number(data.U), Number(data.pu) + 1);
  return { market: data.s, snapshot: false, bids: data.b, asks: data.a, first, last: Number(data.u) };
}

function kraken(row: Frame, snapshot: boolean): Change {
  const levels = (side: Frame[]): RawLevel[] => side.map((level) => [level.price, level.qty]);
  const checksum = Number(row.checksum);
  return { market: row.symbol, snapshot, bids: levels(row.bids), asks: levels(row.asks), checksum };
}

function coinbase(event: Frame): Change {
  const side = (name: string): RawLevel[] =>
    event.updates
      .filter((update: Frame) => update.side === name)
      .map((update: Frame) => [update.price_level, update.new_quantity]);
  return { market: event.product_id, snapshot: event.type === 'snapshot', bids: side('bid'), asks: side('offer') };
}

function kucoin(market: string, data: Frame): Change {
  // Price 0 only moves the sequence on.
  const levels = (side: Frame[]): RawLevel[] => pairs(side).filter(([price]) => Number(price) !== 0);
  const { sequenceStart, sequenceEnd, changes } = data;
  const ids = { first: Number(sequenceStart), last: Number(sequenceEnd) };
  return { market, snapshot: false, bids: levels(changes.bids), asks: levels(changes.asks), ...ids };
}

function okx(market: string, row: Frame, snapshot: boolean): Change {
  return { market, snapshot, bids: pairs(row.bids), asks: pairs(row.asks), checksum: Number(row.checksum) };
}

/** Price and size of rows that carry more. */
function pairs(rows: Frame[]): RawLevel[] {
  return rows.map(([price, size]) => [price, size]);
}

import type { Clock } from '../../kernel/clock.ts';
import type { StreamState, Ticker, Trade } from '../../protocol/messages.ts';
import type { StreamSpec } from '../../protocol/streams.ts';
import type { FeedTicker } from './upstream.ts';
import type { MarketDecimals } from './market-text.ts';
import { wireDecimal } from './market-text.ts';
import { Pacer } from './pacer.ts';
import type { Content, LineSetup, Stamp } from './stream-line.ts';
import { StreamLine, stampOf } from './stream-line.ts';
import type { Refuse, Track } from './track.ts';
import { LineGroup } from './track.ts';

/** At most ten a second: a screen does not show more, and book streams carry every change. */
const TICKER_INTERVAL_MS = 100;

type Field = keyof Ticker;
const FIELD_KINDS: Readonly<Record<Field, 'price' | 'size' | 'amount'>> = {
  last: 'price',
  bid: 'price',
  bidSize: 'size',
  ask: 'price',
  askSize: 'size',
  open: 'price',
  high: 'price',
  low: 'price',
  baseVolume: 'size',
  // In the quote asset, whose precision the market's rules do not tell: as many digits as the exchange sent.
  quoteVolume: 'amount',
};
const FIELDS = Object.keys(FIELD_KINDS) as Field[];
const EMPTY: Ticker = {
  last: null,
  bid: null,
  bidSize: null,
  ask: null,
  askSize: null,
  open: null,
  high: null,
  low: null,
  baseVolume: null,
  quoteVolume: null,
};

/** Latest wins. A doubt forgets all fields: half of an old ticker next to half of a new one would be a made-up market. */
export class TickerTrack implements Track {
  readonly #lines: LineGroup;
  readonly #pacer: Pacer;
  readonly #decimals: () => MarketDecimals;
  readonly #refuse: Refuse;
  #latest: Ticker = EMPTY;
  #published: Ticker = EMPTY;
  #stamp: Stamp;
  #publishedStamp: Stamp;
  #tellsLast = false;

  constructor(setup: LineSetup, decimals: () => MarketDecimals, clock: Clock, refuse: Refuse) {
    this.#lines = new LineGroup((name) => new StreamLine(name, setup, () => this.#content()));
    this.#pacer = new Pacer(TICKER_INTERVAL_MS, clock, () => this.#flush());
    this.#decimals = decimals;
    this.#refuse = refuse;
    this.#stamp = this.#publishedStamp = { ingestTs: clock.now() };
  }

  open(spec: StreamSpec): StreamLine {
    return this.#lines.open(spec.name);
  }

  close(name: string): void {
    this.#lines.close(name);
  }

  onTicker(message: FeedTicker): void {
    if (this.#lines.inDoubt) return;
    const next: Ticker = { ...this.#latest };
    let told = 0;
    for (const field of FIELDS) {
      const text = message.fields[field];
      if (text === undefined) continue;
      const wire = wireDecimal(text, this.#decimalsOf(field));
      if (wire === null) {
        this.#refuse('ticker_field');
        continue;
      }
      next[field] = wire;
      told += 1;
    }
    if (told === 0) return;
    if (message.fields.last !== undefined) this.#tellsLast = true;
    this.#take(next, stampOf(message));
  }

  /** Some exchanges' ticker streams (best bid and ask only) never say the last price; their trades do. */
  onTrade(trade: Trade, ingestTs: number): void {
    if (this.#tellsLast || !this.#lines.flowing || this.#lines.inDoubt) return;
    this.#take({ ...this.#latest, last: trade.price }, stampOf({ exchangeTs: trade.ts, ingestTs }));
  }

  doubt(state: StreamState): void {
    this.#pacer.cancel();
    this.#latest = EMPTY;
    this.#tellsLast = false;
    this.#lines.doubt(state);
  }

  trust(): void {
    this.#lines.trust();
  }

  marketChanged(): void {}

  stop(): void {
    this.#pacer.cancel();
  }

  #decimalsOf(field: Field): number {
    const kind = FIELD_KINDS[field];
    return kind === 'amount' ? 0 : this.#decimals()[kind];
  }

  #take(ticker: Ticker, stamp: Stamp): void {
    this.#latest = ticker;
    this.#stamp = stamp;
    if (this.#lines.flowing) this.#pacer.request();
    else this.#pacer.runNow();
  }

  #flush(): boolean {
    this.#published = this.#latest;
    this.#publishedStamp = this.#stamp;
    const content = this.#content();
    this.#lines.tell(
      (line) => line.begin(content),
      (line) => line.publish('update', content.data, content.stamp),
    );
    return true;
  }

  #content(): Content {
    return { data: this.#published, stamp: this.#publishedStamp };
  }
}

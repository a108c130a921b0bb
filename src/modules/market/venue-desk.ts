import type { Clock } from '../../kernel/clock.ts';
import type { Market } from '../../protocol/market.ts';
import { MarketSchema } from '../../protocol/market.ts';
import type { StreamState, Venue, VenueSource } from '../../protocol/messages.ts';
import type { BookTrack } from './book-track.ts';
import { Pacer } from './pacer.ts';
import type { Content, LineSetup } from './stream-line.ts';
import { StreamLine } from './stream-line.ts';
import type { MarketDecimals } from './market-text.ts';
import { UNKNOWN_DECIMALS, boundedDecimals } from './market-text.ts';
import type { TickerTrack } from './ticker-track.ts';
import type { Refuse } from './track.ts';
import type { TradesTrack } from './trades-track.ts';
import type { VenueHealth } from './upstream.ts';
import { VenueClock } from './venue-clock.ts';

const VENUE_INTERVAL_MS = 1_000;
/** Markets kept per venue; the largest exchanges list some 5,000. */
const MARKETS_LIMIT = 20_000;

/** `candles: 'trades'` where the exchange sends no candles, so that they are built here. */
export type VenueSetup = Readonly<{ venue: string; source: VenueSource; candles?: 'exchange' | 'trades' }>;

/** What is known of one venue as a whole, and the two streams that tell it: `venue:<venue>` and the internal `markets:<venue>`. */
export class VenueDesk {
  readonly setup: VenueSetup;
  readonly clock: VenueClock;
  /** Of upstreams that somebody wants, by symbol: a key of several parts, put together and hashed for each message, costs more than to look it up. */
  readonly tracks = {
    book: new Map<string, BookTrack>(),
    trades: new Map<string, TradesTrack>(),
    ticker: new Map<string, TickerTrack>(),
  } as const;
  readonly #now: () => number;
  readonly #venueLine: StreamLine;
  readonly #marketsLine: StreamLine;
  readonly #pacer: Pacer;
  readonly #refuse: Refuse;
  #state: StreamState;
  #doubt: StreamState | null = null;
  #health: VenueHealth | null = null;
  #markets: readonly Market[] = [];
  #decimals = new Map<string, MarketDecimals>();
  #published: Content;
  #publishedMarkets: Content;

  constructor(setup: VenueSetup, lineSetup: LineSetup, clock: Clock, refuse: Refuse) {
    this.setup = setup;
    this.clock = new VenueClock(clock);
    this.#now = () => clock.now();
    this.#refuse = refuse;
    this.#state = { status: 'resyncing', since: clock.now(), reason: 'starting' };
    this.#published = this.#content();
    this.#publishedMarkets = { data: { markets: [] }, stamp: { ingestTs: clock.now() } };
    this.#venueLine = new StreamLine(`venue:${setup.venue}`, lineSetup, () => this.#published);
    this.#venueLine.adopt();
    this.#marketsLine = new StreamLine(`markets:${setup.venue}`, lineSetup, () => this.#publishedMarkets);
    this.#pacer = new Pacer(VENUE_INTERVAL_MS, clock, () => this.#publish());
  }

  /** Null when the venue as a whole is to be believed, or has said nothing yet. */
  get doubt(): StreamState | null {
    return this.#doubt;
  }

  line(channel: 'venue' | 'markets'): StreamLine {
    return channel === 'venue' ? this.#venueLine : this.#marketsLine;
  }

  /** False only for a symbol that the venue is known not to have: nothing of it may be asked of the exchange. */
  mayHave(symbol: string): boolean {
    return this.#markets.length === 0 || this.#decimals.has(symbol);
  }

  decimals(symbol: string): MarketDecimals {
    return this.#decimals.get(symbol) ?? UNKNOWN_DECIMALS;
  }

  /** Answers the symbols whose precision is now another. Markets that do not fit the schema are left out. */
  setMarkets(markets: readonly Market[]): Set<string> {
    const sound = markets.slice(0, MARKETS_LIMIT).filter((market) => {
      const fits = MarketSchema.safeParse(market).success;
      if (!fits) this.#refuse('market');
      return fits;
    });
    const before = this.#decimals;
    this.#markets = sound;
    this.#decimals = new Map(sound.map((market) => [market.symbol, boundedDecimals(market)]));
    this.#publishedMarkets = { data: { markets: sound }, stamp: { ingestTs: this.#now() } };
    if (this.#marketsLine.flowing) {
      this.#marketsLine.publish('snapshot', this.#publishedMarkets.data, this.#publishedMarkets.stamp);
    } else this.#marketsLine.begin(this.#publishedMarkets);
    this.#pacer.request();
    const symbols = [...new Set([...before.keys(), ...this.#decimals.keys()])];
    return new Set(symbols.filter((symbol) => !sameDecimals(before.get(symbol), this.#decimals.get(symbol))));
  }

  setState(state: StreamState): void {
    this.#doubt = state.status === 'live' ? null : state;
    if (state.status === this.#state.status && state.reason === this.#state.reason) return;
    this.#state = state;
    this.#pacer.request();
  }

  setHealth(health: VenueHealth): void {
    this.#health = health;
    this.#pacer.request();
  }

  stop(): void {
    this.#pacer.cancel();
  }

  #publish(): boolean {
    this.#published = this.#content();
    this.#venueLine.publish('update', this.#published.data, this.#published.stamp);
    return true;
  }

  #content(): Content {
    const health = this.#health;
    const venue: Venue = {
      venue: this.setup.venue,
      source: this.setup.source,
      status: this.#state.status,
      since: Math.trunc(this.#state.since),
      reason: this.#state.reason,
      markets: this.#markets.length,
      upstreams: health?.upstreams ?? 0,
      messagesPerSecond: health?.messagesPerSecond ?? 0,
      lagMs: health?.lagMs ?? null,
      lastMessageTs: health?.lastMessageTs ?? null,
      reconnects: health?.reconnects ?? 0,
      circuit: health?.circuit ?? 'closed',
    };
    return { data: venue, stamp: { ingestTs: this.#now() } };
  }
}

function sameDecimals(left: MarketDecimals | undefined, right: MarketDecimals | undefined): boolean {
  return left?.price === right?.price && left?.size === right?.size;
}

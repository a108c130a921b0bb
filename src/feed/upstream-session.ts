import { backoffDelayMs } from '../kernel/backoff.ts';
import type { Clock } from '../kernel/clock.ts';
import type { Random } from '../kernel/random.ts';
import type { Upstream } from '../modules/market/upstream.ts';
import { upstreamKey } from '../modules/market/upstream.ts';
import type { Route } from './adapter-ccxt.ts';
import { BookChannel } from './book-channel.ts';
import { CandlesChannel } from './candles-channel.ts';
import type { CcxtBook, CcxtClient, CcxtExchange } from './ccxt-surface.ts';
import type { Channel, ChannelContext } from './channel.ts';
import type { Outbox } from './outbox.ts';
import type { SanityBand } from './sanity-band.ts';
import type { FeedLimits } from './settings.ts';
import type { Doubt } from './thread-protocol.ts';
import { TickerChannel } from './ticker-channel.ts';
import { TradesChannel } from './trades-channel.ts';
import type { Leg, VenueQuirks } from './venues/quirks.ts';

/** Live for this long counts as healed: the next doubt starts with a short pause again. */
const HEALED_MS = 1_000;

/** One subscription at the exchange, of one leg of an upstream. */
export type Subscription = {
  readonly owner: UpstreamSession;
  readonly leg: Leg;
  /** Counts the attempts; what an older attempt still says is not listened to. */
  generation: number;
  routes: { client: CcxtClient; route: Route }[];
  timer: NodeJS.Timeout | undefined;
  confirmTimer: NodeJS.Timeout | undefined;
  /** Something has come since the last attempt. */
  heard: boolean;
  ended: boolean;
};

export function clearTimers(subscription: Subscription): void {
  clearTimeout(subscription.timer);
  clearTimeout(subscription.confirmTimer);
  subscription.timer = undefined;
  subscription.confirmTimer = undefined;
}

export type UpstreamHost = Readonly<{
  quirks: VenueQuirks;
  limits: FeedLimits;
  outbox: Outbox;
  clock: Clock;
  random: Random;
  exchange: () => CcxtExchange;
  frameTs: () => number;
  touched: (session: UpstreamSession) => void;
  complete: (symbol: string, book: CcxtBook) => boolean;
  doubted: (doubt: Doubt) => void;
  delayed: (exchangeTs: number | undefined) => void;
  /** Subscribe this leg anew. */
  resubscribe: (subscription: Subscription, delayMs: number, doubt: Doubt) => void;
  note: (detail: string) => void;
}>;

/** One upstream in the venue's thread: is it to be believed, and how often has it failed. */
export class UpstreamSession implements ChannelContext {
  readonly key: string;
  readonly upstream: Upstream;
  readonly quirks: VenueQuirks;
  readonly limits: FeedLimits;
  readonly outbox: Outbox;
  readonly band: SanityBand;
  readonly channel: Channel;
  readonly subscriptions: readonly Subscription[];
  /** News so far; the main thread compares counts to tell silence from its own slowness. */
  activity = 0;
  reportedActivity = 0;
  readonly #host: UpstreamHost;
  #live = false;
  #liveSinceMs = 0;
  #attempts = 0;

  constructor(host: UpstreamHost, upstream: Upstream, legs: readonly Leg[], band: SanityBand) {
    this.#host = host;
    this.key = upstreamKey(upstream);
    this.upstream = upstream;
    this.quirks = host.quirks;
    this.limits = host.limits;
    this.outbox = host.outbox;
    this.band = band;
    this.channel = this.#makeChannel(legs.length > 0);
    this.subscriptions = legs.map((leg) => ({
      owner: this,
      leg,
      generation: 0,
      routes: [],
      timer: undefined,
      confirmTimer: undefined,
      heard: false,
      ended: false,
    }));
    const { channel } = this;
    this.outbox.open(this.key, channel instanceof BookChannel ? () => channel.read() : undefined);
  }

  get live(): boolean {
    return this.#live;
  }

  get exchange(): CcxtExchange {
    return this.#host.exchange();
  }

  get ingestTs(): number {
    return this.#host.frameTs();
  }

  get primary(): Subscription | undefined {
    return this.subscriptions.find(({ leg }) => !leg.optional);
  }

  monotonic(): number {
    return this.#host.clock.monotonic();
  }

  touched(): void {
    this.#host.touched(this);
  }

  complete(book: CcxtBook): boolean {
    return this.#host.complete(this.upstream.symbol, book);
  }

  delayed(exchangeTs: number | undefined): void {
    this.#host.delayed(exchangeTs);
  }

  note(detail: string): void {
    this.#host.note(detail);
  }

  verified(): void {
    this.activity += 1;
    this.confirm();
    if (this.#attempts > 0 && this.monotonic() - this.#liveSinceMs > HEALED_MS) this.#attempts = 0;
  }

  /** Live without news: a quiet market's trades and candles. */
  confirm(): void {
    if (this.#live) return;
    this.#live = true;
    this.#liveSinceMs = this.monotonic();
    this.outbox.fresh(this.key);
    this.channel.confirmed?.();
  }

  /** Tells once per doubt; `false` when it stands already. */
  suspect(doubt: Doubt): boolean {
    const news = this.#live;
    this.#live = false;
    this.#host.doubted(doubt);
    // Also for a stream that was not live: the main thread may believe it to be, on its way to hear otherwise.
    if (news) this.outbox.doubt(this.key, doubt);
    return news;
  }

  doubt(doubt: Doubt, again: boolean): void {
    const wasLive = this.suspect(doubt);
    if (again) {
      this.channel.forget();
      const { primary } = this;
      if (primary !== undefined) this.#host.resubscribe(primary, this.nextDelayMs(), doubt);
    } else if (wasLive && this.upstream.channel !== 'ticker') {
      // Nothing has to be fetched anew: what follows is sound, only the connection to what was before is lost.
      this.confirm();
    }
  }

  /** The pause before the next attempt; none before the first. */
  nextDelayMs(): number {
    const delayMs =
      this.#attempts === 0 ? 0 : backoffDelayMs(this.limits.resubscribe, this.#attempts - 1, this.#host.random);
    this.#attempts += 1;
    return delayMs;
  }

  #makeChannel(streams: boolean): Channel {
    const { upstream } = this;
    switch (upstream.channel) {
      case 'book':
        return new BookChannel(this);
      case 'trades':
        return new TradesChannel(this);
      case 'ticker':
        return new TickerChannel(this);
      case 'candles':
        return new CandlesChannel(this, upstream.timeframe, streams);
    }
  }
}

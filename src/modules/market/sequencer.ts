import type { Clock } from '../../kernel/clock.ts';
import type { Random } from '../../kernel/random.ts';
import type { MarketBus, StreamHead, StreamSource } from '../../platform/bus.ts';
import type { Log } from '../../platform/log.ts';
import type { Metrics } from '../../platform/metrics.ts';
import type { StreamState } from '../../protocol/messages.ts';
import type { Market } from '../../protocol/market.ts';
import type { StreamSpec } from '../../protocol/streams.ts';
import { parseStreamName } from '../../protocol/streams.ts';
import { BookTrack } from './book-track.ts';
import { CandlesTrack } from './candles-track.ts';
import { createEpochs } from './epochs.ts';
import type { LineSetup } from './stream-line.ts';
import { TickerTrack } from './ticker-track.ts';
import type { Track } from './track.ts';
import { TradesTrack } from './trades-track.ts';
import type { FeedBook, FeedCandles, FeedTicker, FeedTrades, MarketIngest } from './upstream.ts';
import type { Upstream, UpstreamDemand, VenueHealth } from './upstream.ts';
import { upstreamKey } from './upstream.ts';
import type { VenueSetup } from './venue-desk.ts';
import { VenueDesk } from './venue-desk.ts';

/** Streams served by one process. A gateway takes 200 per connection; past this, new streams are refused and counted. */
const STREAMS_LIMIT = 20_000;
const MARKETS_PREFIX = 'markets:';

export type SequencerSetup = Readonly<{
  bus: MarketBus;
  venues: readonly VenueSetup[];
  clock: Clock;
  random: Random;
  metrics: Metrics;
  log: Log;
  demand?: UpstreamDemand;
}>;

export interface Sequencer {
  /** What the feed calls. */
  readonly ingest: MarketIngest;
  /** What the bus is to serve. */
  readonly source: StreamSource;
  /** Tells the feed what is wanted already and from now on. */
  connect(demand: UpstreamDemand): void;
  stop(): void;
}

/** An upstream that somebody wants, the track made from it, the streams that need it, and how far it is to be believed. */
type WantedUpstream = {
  readonly upstream: Upstream;
  readonly track: Track;
  readonly users: Set<string>;
  /** What the track is made from: this upstream and, for built candles, the trades. */
  readonly sources: Set<WantedUpstream>;
  /** The reverse: whose tracks are made from this upstream. */
  readonly dependents: Set<WantedUpstream>;
  state: StreamState | null;
};
type OpenStream = Readonly<{ main: WantedUpstream; needs: readonly WantedUpstream[] }>;

export function createSequencer(setup: SequencerSetup): Sequencer {
  return new StreamSequencer(setup);
}

class StreamSequencer implements Sequencer, StreamSource, MarketIngest {
  readonly ingest: MarketIngest = this;
  readonly source: StreamSource = this;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #lineSetup: LineSetup;
  readonly #refuse: (reason: string) => void;
  readonly #desks: ReadonlyMap<string, VenueDesk>;
  readonly #wanted = new Map<string, WantedUpstream>();
  readonly #streams = new Map<string, OpenStream>();
  #demand: UpstreamDemand | undefined;

  constructor(setup: SequencerSetup) {
    this.#clock = setup.clock;
    this.#log = setup.log;
    this.#demand = setup.demand;
    const { metrics } = setup;
    const published = new Map<string, number>();
    metrics.collectedCounter('market_published_total', 'Messages published by channel', ['channel'], () =>
      [...published].map(([channel, count]) => [{ channel }, count]),
    );
    const refused = metrics.counter('market_refused_total', 'Values from exchanges that were not fit to pass on', [
      'reason',
    ]);
    const epochs = metrics.counter('market_epochs_total', 'Streams that had to start anew, by why', ['reason']);
    metrics.collectedGauge('market_streams', 'Streams that somebody wants', [], () => [[{}, this.#streams.size]]);
    this.#refuse = (reason) => refused.inc({ reason });
    this.#lineSetup = {
      bus: setup.bus,
      clock: setup.clock,
      nextEpoch: createEpochs(setup.clock, setup.random),
      onPublished: (channel) => void published.set(channel, (published.get(channel) ?? 0) + 1),
      onEpoch: (reason) => epochs.inc({ reason }),
    };
    this.#desks = new Map(
      setup.venues.map((venue) => [venue.venue, new VenueDesk(venue, this.#lineSetup, setup.clock, this.#refuse)]),
    );
  }

  connect(demand: UpstreamDemand): void {
    this.#demand = demand;
    for (const { upstream } of this.#wanted.values()) demand.want(upstream);
  }

  stop(): void {
    for (const { track } of this.#wanted.values()) track.stop();
    for (const desk of this.#desks.values()) desk.stop();
  }

  open(stream: string): StreamHead | null {
    if (stream.startsWith(MARKETS_PREFIX)) {
      return this.#desks.get(stream.slice(MARKETS_PREFIX.length))?.line('markets').head() ?? null;
    }
    const parsed = parseStreamName(stream);
    if (!parsed.ok) return null;
    const { spec } = parsed;
    const desk = this.#desks.get(spec.venue);
    if (desk === undefined) return null;
    if (spec.channel === 'venue') return desk.line('venue').head();
    let open = this.#streams.get(stream);
    if (open === undefined) {
      if (!desk.mayHave(spec.symbol)) return null;
      if (this.#streams.size >= STREAMS_LIMIT) {
        this.#refuse('stream_limit');
        return null;
      }
      open = this.#begin(stream, spec, desk);
    }
    return open.main.track.open(spec).head();
  }

  close(stream: string): void {
    const open = this.#streams.get(stream);
    if (open === undefined) return;
    this.#streams.delete(stream);
    open.main.track.close(stream);
    for (const wanted of open.needs) {
      wanted.users.delete(stream);
      if (wanted.users.size === 0) this.#drop(wanted);
    }
  }

  markets(venue: string, markets: readonly Market[]): void {
    const changed = this.#desk(venue)?.setMarkets(markets);
    if (changed === undefined || changed.size === 0) return;
    for (const { upstream, track } of this.#wanted.values()) {
      if (upstream.venue === venue && changed.has(upstream.symbol)) track.marketChanged();
    }
  }

  book(book: FeedBook): void {
    const desk = this.#desk(book.venue);
    if (desk === undefined) return;
    desk.clock.saw(book.exchangeTs, book.ingestTs);
    desk.tracks.book.get(book.symbol)?.onBook(book);
  }

  trades(trades: FeedTrades): void {
    const desk = this.#desk(trades.venue);
    const last = desk?.tracks.trades.get(trades.symbol)?.onTrades(trades).at(-1);
    if (desk === undefined || last === undefined) return;
    desk.clock.saw(last.ts, trades.ingestTs);
    desk.tracks.ticker.get(trades.symbol)?.onTrade(last, trades.ingestTs);
  }

  ticker(ticker: FeedTicker): void {
    const desk = this.#desk(ticker.venue);
    if (desk === undefined) return;
    desk.clock.saw(ticker.exchangeTs, ticker.ingestTs);
    desk.tracks.ticker.get(ticker.symbol)?.onTicker(ticker);
  }

  candles(candles: FeedCandles): void {
    if (!candles.history) this.#desk(candles.venue)?.clock.saw(candles.exchangeTs, candles.ingestTs);
    const track = this.#wanted.get(upstreamKey({ ...candles, channel: 'candles' }))?.track;
    if (track instanceof CandlesTrack) track.onCandles(candles);
  }

  upstreamState(upstream: Upstream, state: StreamState): void {
    const wanted = this.#wanted.get(upstreamKey(upstream));
    if (wanted === undefined) return;
    wanted.state = state;
    for (const dependent of wanted.dependents) this.#judge(dependent);
  }

  venueState(venue: string, state: StreamState): void {
    const desk = this.#desk(venue);
    if (desk === undefined) return;
    desk.setState(state);
    this.#log.info({ event: 'venue_state', venue, status: state.status, reason: state.reason });
    for (const wanted of this.#wanted.values()) {
      if (wanted.upstream.venue === venue) this.#judge(wanted);
    }
  }

  venueHealth(venue: string, health: VenueHealth): void {
    this.#desk(venue)?.setHealth(health);
  }

  #desk(venue: string): VenueDesk | undefined {
    const desk = this.#desks.get(venue);
    if (desk === undefined) this.#refuse('venue');
    return desk;
  }

  #begin(stream: string, spec: Exclude<StreamSpec, { channel: 'venue' }>, desk: VenueDesk): OpenStream {
    const { venue, symbol } = spec;
    const needs: WantedUpstream[] = [];
    if (spec.channel === 'candles' && desk.setup.candles === 'trades') {
      needs.push(this.#want({ channel: 'trades', venue, symbol }, stream, desk));
    }
    const main = this.#want(
      spec.channel === 'candles'
        ? { channel: 'candles', venue, symbol, timeframe: spec.timeframe }
        : { channel: spec.channel, venue, symbol },
      stream,
      desk,
    );
    for (const source of needs) depend(main, source);
    const open: OpenStream = { main, needs: [...needs, main] };
    this.#streams.set(stream, open);
    this.#judge(main);
    // Last: a feed may answer from within.
    for (const need of open.needs) {
      if (need.users.size === 1) this.#demand?.want(need.upstream);
    }
    return open;
  }

  #want(upstream: Upstream, stream: string, desk: VenueDesk): WantedUpstream {
    const key = upstreamKey(upstream);
    let wanted = this.#wanted.get(key);
    if (wanted === undefined) {
      const track = this.#makeTrack(upstream, desk);
      wanted = { upstream, track, users: new Set(), sources: new Set(), dependents: new Set(), state: null };
      depend(wanted, wanted);
      this.#wanted.set(key, wanted);
    }
    wanted.users.add(stream);
    return wanted;
  }

  #makeTrack(upstream: Upstream, desk: VenueDesk): Track {
    const { symbol } = upstream;
    const decimals = () => desk.decimals(symbol);
    const keep = <T extends Track>(tracks: Map<string, T>, track: T): T => {
      tracks.set(symbol, track);
      return track;
    };
    const lines = this.#lineSetup;
    switch (upstream.channel) {
      case 'book':
        return keep(desk.tracks.book, new BookTrack(lines, decimals, this.#refuse));
      case 'trades':
        return keep(desk.tracks.trades, new TradesTrack(lines, decimals, this.#clock, this.#refuse));
      case 'ticker':
        return keep(desk.tracks.ticker, new TickerTrack(lines, decimals, this.#clock, this.#refuse));
      case 'candles': {
        return new CandlesTrack(lines, {
          timeframe: upstream.timeframe,
          clock: this.#clock,
          venueClock: desk.clock,
          decimals,
          refuse: this.#refuse,
          trades: desk.setup.candles === 'trades' ? desk.tracks.trades.get(symbol) : undefined,
        });
      }
    }
  }

  #drop(wanted: WantedUpstream): void {
    const { channel, venue, symbol } = wanted.upstream;
    wanted.track.stop();
    this.#wanted.delete(upstreamKey(wanted.upstream));
    if (channel !== 'candles') this.#desks.get(venue)?.tracks[channel].delete(symbol);
    for (const source of wanted.sources) source.dependents.delete(wanted);
    this.#demand?.unwant(wanted.upstream);
  }

  /** Tells a track what its venue and all its upstreams together are worth. An upstream that has said nothing casts no doubt. */
  #judge(wanted: WantedUpstream): void {
    const states = [...wanted.sources].map((source) => source.state);
    const doubts = [this.#desks.get(wanted.upstream.venue)!.doubt, ...states];
    const doubt = doubts.find((state) => state !== null && state.status !== 'live');
    if (doubt) wanted.track.doubt(doubt);
    else wanted.track.trust(states.some((state) => state !== null));
  }
}

function depend(track: WantedUpstream, source: WantedUpstream): void {
  track.sources.add(source);
  source.dependents.add(track);
}

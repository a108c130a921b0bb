import type { Clock } from '../../kernel/clock.ts';
import type { Candle, Candles, StreamState } from '../../protocol/messages.ts';
import { SNAPSHOT_LIMITS } from '../../protocol/limits.ts';
import type { StreamSpec, Timeframe } from '../../protocol/streams.ts';
import { TIMEFRAMES_MS } from '../../protocol/streams.ts';
import { CandleBuilder } from './candle-builder.ts';
import type { CandleValues } from './candle-store.ts';
import { CandleStore } from './candle-store.ts';
import type { FeedCandle, FeedCandles } from './upstream.ts';
import type { MarketDecimals } from './market-text.ts';
import { wireDecimal } from './market-text.ts';
import { Pacer } from './pacer.ts';
import type { Content, LineSetup, Stamp } from './stream-line.ts';
import { StreamLine, stampOf } from './stream-line.ts';
import type { Refuse, Track } from './track.ts';
import { LineGroup } from './track.ts';
import type { TradeListener, TradesTrack } from './trades-track.ts';
import type { VenueClock } from './venue-clock.ts';

const OPEN_CANDLE_INTERVAL_MS = 1_000;
/** An exchange's last update of a candle comes this long after its end at most; later ones are corrections. */
const CLOSE_GRACE_MS = 2_000;
/** Timers cannot wait longer than 24.8 days, and the exchange's clock may be found to run otherwise in between. */
const CLOSE_CHECK_LIMIT_MS = 60_000;

export type CandlesSetup = Readonly<{
  timeframe: Timeframe;
  clock: Clock;
  venueClock: VenueClock;
  decimals: () => MarketDecimals;
  refuse: Refuse;
  /** Present where the exchange sends no candles. */
  trades: TradesTrack | undefined;
}>;

/** Open candles at most once a second, closed ones always and at once. */
export class CandlesTrack implements Track {
  readonly #setup: CandlesSetup;
  readonly #timeframeMs: number;
  readonly #origin: Candles['origin'];
  readonly #lines: LineGroup;
  readonly #pacer: Pacer;
  readonly #store = new CandleStore(SNAPSHOT_LIMITS.candles);
  readonly #builder: CandleBuilder;
  readonly #unlisten: (() => void) | undefined;
  readonly #dirty = new Map<number, Candle>();
  #published: readonly Candle[] = [];
  #stamp: Stamp;
  #closeTimer: NodeJS.Timeout | undefined;

  constructor(lineSetup: LineSetup, setup: CandlesSetup) {
    this.#setup = setup;
    this.#timeframeMs = TIMEFRAMES_MS[setup.timeframe];
    this.#origin = setup.trades === undefined ? 'exchange' : 'trades';
    this.#lines = new LineGroup((name) => new StreamLine(name, lineSetup, () => this.#content()));
    this.#pacer = new Pacer(OPEN_CANDLE_INTERVAL_MS, setup.clock, () => this.#flush());
    this.#builder = new CandleBuilder(this.#store, this.#timeframeMs);
    this.#unlisten = setup.trades?.listen(this.#onTrades);
    this.#stamp = { ingestTs: setup.clock.now() };
  }

  open(spec: StreamSpec): StreamLine {
    return this.#lines.open(spec.name);
  }

  close(name: string): void {
    this.#lines.close(name);
  }

  onCandles(message: FeedCandles): void {
    if (this.#lines.inDoubt) return;
    const candles = message.candles.flatMap((candle) => this.#accept(candle) ?? []).toSorted((a, b) => a.ts - b.ts);
    if (candles.length === 0) return;
    if (!this.#lines.flowing) this.#dropUnconnected(candles[0]!.ts, candles.at(-1)!.ts);
    if (!message.history) this.#setup.venueClock.sawRunning(candles.at(-1)!.ts, this.#timeframeMs, message.ingestTs);
    const changed = message.history ? this.#mergeHistory(candles) : this.#mergeRunning(candles);
    this.#changed(changed, stampOf(message));
  }

  doubt(state: StreamState): void {
    this.#pacer.cancel();
    clearTimeout(this.#closeTimer);
    if (this.#lines.flowing && this.#dirty.size > 0) this.#flush();
    this.#builder.forget();
    // Its missing trades will not come; the exchange's own candle would.
    if (this.#origin === 'trades') this.#store.dropOpen();
    this.#lines.doubt(state);
  }

  trust(confirmed: boolean): void {
    if (confirmed && !this.#builder.listening) this.#builder.listenFrom(this.#setup.venueClock.now());
    this.#lines.trust();
  }

  marketChanged(): void {}

  stop(): void {
    this.#unlisten?.();
    this.#pacer.cancel();
    clearTimeout(this.#closeTimer);
  }

  readonly #onTrades: TradeListener = (trades, stamp) => {
    const firstTs = this.#lines.inDoubt ? null : this.#builder.firstComplete(trades);
    if (firstTs === null) return;
    if (!this.#lines.flowing) this.#dropUnconnected(firstTs, firstTs);
    this.#changed(this.#builder.onTrades(trades), stamp);
  };

  #accept(candle: FeedCandle): CandleValues | null {
    const { price, size } = this.#setup.decimals();
    const open = wireDecimal(candle.open, price);
    const high = wireDecimal(candle.high, price);
    const low = wireDecimal(candle.low, price);
    const close = wireDecimal(candle.close, price);
    const volume = wireDecimal(candle.volume, size);
    const whole = open !== null && high !== null && low !== null && close !== null && volume !== null;
    if (!whole || !(candle.ts > 0) || !Number.isSafeInteger(candle.ts) || Number(high) < Number(low)) {
      this.#setup.refuse('candle');
      return null;
    }
    return { ts: candle.ts, open, high, low, close, volume };
  }

  /**
   * After a doubt: what is kept must meet what comes, or the hole in between would read as an interval without trades and
   * the candle that was open would stay half a candle for ever. Time running backwards (a recording starts over) is no meeting.
   */
  #dropUnconnected(firstTs: number, lastTs: number): void {
    const newest = this.#store.newest;
    if (newest === undefined) return;
    const adjacent = newest.closed && firstTs === newest.ts + this.#timeframeMs;
    if ((firstTs > newest.ts && !adjacent) || lastTs < newest.ts) this.#store.clear();
  }

  #mergeRunning(candles: readonly CandleValues[]): Candle[] {
    const changed: Candle[] = [];
    for (const values of candles) {
      changed.push(...this.#store.closeBefore(values.ts));
      const known = this.#store.get(values.ts);
      const isPast = (this.#store.newest?.ts ?? values.ts) > values.ts;
      const candle = this.#store.put(values, known?.closed ?? isPast);
      if (candle !== null) changed.push(candle);
    }
    return changed;
  }

  /** A REST answer may be older than what the socket has told since: its last candle only counts where it knows more. */
  #mergeHistory(candles: readonly CandleValues[]): Candle[] {
    const changed: Candle[] = [];
    const lastTs = candles.at(-1)!.ts;
    for (const values of candles) {
      const known = this.#store.get(values.ts);
      const isLast = values.ts === lastTs;
      const isOver = !isLast || this.#isOver(values.ts) || (this.#store.newest?.ts ?? 0) > values.ts;
      if (isLast && known !== undefined && Number(values.volume) < Number(known.volume)) continue;
      if (!isOver && this.#origin === 'trades') continue;
      changed.push(...this.#store.closeBefore(values.ts));
      const candle = this.#store.put(values, isOver);
      if (candle !== null) changed.push(candle);
    }
    return changed;
  }

  #isOver(ts: number): boolean {
    return this.#setup.venueClock.now() >= ts + this.#timeframeMs + CLOSE_GRACE_MS;
  }

  #changed(changed: readonly Candle[], stamp: Stamp): void {
    // Nothing new may be the best news: after a doubt, it says that what is known still holds.
    if (changed.length === 0 && this.#lines.flowing) return;
    this.#stamp = stamp;
    for (const candle of changed) this.#dirty.set(candle.ts, candle);
    if (!this.#lines.flowing || changed.some((candle) => candle.closed)) this.#pacer.runNow();
    else this.#pacer.request();
    this.#watchClose();
  }

  /** A candle ends by the clock, even if nothing is ever traded again. */
  #watchClose(): void {
    clearTimeout(this.#closeTimer);
    const newest = this.#store.newest;
    if (newest === undefined || newest.closed) return;
    const waitMs = newest.ts + this.#timeframeMs + CLOSE_GRACE_MS - this.#setup.venueClock.now();
    this.#closeTimer = setTimeout(
      () => {
        const closed = this.#isOver(newest.ts) ? this.#store.closeBefore(newest.ts + 1) : [];
        if (closed.length > 0) this.#changed(closed, { ingestTs: this.#setup.clock.now() });
        else this.#watchClose();
      },
      Math.min(Math.max(1, Math.ceil(waitMs)), CLOSE_CHECK_LIMIT_MS),
    );
  }

  #flush(): boolean {
    const candles = [...this.#dirty.values()].sort((left, right) => left.ts - right.ts);
    this.#dirty.clear();
    this.#published = this.#store.candles;
    this.#lines.tell(
      (line) => line.begin(this.#content()),
      (line) => line.publish('update', { candles, origin: this.#origin }, this.#stamp),
    );
    return true;
  }

  #content(): Content {
    return { data: { candles: this.#published, origin: this.#origin }, stamp: this.#stamp };
  }
}

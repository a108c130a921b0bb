import type { Clock } from '../../kernel/clock.ts';
import type { Timeframe } from '../../protocol/streams.ts';
import type {
  SandboxVenue,
  TapeBook,
  TapeCandle,
  TapeEvent,
  TapeMarket,
  TapeSource,
  TapeTicker,
  TapeTrade,
} from '../tape.ts';
import { SimulatedWorld } from './simulated-world.ts';

/** How often simulated time is brought up to real time. */
const PACE_INTERVAL_MS = 10;
/** Simulated at once at most, so that catching up leaves room for sockets and timers. */
const SLICE_LIMIT_MS = 50;
/** A process that stood still for longer does not relive what it missed: the venues' clocks jump, as after an outage. */
const CATCH_UP_LIMIT_MS = 5000;

export type SimulationOptions = Readonly<{
  venues: readonly SandboxVenue[];
  /** The same seed gives the same events at the same times relative to the start; candles begin at full minutes of the clock. */
  seed: number;
  clock: Clock;
  /** Unified symbols to list; absent: every market of each venue's listing. */
  symbols?: readonly string[];
}>;

/** One tape per venue, all of one world: they share prices and clock. The world runs while at least one of them is started. */
export function createSimulation(options: SimulationOptions): TapeSource[] {
  const { clock, venues, seed, symbols } = options;
  const world = new SimulatedWorld({
    venues,
    seed,
    startTs: clock.now(),
    ...(symbols === undefined ? {} : { symbols }),
  });
  const pacer = new Pacer(world, clock);
  return venues.map((venue) => new SimulatedVenue(venue, world, pacer));
}

/** Keeps a world's time next to a clock's while anybody needs it. */
class Pacer {
  readonly #world: SimulatedWorld;
  readonly #clock: Clock;
  readonly #users = new Set<SimulatedVenue>();
  #timer: NodeJS.Timeout | null = null;
  /** Monotonic time up to which the last step was taken. */
  #pacedMs: number;

  constructor(world: SimulatedWorld, clock: Clock) {
    this.#world = world;
    this.#clock = clock;
    this.#pacedMs = clock.monotonic();
  }

  join(user: SimulatedVenue): void {
    this.#users.add(user);
    this.#timer ??= setInterval(() => this.#pace(), PACE_INTERVAL_MS);
  }

  leave(user: SimulatedVenue): void {
    this.#users.delete(user);
    if (this.#users.size > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }

  #pace(): void {
    const monotonicMs = this.#clock.monotonic();
    const passedMs = Math.floor(monotonicMs - this.#pacedMs);
    this.#pacedMs += passedMs;
    const behindMs = Math.floor(this.#clock.now() - this.#world.nowTs);
    if (behindMs > CATCH_UP_LIMIT_MS) this.#world.skip(behindMs);
    // A clock that was set back by an hour must not stop the markets for an hour: they go on ahead of it at their own pace.
    else
      this.#world.advance(Math.min(behindMs < -CATCH_UP_LIMIT_MS ? passedMs : Math.max(0, behindMs), SLICE_LIMIT_MS));
  }
}

class SimulatedVenue implements TapeSource {
  readonly venue: SandboxVenue;
  readonly origin = 'simulation';
  readonly markets: readonly TapeMarket[];
  readonly #world: SimulatedWorld;
  readonly #pacer: Pacer;

  constructor(venue: SandboxVenue, world: SimulatedWorld, pacer: Pacer) {
    this.venue = venue;
    this.markets = world.marketsOf(venue);
    this.#world = world;
    this.#pacer = pacer;
  }

  now(): number {
    return this.#world.nowTs;
  }

  start(sink: (event: TapeEvent) => void): void {
    this.#world.setSink(this.venue, sink);
    this.#pacer.join(this);
  }

  stop(): void {
    this.#world.setSink(this.venue, null);
    this.#pacer.leave(this);
  }

  book(symbol: string): TapeBook | undefined {
    return this.#world.market(this.venue, symbol)?.book();
  }

  trades(symbol: string, limit: number): readonly TapeTrade[] {
    return this.#world.market(this.venue, symbol)?.trades(limit) ?? [];
  }

  ticker(symbol: string): TapeTicker | undefined {
    return this.#world.market(this.venue, symbol)?.ticker();
  }

  candles(symbol: string, timeframe: Timeframe, limit: number): readonly TapeCandle[] {
    return this.#world.market(this.venue, symbol)?.candles(timeframe, limit) ?? [];
  }
}

import type { Clock } from '../../kernel/clock.ts';
import type { Log } from '../../platform/log.ts';
import type { Metrics } from '../../platform/metrics.ts';
import { databaseFailureIn } from '../../platform/postgres.ts';
import type { BalanceText, Portfolio, Position, SyncEvent } from '../../protocol/trading.ts';
import type { LivePrices, Pair } from './live-prices.ts';
import type { PriceSource, UserLog } from './portfolio.ts';
import { valuePortfolio } from './valuation.ts';
import type { Holdings } from './valuation.ts';

/** Everybody is looked at once a second, a tenth of the users at a time, so that thousands do not hold up everything else. */
const SLOT_INTERVAL_MS = 100;
const SLOTS = 10;
/** Users whose holdings are being read at once; the others wait for their next turn. */
const STARTS_LIMIT = 8;

export interface Valuations {
  /** Calls back with the user's portfolio at live prices: soon, and then at most once a second when it has changed. */
  follow(userId: string, listener: (portfolio: Portfolio) => void): () => void;
  stop(): Promise<void>;
}
export type ValuationsDeps = Readonly<{
  userLog: Pick<UserLog, 'snapshot' | 'follow'>;
  prices: Pick<LivePrices, 'price'>;
  clock: Clock;
  log: Log;
  metrics: Metrics;
}>;

type Watched = {
  readonly userId: string;
  readonly slot: number;
  readonly listeners: Set<(portfolio: Portfolio) => void>;
  readonly balances: Map<string, BalanceText>;
  readonly positions: Map<string, Position>;
  phase: 'waiting' | 'starting' | 'following';
  stopFollowing: () => void;
  /** Holdings or listeners changed since the last portfolio. */
  changed: boolean;
  /** Prices that the last portfolio was made with. */
  used: readonly Readonly<{ pair: Pair; price: string | null }>[];
};

export function createValuations(deps: ValuationsDeps): Valuations {
  return new LiveValuations(deps);
}

/** Holdings come from the user's log, so that nobody's database is asked twice: once to begin, and never again. */
class LiveValuations implements Valuations {
  readonly #deps: ValuationsDeps;
  readonly #watched = new Map<string, Watched>();
  readonly #starts = new Set<Promise<void>>();
  readonly #faults: { inc(labels: Readonly<Record<string, string>>): void };
  #timer: NodeJS.Timeout | undefined;
  #slot = 0;
  #joined = 0;

  constructor(deps: ValuationsDeps) {
    this.#deps = deps;
    this.#faults = deps.metrics.counter('valuation_faults_total', 'Starts that failed and listeners that threw', [
      'what',
    ]);
    deps.metrics.collectedGauge('valuation_users', 'Users whose portfolio is valued live', [], () => [
      [{}, this.#watched.size],
    ]);
  }

  follow(userId: string, listener: (portfolio: Portfolio) => void): () => void {
    const watched = this.#watched.get(userId) ?? this.#add(userId);
    // One entry per call, even for one function.
    const own = (portfolio: Portfolio): void => listener(portfolio);
    watched.listeners.add(own);
    watched.changed = true;
    return () => {
      if (watched.listeners.delete(own) && watched.listeners.size === 0) this.#remove(watched);
    };
  }

  async stop(): Promise<void> {
    for (const watched of this.#watched.values()) {
      watched.listeners.clear();
      this.#remove(watched);
    }
    await Promise.all(this.#starts);
  }

  #add(userId: string): Watched {
    this.#joined += 1;
    const watched: Watched = {
      userId,
      slot: this.#joined % SLOTS,
      listeners: new Set(),
      balances: new Map(),
      positions: new Map(),
      phase: 'waiting',
      stopFollowing: () => {},
      changed: true,
      used: [],
    };
    this.#watched.set(userId, watched);
    this.#timer ??= setInterval(() => this.#runSlot(), SLOT_INTERVAL_MS);
    return watched;
  }

  #remove(watched: Watched): void {
    watched.stopFollowing();
    if (this.#watched.get(watched.userId) === watched) this.#watched.delete(watched.userId);
    if (this.#watched.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #runSlot(): void {
    this.#slot = (this.#slot + 1) % SLOTS;
    for (const watched of this.#watched.values()) {
      if (watched.phase === 'waiting' && this.#starts.size < STARTS_LIMIT) this.#start(watched);
      else if (watched.slot === this.#slot && watched.phase === 'following') this.#value(watched);
    }
  }

  #start(watched: Watched): void {
    watched.phase = 'starting';
    const start: Promise<void> = this.#begin(watched)
      .catch((error: unknown) => {
        // Tried again at the next turn.
        watched.phase = 'waiting';
        if (databaseFailureIn(error)?.kind === 'stopped') return;
        this.#faults.inc({ what: 'start' });
        this.#deps.log.warn({ event: 'valuation_not_started', userId: watched.userId, err: error });
      })
      .finally(() => this.#starts.delete(start));
    this.#starts.add(start);
  }

  async #begin(watched: Watched): Promise<void> {
    const { logSeq, data } = await this.#deps.userLog.snapshot(watched.userId, 'portfolio');
    if (watched.listeners.size === 0) return;
    const { balances, positions } = data as Holdings;
    for (const balance of balances) watched.balances.set(balance.asset, balance);
    for (const position of positions) watched.positions.set(keyOf(position), position);
    watched.stopFollowing = this.#deps.userLog.follow(watched.userId, logSeq, (events) => take(watched, events));
    watched.phase = 'following';
    this.#value(watched);
  }

  #value(watched: Watched): void {
    const { price } = this.#deps.prices;
    // Also asks for them, so that they go on being kept.
    const moved = watched.used.filter((each) => (price(...each.pair)?.price ?? null) !== each.price);
    if (!watched.changed && moved.length === 0) return;
    const used: { pair: Pair; price: string | null }[] = [];
    const recording: PriceSource = (base, quote) => {
      const found = price(base, quote);
      used.push({ pair: [base, quote], price: found?.price ?? null });
      return found;
    };
    const holdings = { balances: [...watched.balances.values()], positions: [...watched.positions.values()] };
    const portfolio = valuePortfolio(holdings, recording, this.#deps.clock.now());
    watched.used = used;
    watched.changed = false;
    for (const listener of watched.listeners) {
      try {
        listener(portfolio);
      } catch (error) {
        this.#faults.inc({ what: 'listener' });
        this.#deps.log.error({ event: 'valuation_listener_fault', userId: watched.userId, err: error });
      }
    }
  }
}

function take(watched: Watched, events: readonly SyncEvent[]): void {
  for (const { data } of events) {
    if (data.type === 'balance') {
      const { asset, total, available, held } = data.balance;
      watched.balances.set(asset, { asset, total, available, held });
    } else if (data.type === 'position') watched.positions.set(keyOf(data.position), data.position);
    else continue;
    watched.changed = true;
  }
}

function keyOf({ account, base, quote }: Position): string {
  return `${account} ${base} ${quote}`;
}

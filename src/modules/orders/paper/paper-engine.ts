import type { Clock } from '../../../kernel/clock.ts';
import type { Random } from '../../../kernel/random.ts';
import type { Service } from '../../../kernel/service.ts';
import type { Log } from '../../../platform/log.ts';
import type { Metrics } from '../../../platform/metrics.ts';
import type { Database } from '../../../platform/postgres.ts';
import type { Market } from '../../../protocol/market.ts';
import type { MarketDirectory, StreamCache } from '../../market/index.ts';
import { BOOK_AGE_LIMIT_MS } from '../books.ts';
import type { ExecutionDesk, WorkingOrder } from '../desk.ts';
import { readWorking } from '../queries.ts';
import { lotOf, tickOf } from '../pricing.ts';
import type { PaperEvent, PaperSettings } from './core-events.ts';
import { SCALE, UNIT } from './fixed-point.ts';
import type { VenueLatency } from './latency.ts';
import { createMarketLeases, nameOf } from './market-leases.ts';
import type { MarketLeases } from './market-leases.ts';
import type { MarketName } from './market-runner.ts';
import { MarketRunner } from './market-runner.ts';
import { isEnded } from './paper-order.ts';
import { createPaperMetrics } from './paper-metrics.ts';

/** More markets than one process can follow at 30 messages a second each; orders on others wait for another process. */
const MARKETS_LIMIT = 500;
const ORDERS_PER_MARKET_LIMIT = 10_000;
/** Book levels a side; the deepest public tier. */
const BOOK_DEPTH = 100;
/** Commands whose wake was lost are found by this. */
const POLL_MS = 1_000;
const POLL_PAGE = 500;
/** Markets that another process left behind are found by this. */
const SWEEP_MS = 5_000;
/** A market without orders is kept this long, streams and all, for the next one. */
const IDLE_LINGER_MS = 60_000;
/** A market that failed, or that another process has, is left alone this long. */
const PAUSE_MS = 2_000;

/** Between our command and its effect at the exchange, order entry over REST. Assumed, not measured: a venue's own figures go into `latency`. */
const DEFAULT_LATENCY: VenueLatency = {
  submit: { medianMs: 60, p99Ms: 300 },
  cancel: { medianMs: 50, p99Ms: 250 },
};
/** Stands on every order: rises with each change of the rules that fills are made by. */
export const PAPER_MODEL_VERSION = 'paper-1';

export type PaperEngineDeps = Readonly<{
  execution: ExecutionDesk;
  database: Database;
  cache: StreamCache;
  directory: MarketDirectory;
  clock: Clock;
  random: Random;
  /** Latency draws depend on it, the order and the time of its command, and on nothing else. */
  seed: number;
  log: Log;
  metrics: Metrics;
  latency?: (venue: string) => VenueLatency;
  /** Default: as old as a book may be that orders are priced with. */
  bookAgeLimitMs?: number;
  /** Everything that decisions were made from, in order, by market: for replays. */
  trace?: (market: MarketName, event: PaperEvent) => void;
}>;

type DropReason = 'idle' | 'rules' | 'lost' | 'failed' | 'stop';

/** Fills `account: 'paper'` orders against the live book. Any number of processes may run one; each market has one owner. */
export function createPaperEngine(deps: PaperEngineDeps): Service {
  return new PaperEngine(deps);
}

class PaperEngine implements Service {
  readonly #deps: PaperEngineDeps;
  readonly #leases: MarketLeases;
  readonly #metrics: ReturnType<typeof createPaperMetrics>;
  readonly #runners = new Map<string, MarketRunner>();
  /** Being opened; what is told of them meanwhile is in the database, where the runner will read it. */
  readonly #opening = new Map<string, Promise<void>>();
  readonly #closing = new Map<string, Promise<void>>();
  /** Run with the finest steps, because nobody knew the market's own when it was opened. */
  readonly #unruled = new Set<string>();
  /** When a market may be tried again that failed or that another process has. */
  readonly #notBeforeMs = new Map<string, number>();
  #timers: NodeJS.Timeout[] = [];
  #unlisten: () => void = () => {};
  #cursor: string | null = null;
  #poll: Promise<void> | null = null;
  #sweep: Promise<void> | null = null;
  #stopping = false;

  constructor(deps: PaperEngineDeps) {
    this.#deps = deps;
    const { database, clock, log } = deps;
    this.#leases = createMarketLeases({ database, clock, log, onLost: (market) => void this.#drop(market, 'lost') });
    this.#metrics = createPaperMetrics(deps.metrics, () => this.#figures());
  }

  /** Answers once no command can be missed any more; the markets with orders are opened from then on. */
  async start(): Promise<void> {
    // The cursor first: what is commanded from here on is told, what was before is read with the market's orders.
    this.#cursor = (await this.#deps.execution.commandsSince(null, 1)).cursor;
    this.#unlisten = this.#deps.execution.onCommand((working) => this.#route(working));
    this.#runSweep();
    this.#timers = [setInterval(() => this.#runPoll(), POLL_MS), setInterval(() => this.#runSweep(), SWEEP_MS)];
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    this.#unlisten();
    for (const timer of this.#timers) clearInterval(timer);
    await Promise.allSettled([this.#poll, this.#sweep, ...this.#opening.values()]);
    const markets = [...this.#runners.values()].map(({ market }) => market);
    await Promise.all(markets.map((market) => this.#drop(market, 'stop')));
    await this.#leases.stop();
  }

  #route(working: WorkingOrder): void {
    const { account, venue, symbol, status } = working.order;
    if (account !== 'paper' || this.#stopping) return;
    const runner = this.#runners.get(nameOf({ venue, symbol }));
    if (runner !== undefined) runner.tell(working);
    else if (!isEnded(status)) void this.#open({ venue, symbol });
  }

  /** Once for each market at a time; rejects never. */
  #open(market: MarketName): Promise<void> {
    const name = nameOf(market);
    const under = this.#opening.get(name);
    if (under !== undefined) return under;
    if (this.#runners.has(name)) return Promise.resolve();
    if ((this.#notBeforeMs.get(name) ?? -Infinity) > this.#deps.clock.monotonic()) return Promise.resolve();
    this.#notBeforeMs.delete(name);
    const opening = this.#openNow(market)
      .catch((error: unknown) => this.#deps.log.warn({ event: 'paper_market_not_opened', ...market, err: error }))
      .finally(() => this.#opening.delete(name));
    this.#opening.set(name, opening);
    return opening;
  }

  async #openNow(market: MarketName): Promise<void> {
    if (this.#runners.size + this.#opening.size >= MARKETS_LIMIT) {
      this.#metrics.refused.inc({});
      this.#deps.log.error({ event: 'paper_markets_full', ...market });
      return;
    }
    // The loop before this one may still have a statement under way, and will give the lease back after it.
    await this.#closing.get(nameOf(market));
    if (!(await this.#leases.take(market))) return this.#pause(market);
    if (this.#stopping) return this.#leases.release(market);
    const { execution, database, cache, clock, random, log, trace } = this.#deps;
    // A venue that has not told its markets yet: orders can be cancelled all the same.
    const rules = this.#rulesOf(market);
    if (rules === null) this.#unruled.add(nameOf(market));
    const runner = new MarketRunner({
      market,
      settings: this.#settingsFor(market, rules),
      execution,
      cache,
      clock,
      random,
      log,
      trace,
      metrics: this.#metrics,
      mayWrite: () => this.#leases.holds(market),
      reRead: async (orderId) => (await readWorking(database, [orderId]))[0] ?? null,
      onEnd: (error) => {
        this.#metrics.faults.inc({ what: 'market' });
        log.error({ event: 'paper_market_failed', ...market, err: error });
        this.#pause(market);
        void this.#drop(market, 'failed');
      },
    });
    this.#runners.set(nameOf(market), runner);
    log.info({ event: 'paper_market_opened', ...market });
    runner.start();
  }

  #pause(market: MarketName): void {
    this.#notBeforeMs.set(nameOf(market), this.#deps.clock.monotonic() + PAUSE_MS);
  }

  async #drop(market: MarketName, why: DropReason): Promise<void> {
    const name = nameOf(market);
    const runner = this.#runners.get(name);
    if (runner === undefined) return;
    this.#runners.delete(name);
    this.#unruled.delete(name);
    this.#deps.log.info({ event: 'paper_market_closed', ...market, why });
    const closing = this.#close(runner, why).finally(() => this.#closing.delete(name));
    this.#closing.set(name, closing);
    return closing;
  }

  async #close(runner: MarketRunner, why: DropReason): Promise<void> {
    const { market } = runner;
    await runner.stop();
    try {
      if (why !== 'lost') await this.#leases.release(market);
    } catch (error) {
      // It expires by itself.
      this.#deps.log.warn({ event: 'paper_lease_not_released', ...market, err: error });
    }
  }

  async #openMarkets(): Promise<void> {
    const markets = await this.#deps.execution.workingMarkets();
    await Promise.all(markets.map((market) => this.#open(market)));
  }

  #runPoll(): void {
    this.#poll ??= this.#readCommands()
      .catch((error: unknown) => this.#deps.log.warn({ event: 'paper_poll_failed', err: error }))
      .finally(() => {
        this.#poll = null;
      });
  }

  async #readCommands(): Promise<void> {
    for (;;) {
      const page = await this.#deps.execution.commandsSince(this.#cursor, POLL_PAGE);
      this.#cursor = page.cursor;
      for (const working of page.orders) this.#route(working);
      if (page.orders.length < POLL_PAGE || this.#stopping) return;
    }
  }

  #runSweep(): void {
    this.#sweep ??= this.#lookAround()
      .catch((error: unknown) => this.#deps.log.warn({ event: 'paper_sweep_failed', err: error }))
      .finally(() => {
        this.#sweep = null;
      });
  }

  async #lookAround(): Promise<void> {
    const idle = [...this.#runners.values()].filter((runner) => runner.idleMs > IDLE_LINGER_MS);
    await Promise.all(idle.map(({ market }) => this.#drop(market, 'idle')));
    const ruled = [...this.#runners.values()].filter(
      ({ market }) => this.#unruled.has(nameOf(market)) && this.#rulesOf(market) !== null,
    );
    await Promise.all(ruled.map(({ market }) => this.#drop(market, 'rules')));
    if (!this.#stopping) await this.#openMarkets();
  }

  #rulesOf({ venue, symbol }: MarketName): Market | null {
    const answer = this.#deps.directory.find(venue, symbol);
    return answer.found === 'market' ? answer.market : null;
  }

  #settingsFor({ venue, symbol }: MarketName, rules: Market | null): PaperSettings {
    const { seed, latency, bookAgeLimitMs } = this.#deps;
    return {
      seed,
      latency: latency?.(venue) ?? DEFAULT_LATENCY,
      bookAgeLimitMs: bookAgeLimitMs ?? BOOK_AGE_LIMIT_MS,
      // The steps that quotes and placements go by.
      tick: rules === null ? 1n : (tickOf(rules) ?? UNIT / 10n ** BigInt(Math.min(SCALE, rules.priceDecimals))),
      lot: rules === null ? 1n : lotOf(rules),
      depth: BOOK_DEPTH,
      bookStream: `book:${venue}:${symbol}:${BOOK_DEPTH}:100ms`,
      tradesStream: `trades:${venue}:${symbol}`,
      ordersLimit: ORDERS_PER_MARKET_LIMIT,
    };
  }

  #figures() {
    const runners = [...this.#runners.values()];
    return {
      markets: runners.length,
      doubtful: runners.filter(({ usable }) => !usable).length,
      orders: runners.reduce((sum, { orderCount }) => sum + orderCount, 0),
      queued: runners.reduce((sum, { queued }) => sum + queued, 0),
    };
  }
}

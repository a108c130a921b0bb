import { expect } from 'vitest';
import type { Service } from '../kernel/service.ts';
import { createLiveBooks } from '../modules/orders/live-books.ts';
import { createPaperEngine, PAPER_MODEL_VERSION } from '../modules/orders/index.ts';
import type { Caller, PaperEngineDeps } from '../modules/orders/index.ts';
import { createMetrics } from '../platform/metrics.ts';
import type { Database } from '../platform/postgres.ts';
import type { Upstream } from '../modules/market/index.ts';
import type { StreamStatus } from '../protocol/messages.ts';
import type { Order, PlaceOrder } from '../protocol/trading.ts';
import { BTC_USDT, NO_KEY, VENUE, createOrderRig, valueOf } from './orders.ts';
import type { OrderRig } from './orders.ts';
import { silentLog } from './postgres.ts';
import { startScriptedMarket } from './scripted-market.ts';
import type { ScriptedMarket } from './scripted-market.ts';

type Levels = readonly (readonly [price: number, size: number])[];
const PAIR = { venue: VENUE, symbol: 'BTC/USDT' } as const;
const NO_DELAY = { submit: { medianMs: 1, p99Ms: 1 }, cancel: { medianMs: 1, p99Ms: 1 } };

/** The real market module, the real orders and a real database under a paper engine; the exchange is a script. */
export class PaperStage {
  readonly rig: OrderRig;
  readonly market: ScriptedMarket;
  readonly #books: { stop(): void };
  readonly #engines = new Set<Service>();
  #count = 0;
  #status: StreamStatus = 'live';
  #book: { bids: Levels; asks: Levels } = { bids: [], asks: [] };

  private constructor(rig: OrderRig, market: ScriptedMarket, books: { stop(): void }) {
    this.rig = rig;
    this.market = market;
    this.#books = books;
  }

  static async open(database: Database): Promise<PaperStage> {
    const self: { stage?: PaperStage } = {};
    // An exchange answers a moment after it was asked.
    const market = await startScriptedMarket([VENUE], (upstream) => setImmediate(() => self.stage!.#answer(upstream)));
    market.ingest.markets(VENUE, [BTC_USDT, { ...BTC_USDT, symbol: 'ETH/USDT', base: 'ETH' }]);
    await market.directory.loaded(VENUE);
    const books = createLiveBooks(market);
    const { directory } = market;
    const rig = await createOrderRig(database, { directory, books, modelVersion: PAPER_MODEL_VERSION });
    self.stage = new PaperStage(rig, market, books);
    return self.stage;
  }

  async startEngine(changes: Partial<PaperEngineDeps> = {}): Promise<Service> {
    const engine = createPaperEngine({
      execution: this.rig.orders.execution,
      database: this.rig.database,
      cache: this.market.cache,
      directory: this.market.directory,
      clock: this.market.clock,
      random: Math.random,
      seed: 1,
      log: silentLog,
      metrics: createMetrics({ processMetrics: false }),
      latency: () => NO_DELAY,
      ...changes,
    });
    this.#engines.add(engine);
    await engine.start();
    return engine;
  }

  async stopEngine(engine: Service): Promise<void> {
    this.#engines.delete(engine);
    await engine.stop();
  }

  /** Of all three streams. The book comes again with `live`, as it does from an exchange. */
  say(status: StreamStatus): void {
    this.#status = status;
    for (const channel of ['book', 'trades', 'ticker'] as const) this.#answer({ channel, ...PAIR });
  }

  #answer(upstream: Upstream): void {
    if (upstream.channel === 'candles' || upstream.symbol !== PAIR.symbol) return;
    const state = { status: this.#status, since: Date.now(), reason: 'scripted' };
    this.market.ingest.upstreamState(upstream, state);
    if (this.#status !== 'live') return;
    if (upstream.channel === 'book') this.setBook(this.#book.bids, this.#book.asks);
    else if (upstream.channel === 'ticker') {
      this.market.ingest.ticker({ ...PAIR, ingestTs: Date.now(), fields: { last: '100' } });
    }
  }

  setBook(bids: Levels, asks: Levels): void {
    this.#book = { bids, asks };
    this.market.ingest.book({
      ...PAIR,
      bids: Float64Array.from(bids.flat()),
      asks: Float64Array.from(asks.flat()),
      exchangeSeq: ++this.#count,
      exchangeTs: Date.now(),
      ingestTs: Date.now(),
    });
  }

  trade(price: string, size: string, side: 'buy' | 'sell'): string {
    const id = `public-${++this.#count}`;
    // Later than any book that was seen, as it would be at an exchange.
    const trades = [{ id, price, size, side, ts: Date.now() + 1 }];
    this.market.ingest.trades({ ...PAIR, trades, ingestTs: Date.now() });
    return id;
  }

  async place(caller: Caller, order: PlaceOrder): Promise<Order> {
    return valueOf(await this.rig.orders.desk.place(caller, order, NO_KEY)).value;
  }

  async order(caller: Caller, order: Pick<Order, 'id'>): Promise<Order> {
    return (await this.rig.orders.desk.order(caller.userId, order.id))!;
  }

  /** Waits until the order's `status filled/quantity` is this. */
  async expectOrder(caller: Caller, order: Pick<Order, 'id'>, wanted: string): Promise<Order> {
    await expect
      .poll(
        async () => {
          const { status, filledQuantity, quantity } = await this.order(caller, order);
          return `${status} ${filledQuantity}/${quantity ?? '-'}`;
        },
        { timeout: 15_000, interval: 10 },
      )
      .toBe(wanted);
    return this.order(caller, order);
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#engines].map((engine) => engine.stop()));
    this.#books.stop();
    this.rig.orders.stop();
    await this.market.stop();
  }
}

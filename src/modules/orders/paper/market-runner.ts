import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../../../kernel/clock.ts';
import type { Random } from '../../../kernel/random.ts';
import type { Log } from '../../../platform/log.ts';
import type { StreamCache } from '../../market/index.ts';
import type { ExecutionDesk, WorkingOrder } from '../desk.ts';
import type { Decision, PaperEvent, PaperSettings } from './core-events.ts';
import type { CarrierSetup } from './decision-carrier.ts';
import { Abandoned, carryOut, untilDone } from './decision-carrier.ts';
import { EventInbox } from './event-inbox.ts';
import { MarketCore } from './market-core.ts';
import type { MarketFeed } from './market-feed.ts';
import { openMarketFeed } from './market-feed.ts';
import type { PaperMetrics } from './paper-metrics.ts';

/** Statements of one market under way at once. */
const COMMITS_AT_ONCE = 8;
/** Decisions that wait for the database; with more, events wait. */
const PENDING_LIMIT = 256;
/** Refusals of one order in a row, after which it is set aside: its decisions would go round in a circle. */
const REFUSALS_LIMIT = 50;
/** How long an order that ended without our doing (a leg of a list, a cancelled stop) may be kept for nothing. */
const RECONCILE_MS = 20_000;
/** The same after something happened to an order of a list, whose other legs change with it. */
const RECONCILE_SOON_MS = 100;
const TIMER_LIMIT_MS = 60_000;

export type MarketName = Readonly<{ venue: string; symbol: string }>;
export type RunnerSetup = Readonly<{
  market: MarketName;
  settings: PaperSettings;
  execution: ExecutionDesk;
  cache: StreamCache;
  mayWrite: () => boolean;
  /** The order as it is now, over or not; null: not there. */
  reRead: (orderId: string) => Promise<WorkingOrder | null>;
  clock: Clock;
  random: Random;
  log: Log;
  metrics: PaperMetrics;
  /** Everything that the core is told, in order: enough to decide all of it again. */
  trace?: ((market: MarketName, event: PaperEvent) => void) | undefined;
  /** The loop has ended by itself, because of an error. */
  onEnd: (error: unknown) => void;
}>;

/**
 * One market's loop: events in their order, and what they lead to in the database. Orders do not wait for each other there, and
 * the market does not wait for them; of one order there is one statement at a time.
 */
export class MarketRunner {
  readonly market: MarketName;
  readonly #setup: RunnerSetup;
  readonly #core: MarketCore;
  readonly #inbox = new EventInbox();
  readonly #abort = new AbortController();
  readonly #carrier: CarrierSetup;
  /** Orders whose statement the database cannot carry out, and at which version: not looked at again until they change. */
  readonly #setAside = new Map<string, number>();
  /** Refused in a row, by order; those that are over leave it with their last refusal at the next reconciliation. */
  readonly #refusals = new Map<string, number>();
  readonly #pending: Decision[] = [];
  readonly #workers = new Set<Promise<void>>();
  #failure: unknown;
  #feed: MarketFeed | undefined;
  #wake: () => void = () => {};
  #done: Promise<void> = Promise.resolve();
  #reconcileAtMs = 0;
  #busySinceMs: number;

  constructor(setup: RunnerSetup) {
    this.market = setup.market;
    this.#setup = setup;
    this.#core = new MarketCore(setup.settings, setup.clock.now());
    this.#busySinceMs = setup.clock.monotonic();
    this.#carrier = { ...setup, signal: this.#abort.signal };
  }

  get orderCount(): number {
    return this.#core.orderCount;
  }

  get usable(): boolean {
    return this.#core.usable;
  }

  get queued(): number {
    return this.#inbox.length;
  }

  /** Since when there has been nothing to do; 0 while there is. Milliseconds. */
  get idleMs(): number {
    return this.#core.orderCount + this.#inbox.length + this.#workers.size > 0
      ? 0
      : this.#setup.clock.monotonic() - this.#busySinceMs;
  }

  start(): void {
    this.#done = this.#run();
  }

  /** What is under way in the database ends; what is only decided is decided again by whoever is next. */
  async stop(): Promise<void> {
    this.#abort.abort();
    this.#wake();
    await this.#done;
  }

  tell(working: WorkingOrder): void {
    this.#offer({ type: 'order', nowMs: this.#setup.clock.now(), working });
  }

  async #run(): Promise<void> {
    try {
      await this.#reconcile();
      const { cache, settings, clock } = this.#setup;
      this.#feed = openMarketFeed({
        cache,
        bookStream: settings.bookStream,
        tradesStream: settings.tradesStream,
        now: () => clock.now(),
        take: (event) => this.#offer(event),
      });
      while (!this.#abort.signal.aborted) await this.#turn();
    } catch (error) {
      if (!(error instanceof Abandoned)) this.#setup.onEnd(error);
    } finally {
      this.#feed?.close();
      this.#abort.abort();
      await Promise.all(this.#workers);
    }
  }

  async #turn(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#pending.length >= PENDING_LIMIT) return this.#sleepUntilWoken();
    const event = this.#inbox.take();
    const nowMs = event?.nowMs ?? this.#setup.clock.now();
    // What time alone brings about happens at its time, in the market of that time, even when the loop is late.
    for (let due = this.#core.dueMs(); due <= nowMs; due = this.#core.dueMs()) {
      this.#process({ type: 'clock', nowMs: due });
    }
    if (event !== undefined) {
      this.#setup.metrics.lagMs.observe({}, Math.max(0, this.#setup.clock.now() - event.nowMs));
      this.#process(event);
      // Answers of the database come between two events.
      return nextTurn();
    }
    if (this.#setup.clock.monotonic() >= this.#reconcileAtMs) return this.#reconcile();
    await this.#sleep();
  }

  #sleepUntilWoken(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  async #sleep(): Promise<void> {
    if (this.#inbox.length > 0 || this.#failure !== undefined || this.#abort.signal.aborted) return;
    const { clock } = this.#setup;
    const dueInMs = this.#core.dueMs() - clock.now();
    const waitMs = Math.min(dueInMs, this.#reconcileAtMs - clock.monotonic(), TIMER_LIMIT_MS);
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, Math.max(0, Math.ceil(waitMs)));
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #offer(event: PaperEvent): void {
    if (this.#abort.signal.aborted) return;
    if (!this.#inbox.offer(event)) {
      this.#setup.metrics.overflows.inc({});
      this.#setup.log.warn({ event: 'paper_inbox_overflow', ...this.market });
      this.#feed?.retell();
    }
    this.#wake();
  }

  #process(event: PaperEvent): void {
    if (event.type === 'order' && this.#isSetAside(event.working)) return;
    this.#dispatch(this.#step(event));
    if (this.#core.orderCount > 0) this.#busySinceMs = this.#setup.clock.monotonic();
  }

  #dispatch(decisions: readonly Decision[]): void {
    this.#pending.push(...decisions);
    while (this.#workers.size < COMMITS_AT_ONCE && this.#pending.length > 0) {
      const worker = this.#work().finally(() => {
        this.#workers.delete(worker);
        this.#wake();
      });
      this.#workers.add(worker);
    }
  }

  /** Carries decisions out until there are none. Rejects never: what goes wrong ends the loop. */
  async #work(): Promise<void> {
    try {
      for (let decision = this.#pending.shift(); decision !== undefined; decision = this.#pending.shift()) {
        const answer = await this.#carryOut(decision);
        this.#dispatch(this.#step({ type: 'done', nowMs: this.#setup.clock.now(), decision, answer }));
        this.#wake();
      }
    } catch (error) {
      this.#failure ??= error;
    }
  }

  async #carryOut(decision: Decision) {
    try {
      const answer = await carryOut(this.#carrier, decision);
      this.#count(decision, answer.refused === null);
      if (answer.working === null || answer.working.order.listId !== null) this.#reconcileSoon();
      this.#countRefusals(decision, answer.refused);
      return answer;
    } catch (error) {
      if (error instanceof Abandoned) throw error;
      // One order that cannot be carried out must not stop the market of all others.
      this.#setup.metrics.faults.inc({ what: 'order' });
      this.#setup.log.error({ event: 'paper_order_set_aside', ...decision, err: error });
      this.#setAside.set(decision.orderId, decision.version);
      return { working: null, refused: 'not_found' as const };
    }
  }

  #step(event: PaperEvent): Decision[] {
    this.#setup.trace?.(this.market, event);
    return this.#core.step(event);
  }

  #count({ step }: Decision, isDone: boolean): void {
    if (!isDone || step.do !== 'fill') return;
    for (const { liquidity } of step.fills) this.#setup.metrics.fills.inc({ venue: this.market.venue, liquidity });
  }

  #countRefusals({ orderId }: Decision, refused: string | null): void {
    const count = refused === null ? 0 : (this.#refusals.get(orderId) ?? 0) + 1;
    if (count === 0) this.#refusals.delete(orderId);
    else this.#refusals.set(orderId, count);
    if (count < REFUSALS_LIMIT) return;
    this.#refusals.delete(orderId);
    throw new Error(`the last ${count} decisions about the order were refused`);
  }

  #isSetAside({ order }: WorkingOrder): boolean {
    if (this.#setAside.get(order.id) === order.version) return true;
    this.#setAside.delete(order.id);
    return false;
  }

  #reconcileSoon(): void {
    this.#reconcileAtMs = Math.min(this.#reconcileAtMs, this.#setup.clock.monotonic() + RECONCILE_SOON_MS);
  }

  /** Orders that the database has and the core has not, or the other way round: the database is right. */
  async #reconcile(): Promise<void> {
    const { execution, clock, market } = this.#setup;
    this.#reconcileAtMs = clock.monotonic() + RECONCILE_MS;
    for (const orderId of this.#refusals.keys()) if (!this.#core.has(orderId)) this.#refusals.delete(orderId);
    const known = this.#core.versions();
    const orders = await untilDone(this.#carrier, () => execution.workingOrders(market));
    const working = new Set(orders.map(({ order }) => order.id));
    for (const [orderId, version] of known) {
      if (!working.has(orderId)) this.#process({ type: 'gone', nowMs: clock.now(), orderId, version });
    }
    for (const each of orders) this.#process({ type: 'order', nowMs: clock.now(), working: each });
  }
}

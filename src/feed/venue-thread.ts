import { setTimeout as sleep } from 'node:timers/promises';
import { backoffDelayMs } from '../kernel/backoff.ts';
import type { Clock } from '../kernel/clock.ts';
import type { Random } from '../kernel/random.ts';
import type { Upstream } from '../modules/market/upstream.ts';
import { upstreamKey } from '../modules/market/upstream.ts';
import type { TappedExchange, TapSink } from './adapter-ccxt.ts';
import { loadExchangeClass, tapExchange } from './adapter-ccxt.ts';
import { BatchPacker, buffersOf } from './batch-wire.ts';
import { capabilitiesOf } from './legs.ts';
import { marketList } from './market-list.ts';
import { Outbox } from './outbox.ts';
import type { RequestRates } from './request-budget.ts';
import { RequestBudget } from './request-budget.ts';
import { SessionGauges } from './session-gauges.ts';
import { messageOf, note } from './thread-notes.ts';
import type { FromThread, ThreadSettings, ToThread } from './thread-protocol.ts';
import type { Subscription } from './upstream-session.ts';
import { VenueSession } from './venue-session.ts';
import { quirksOf } from './venues/index.ts';
import type { VenueQuirks } from './venues/quirks.ts';

/** The sandbox bans nobody who does not ask for it; this only keeps a fault of ours from spinning. */
const SANDBOX_RATES: RequestRates = {
  rest: { capacity: 100, refillPerSecond: 100 },
  subscribe: { capacity: 200, refillPerSecond: 200 },
  dial: { capacity: 50, refillPerSecond: 50 },
};
/** Upstreams remembered while the markets load. */
const EARLY_WANTS_LIMIT = 10_000;

export type ThreadSetup = Readonly<{
  thread: ThreadSettings;
  clock: Clock;
  random: Random;
  /** `moved`: memory of the message that goes with it. */
  post: (message: FromThread, moved?: ArrayBuffer[]) => void;
}>;

/** One venue's side of the thread boundary: loads the markets, then serves the main thread's wishes. */
export class VenueThread {
  readonly #setup: ThreadSetup;
  readonly #quirks: VenueQuirks;
  readonly #budget: RequestBudget;
  readonly #outbox: Outbox;
  readonly #packer = new BatchPacker();
  readonly #gauges = new SessionGauges();
  readonly #session: VenueSession;
  readonly #earlyWants = new Map<string, Upstream>();
  readonly #abort = new AbortController();
  #timers: NodeJS.Timeout[] = [];
  #markets: Readonly<{ markets: unknown; currencies: unknown }> | undefined;
  #ready = false;
  #recycling = false;

  constructor(setup: ThreadSetup) {
    const { settings, limits, bannedUntil } = setup.thread;
    this.#setup = setup;
    this.#quirks = quirksOf(settings.ccxtId);
    const rates = settings.sandboxUrl === undefined ? this.#quirks.rates : SANDBOX_RATES;
    this.#budget = new RequestBudget(rates, setup.clock, bannedUntil);
    this.#outbox = new Outbox({
      post: (batch) => {
        const packed = this.#packer.pack(batch);
        setup.post(packed, buffersOf(packed));
      },
      now: () => setup.clock.monotonic(),
      bookIntervalMs: limits.bookIntervalMs,
      creditBatches: limits.creditBatches,
      tradesWaiting: limits.tradesWaiting,
    });
    this.#session = new VenueSession({
      quirks: this.#quirks,
      limits,
      outbox: this.#outbox,
      gauges: this.#gauges,
      clock: setup.clock,
      random: setup.random,
      post: setup.post,
      ban: (retryAfter) => this.#ban(retryAfter),
      makeExchange: (sink) => this.#makeExchange(sink),
    });
  }

  async start(): Promise<void> {
    const { limits } = this.#setup.thread;
    this.#timers.push(setInterval(() => this.#pulse(), limits.pulseMs));
    for (let attempt = 0; !this.#abort.signal.aborted; attempt++) {
      try {
        await this.#session.useNewExchange();
        break;
      } catch (error) {
        this.#setup.post({ type: 'attempt', what: 'markets', error: messageOf(error) });
        const pauseMs = backoffDelayMs(limits.redial, attempt, this.#setup.random);
        await sleep(pauseMs, undefined, { signal: this.#abort.signal }).catch(() => undefined);
      }
    }
    if (this.#abort.signal.aborted) return;
    this.#setup.post({ type: 'attempt', what: 'markets', error: null });
    this.#tellMarkets();
    this.#ready = true;
    for (const upstream of this.#earlyWants.values()) this.#session.want(upstream);
    this.#earlyWants.clear();
    this.#timers.push(setInterval(() => void this.#refreshMarkets(), limits.marketsMs));
  }

  handle(message: ToThread): void {
    switch (message.type) {
      case 'want':
        if (this.#ready) return this.#session.want(message.upstream);
        if (this.#earlyWants.size >= EARLY_WANTS_LIMIT) return;
        this.#earlyWants.set(upstreamKey(message.upstream), message.upstream);
        return;
      case 'unwant':
        this.#earlyWants.delete(message.key);
        return this.#session.unwant(message.key);
      case 'nudge':
        return this.#session.nudge(message.key, message.doubt, message.activity);
      case 'recycle':
        void this.#recycle();
        return;
      case 'ack':
        return this.#outbox.ack(message.batch);
      case 'stop':
        return this.#stop();
    }
  }

  #stop(): void {
    this.#abort.abort();
    for (const timer of this.#timers) clearInterval(timer);
    this.#timers = [];
    this.#session.stop();
    this.#outbox.stop();
    this.#budget.close();
  }

  async #makeExchange(sink: TapSink<Subscription>): Promise<TappedExchange<Subscription>> {
    const { settings } = this.#setup.thread;
    const tap = await tapExchange<Subscription>({
      exchangeClass: await loadExchangeClass(settings.ccxtId),
      settings,
      quirks: this.#quirks,
      budget: this.#budget,
      sink,
      note: (detail) => this.#setup.post(note('debug', 'ccxt_says', detail)),
    });
    const { exchange } = tap;
    if (this.#markets !== undefined) exchange.setMarkets(this.#markets.markets, this.#markets.currencies);
    await exchange.loadMarkets();
    this.#markets = { markets: exchange.markets, currencies: exchange.currencies };
    // From here on texts stay as the exchange sent them; ccxt's own arithmetic on the markets wanted numbers.
    exchange.number = String;
    return tap;
  }

  async #recycle(): Promise<void> {
    if (this.#recycling || !this.#ready) return;
    this.#recycling = true;
    try {
      await this.#session.useNewExchange();
      this.#setup.post(note('warn', 'feed_exchange_recycled', 'a new ccxt object has taken over'));
    } catch (error) {
      this.#setup.post(note('error', 'feed_recycle_failed', messageOf(error)));
    } finally {
      this.#recycling = false;
    }
  }

  /** With an exchange object of its own: a reload in place would turn the texts back into numbers meanwhile. */
  async #refreshMarkets(): Promise<void> {
    const before = this.#markets;
    this.#markets = undefined;
    try {
      const tap = await this.#makeExchange({ ...SILENT_SINK, limited: (retryAfter) => this.#ban(retryAfter) });
      tap.close();
      const { exchange } = this.#session;
      exchange?.setMarkets(tap.exchange.markets, tap.exchange.currencies);
      this.#tellMarkets();
      this.#session.listingChanged();
    } catch (error) {
      this.#markets = before;
      this.#setup.post(note('warn', 'feed_markets_not_refreshed', messageOf(error)));
    }
  }

  #tellMarkets(): void {
    const { exchange } = this.#session;
    if (exchange === undefined) return;
    this.#setup.post({
      type: 'ready',
      markets: marketList(this.#setup.thread.settings.venue, exchange),
      capabilities: capabilitiesOf(exchange, this.#quirks),
    });
  }

  #ban(retryAfter: string | undefined): void {
    this.#setup.post({ type: 'banned', until: this.#budget.ban(retryAfter) });
  }

  #pulse(): void {
    const active: [string, number][] = [];
    let heldBack = 0;
    for (const upstream of this.#session.all()) {
      if (upstream.activity === upstream.reportedActivity) continue;
      upstream.reportedActivity = upstream.activity;
      active.push([upstream.key, upstream.activity]);
    }
    for (const book of Object.values(this.#session.exchange?.orderbooks ?? {})) heldBack += book.cache.length;
    const cpu = process.threadCpuUsage();
    this.#setup.post({
      type: 'pulse',
      pulse: {
        ...this.#gauges.read(),
        active,
        sockets: this.#session.sockets,
        conflated: this.#outbox.conflated,
        heldBack,
        heapBytes: process.memoryUsage().heapUsed,
        cpuMs: (cpu.user + cpu.system) / 1000,
      },
    });
  }
}

const SILENT_SINK: TapSink<Subscription> = {
  subscribing: () => {},
  opened: () => {},
  received: () => {},
  lost: () => {},
  frame: () => false,
  handled: () => {},
  unreadable: () => {},
  resolved: () => {},
  rejected: () => {},
  limited: () => {},
};

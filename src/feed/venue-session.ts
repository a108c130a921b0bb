import type { Clock } from '../kernel/clock.ts';
import type { Random } from '../kernel/random.ts';
import type { Upstream } from '../modules/market/upstream.ts';
import { upstreamKey } from '../modules/market/upstream.ts';
import type { Route, TappedExchange, TapSink } from './adapter-ccxt.ts';
import type { CcxtClient, CcxtExchange } from './ccxt-surface.ts';
import { isExchangeError } from './ccxt-surface.ts';
import { Connections } from './connections.ts';
import { legsOf } from './legs.ts';
import type { Outbox } from './outbox.ts';
import { RouteTable, requestId } from './route-table.ts';
import { SanityBands } from './sanity-band.ts';
import type { FeedLimits } from './settings.ts';
import type { SessionGauges } from './session-gauges.ts';
import { SymbolNames } from './symbol-names.ts';
import { messageOf, note } from './thread-notes.ts';
import type { Doubt, FromThread } from './thread-protocol.ts';
import type { Subscription, UpstreamHost } from './upstream-session.ts';
import { UpstreamSession, clearTimers } from './upstream-session.ts';
import type { CheckContext, Finding, Frame, FrameCheck, VenueQuirks } from './venues/quirks.ts';

/** A connection that has said nothing for this long is silent as a whole, not only one of its streams. */
const CONNECTION_SILENT_MS = 2_500;
/** An exchange that refuses a stream for good may still change its mind. */
const REFUSED_RETRY_MS = 60_000;

const REFUSALS = ['BadSymbol', 'NotSupported', 'AuthenticationError', 'PermissionDenied', 'ArgumentsRequired'];
const OUT_OF_STEP = ['ChecksumError', 'InvalidNonce'];

export type SessionSetup = Readonly<{
  quirks: VenueQuirks;
  limits: FeedLimits;
  outbox: Outbox;
  gauges: SessionGauges;
  clock: Clock;
  random: Random;
  post: (message: FromThread) => void;
  ban: (retryAfter: string | undefined) => void;
  /** Makes a new exchange object with the same markets. */
  makeExchange: (sink: TapSink<Subscription>) => Promise<TappedExchange<Subscription>>;
}>;

/** All subscriptions of one exchange object: who gets which frame, what is in doubt, what is subscribed again and when. */
export class VenueSession implements TapSink<Subscription> {
  readonly #setup: SessionSetup;
  readonly #upstreams = new Map<string, UpstreamSession>();
  readonly #bands = new SanityBands();
  readonly #connections: Connections;
  readonly #routes = new RouteTable();
  readonly #touched: UpstreamSession[] = [];
  readonly #refused = new Set<UpstreamSession>();
  readonly #symbols = new SymbolNames();
  #tap: TappedExchange<Subscription> | undefined;
  #check: FrameCheck = {};
  #frameTs: number | undefined;
  #stopped = false;

  constructor(setup: SessionSetup) {
    this.#setup = setup;
    this.#connections = new Connections(setup.limits.redial, setup.random);
  }

  /** Replaces the exchange object; everything wanted is subscribed anew. */
  async useNewExchange(): Promise<void> {
    const tap = await this.#setup.makeExchange(this);
    if (this.#stopped) return tap.close();
    const before = this.#tap;
    for (const { subscriptions } of this.#upstreams.values()) for (const each of subscriptions) each.generation += 1;
    before?.close();
    this.#routes.clear();
    this.#connections.clear();
    this.#tap = tap;
    this.#check = this.#setup.quirks.check?.(this.#checkContext(tap.exchange)) ?? {};
    for (const upstream of this.#upstreams.values()) {
      if (before !== undefined) upstream.suspect('exchange client recycled');
      upstream.channel.forget();
      for (const subscription of upstream.subscriptions)
        this.#subscribeLater(subscription, this.#connections.spreadMs());
    }
  }

  get exchange(): CcxtExchange | undefined {
    return this.#tap?.exchange;
  }

  want(upstream: Upstream): void {
    const known = this.#upstreams.get(upstreamKey(upstream));
    if (known !== undefined) {
      if (known.live) known.outbox.fresh(known.key);
      return known.channel.repeat();
    }
    const { exchange } = this.#required();
    const legs = legsOf(exchange, this.#setup.quirks, upstream);
    const session = new UpstreamSession(this.#host(), upstream, legs.legs, this.#bands.of(upstream.symbol));
    this.#upstreams.set(session.key, session);
    if (legs.refusal !== undefined) {
      this.#refused.add(session);
      return session.outbox.refused(session.key, legs.refusal);
    }
    for (const subscription of session.subscriptions) this.#subscribe(subscription);
    // An exchange without a candle stream still has their history.
    if (session.subscriptions.length === 0) session.channel.subscribing();
  }

  unwant(key: string): void {
    const session = this.#upstreams.get(key);
    if (session === undefined) return;
    this.#upstreams.delete(key);
    this.#refused.delete(session);
    session.outbox.close(key);
    for (const subscription of session.subscriptions) this.#end(subscription);
    session.channel.forget();
  }

  /** The exchange's listing has been loaded again: what it refused it may offer now. */
  listingChanged(): void {
    this.#symbols.clear();
    for (const { key, upstream } of this.#refused) {
      this.unwant(key);
      this.want(upstream);
    }
  }

  nudge(key: string, doubt: Doubt, activity: number): void {
    const session = this.#upstreams.get(key);
    if (session === undefined) return;
    if (session.live && session.activity > activity) {
      session.outbox.fresh(key);
      return session.channel.repeat();
    }
    if (doubt === 'silence') session.channel.awaitNewer();
    session.suspect(doubt);
    session.channel.forget();
    for (const subscription of session.subscriptions) {
      const client = subscription.routes[0]?.client;
      const silentMs = client && this.#connections.silentMs(client, this.#setup.clock.monotonic());
      // On its way already: waiting for its pause, for the budget or for the connection.
      if (client === undefined || silentMs === undefined || subscription.timer !== undefined) continue;
      if (silentMs > CONNECTION_SILENT_MS) this.#required().drop(client, new Error(doubt));
      else this.#resubscribe(subscription, 0, doubt);
    }
  }

  stop(): void {
    this.#stopped = true;
    for (const { subscriptions } of this.#upstreams.values()) for (const each of subscriptions) clearTimers(each);
    this.#tap?.close();
    this.#upstreams.clear();
  }

  *all(): Iterable<UpstreamSession> {
    yield* this.#upstreams.values();
  }

  get sockets(): number {
    return this.#connections.size;
  }

  // --- what the tap tells ---

  subscribing(subscription: Subscription, client: CcxtClient, route: Route): void {
    if (subscription.ended) return this.#unsubscribe(client, route);
    this.#routes.add(subscription, client, route);
    this.#confirmLater(subscription);
  }

  opened(client: CcxtClient): void {
    this.#connections.opened(client, this.#setup.clock.monotonic());
    this.#setup.post({ type: 'attempt', what: 'connection', error: null });
  }

  lost(client: CcxtClient, error: unknown): void {
    const { wasOpen, pauseMs } = this.#connections.lost(client, this.#setup.clock.monotonic());
    const affected = this.#routes.drop(client);
    if (this.#stopped) return;
    const detail = messageOf(error);
    this.#setup.gauges.lost();
    this.#setup.post(note('info', 'feed_connection_lost', detail));
    // While another connection stands, the exchange can be reached.
    if (!wasOpen && this.#connections.size === 0)
      this.#setup.post({ type: 'attempt', what: 'connection', error: detail });
    if (this.exchange !== undefined) this.#setup.quirks.forgetAddress?.(this.exchange);
    for (const subscription of affected) {
      if (subscription.ended) continue;
      subscription.generation += 1;
      if (!subscription.leg.optional) {
        subscription.owner.suspect('disconnected');
        subscription.owner.channel.forget();
      }
      this.#subscribeLater(subscription, pauseMs + this.#connections.spreadMs());
    }
  }

  received(client: CcxtClient): void {
    this.#connections.received(client, this.#setup.clock.monotonic());
    this.#setup.gauges.frame(this.#setup.clock.now());
  }

  frame(client: CcxtClient, frame: Frame): boolean {
    this.#frameTs = this.#setup.clock.now();
    const finding = this.#check.before?.(frame, client);
    this.#act(client, finding);
    if (finding?.drop !== true) return true;
    this.#frameTs = undefined;
    return false;
  }

  handled(client: CcxtClient, frame: Frame): void {
    this.#act(client, this.#check.after?.(frame));
    this.#settle();
    this.#frameTs = undefined;
  }

  unreadable(client: CcxtClient, frame?: Frame, error?: unknown): void {
    // An error that the exchange itself has sent: it concerns what has just been asked for.
    if (isExchangeError(error)) return this.rejected(client, error, requestId(frame));
    this.#setup.gauges.garbage();
    if (error !== undefined) this.#setup.post(note('debug', 'feed_handler_failed', messageOf(error)));
    const { continuity } = this.#setup.quirks;
    for (const subscription of this.#routes.allOf(client)) {
      const { owner } = subscription;
      const { channel } = owner.upstream;
      if (channel === 'book' && (!continuity.book || error !== undefined)) owner.doubt('unreadable frame', true);
      if (channel === 'trades' && !continuity.trades) owner.doubt('unreadable frame', false);
    }
  }

  resolved(client: CcxtClient, result: unknown, hash: string): void {
    const owners = this.#routes.get(client, hash);
    if (owners === undefined) return;
    for (const subscription of owners) {
      subscription.heard = true;
      subscription.owner.channel.take(result);
    }
    // A snapshot that ccxt has fetched resolves outside of any frame.
    if (this.#frameTs === undefined) this.#settle();
  }

  rejected(client: CcxtClient, error: unknown, hash: string | undefined): void {
    const routed = hash === undefined ? undefined : this.#routes.get(client, hash);
    if (hash !== undefined && routed === undefined) return;
    const blamed = routed ?? this.#routes.allOf(client).filter(({ heard }) => !heard);
    for (const subscription of blamed) this.#failed(subscription, error);
  }

  limited(retryAfter: string | undefined): void {
    this.#setup.ban(retryAfter);
  }

  // --- subscribing ---

  #subscribe(subscription: Subscription): void {
    clearTimers(subscription);
    if (subscription.ended || this.#stopped) return;
    subscription.generation += 1;
    subscription.heard = false;
    const { generation, owner, leg } = subscription;
    this.#routes.remove(subscription);
    if (!leg.optional) owner.channel.subscribing();
    this.#required()
      .watchFor(subscription, leg.watch)
      .catch((error: unknown) => {
        if (generation === subscription.generation) this.#failed(subscription, error);
      });
  }

  #subscribeLater(subscription: Subscription, delayMs: number): void {
    clearTimers(subscription);
    subscription.timer = setTimeout(() => this.#subscribe(subscription), delayMs);
  }

  #failed(subscription: Subscription, error: unknown): void {
    if (subscription.ended || this.#stopped) return;
    const { owner, leg } = subscription;
    const name = error instanceof Error ? error.name : '';
    subscription.generation += 1;
    this.#setup.post(note('info', 'feed_subscription_failed', `${owner.key}: ${messageOf(error)}`));
    if (REFUSALS.includes(name)) {
      if (!leg.optional && owner.suspect('exchange error')) owner.channel.forget();
      if (!leg.optional) owner.outbox.refused(owner.key, name);
      return this.#subscribeLater(subscription, REFUSED_RETRY_MS);
    }
    if (leg.optional) return this.#resubscribe(subscription, REFUSED_RETRY_MS, 'exchange error');
    const outOfStep = OUT_OF_STEP.includes(name);
    owner.suspect(outOfStep ? 'sequence gap' : 'exchange error');
    owner.channel.forget();
    this.#resubscribe(subscription, owner.nextDelayMs(), 'exchange error');
  }

  /** Takes the subscription back and makes it again; where an exchange cannot, the whole connection is made again. */
  #resubscribe(subscription: Subscription, delayMs: number, doubt: Doubt): void {
    subscription.generation += 1;
    const { routes } = subscription;
    if (routes.length > 0 && this.#setup.quirks.unsubscribe === undefined) {
      const client = routes[0]!.client;
      return this.#required().drop(client, new Error(doubt));
    }
    this.#takeBack(subscription);
    this.#subscribeLater(subscription, delayMs);
  }

  #end(subscription: Subscription): void {
    subscription.ended = true;
    clearTimers(subscription);
    const clients = subscription.routes.map(({ client }) => client);
    this.#takeBack(subscription);
    if (this.#setup.quirks.unsubscribe !== undefined) return;
    for (const client of clients) {
      // Nobody else listens: closing is the only way to make it stop.
      if (this.#routes.allOf(client).length === 0) this.#required().drop(client, new Error('unwanted'));
    }
  }

  #takeBack(subscription: Subscription): void {
    for (const { client, route } of subscription.routes) this.#unsubscribe(client, route);
    this.#routes.remove(subscription);
  }

  /** ccxt's own `unWatch*` waits for answers that some exchanges never send, and breaks a subscription made meanwhile. */
  #unsubscribe(client: CcxtClient, { hashes, subscribeHashes, message }: Route): void {
    for (const hash of subscribeHashes) delete client.subscriptions[hash];
    for (const hash of hashes) delete client.futures[hash];
    const make = this.#setup.quirks.unsubscribe;
    if (make === undefined || message === undefined) return;
    const request = make(message, () => this.#required().nextId());
    // Behind the subscription itself, which may still wait for the connection.
    client.connected.then(
      () => client.send(request),
      (error: unknown) => this.#required().drop(client, error),
    );
  }

  /** Nobody acknowledges in a way that ccxt would tell; a market without trades must not wait for one to be believed. */
  #confirmLater(subscription: Subscription): void {
    const { owner, generation } = subscription;
    if (owner.upstream.channel !== 'trades' && owner.upstream.channel !== 'candles') return;
    clearTimeout(subscription.confirmTimer);
    subscription.confirmTimer = setTimeout(() => {
      if (generation !== subscription.generation) return;
      const open = subscription.routes.some(({ client }) => this.#connections.has(client));
      if (open) owner.confirm();
      else this.#confirmLater(subscription);
    }, this.#setup.limits.quietConfirmMs);
  }

  // --- judging ---

  #act(client: CcxtClient, finding: Finding | undefined): void {
    const found = finding?.doubt;
    if (found === undefined) return;
    if (found.about === 'connection') return this.#required().drop(client, new Error(found.doubt));
    const { channel, symbol } = found.about;
    for (const { owner } of this.#routes.allOf(client)) {
      if (owner.upstream.channel !== channel || owner.upstream.symbol !== symbol) continue;
      // A stream that is being mended is looked at again when it presents itself.
      if (owner.live || channel === 'book') owner.doubt(found.doubt, channel === 'book');
    }
  }

  #settle(): void {
    for (let session = this.#touched.pop(); session !== undefined; session = this.#touched.pop()) {
      session.channel.settle?.();
    }
  }

  // --- small things ---

  #required(): TappedExchange<Subscription> {
    if (this.#tap === undefined) throw new Error('the exchange has not been made yet');
    return this.#tap;
  }

  #checkContext(exchange: CcxtExchange): CheckContext {
    this.#symbols.clear();
    return {
      symbolOf: (marketId) => this.#symbols.of(exchange, marketId),
      market: (symbol) => exchange.markets?.[symbol],
      book: (symbol) => exchange.orderbooks[symbol],
    };
  }

  #host(): UpstreamHost {
    const { quirks, limits, outbox, clock, random, gauges } = this.#setup;
    return {
      quirks,
      limits,
      outbox,
      clock,
      random,
      exchange: () => this.#required().exchange,
      frameTs: () => this.#frameTs ?? clock.now(),
      touched: (session) => void this.#touched.push(session),
      complete: (symbol, book) => this.#check.complete?.(symbol, book) ?? true,
      doubted: (doubt) => gauges.doubt(doubt),
      delayed: (exchangeTs) => gauges.delayed(exchangeTs, this.#frameTs ?? clock.now()),
      resubscribe: (subscription, delayMs, doubt) => this.#resubscribe(subscription, delayMs, doubt),
      note: (detail) => this.#setup.post(note('info', 'feed_request_failed', detail)),
    };
  }
}

import type { BackoffPolicy } from '../kernel/backoff.ts';
import type { Random } from '../kernel/random.ts';
import type { Authenticated, Envelope, SystemEvents, Ticker, Venue } from '../protocol/messages.ts';
import { DEFAULT_BOOK_DEPTH, DEFAULT_BOOK_RATE, DEFAULT_TIMEFRAME } from '../protocol/streams.ts';
import type { BookDepth, BookRate, Timeframe } from '../protocol/streams.ts';
import type { Portfolio, PrivateStream } from '../protocol/trading.ts';
import type { CandleSeries } from './candle-window.ts';
import { ClientError } from './client-error.ts';
import { Commands } from './commands.ts';
import { Connection } from './connection.ts';
import type { ConnectionCounters, ConnectionState } from './connection.ts';
import {
  bookPresentation,
  candlesPresentation,
  envelopePresentation,
  eventsPresentation,
  ordersPresentation,
  portfolioPresentation,
  tickerPresentation,
  tradesPresentation,
  valuationPresentation,
  venuePresentation,
} from './presentations.ts';
import type { TradeBatch } from './presentations.ts';
import type { Holdings, OpenOrders, PrivateEvent } from './private-keepers.ts';
import { Session } from './session.ts';
import type { CredentialProvider } from './session.ts';
import { StreamRegistry } from './stream-registry.ts';
import type { LinkState, StreamCounters } from './stream-state.ts';
import { StreamSubscription } from './subscription.ts';
import type { Presentation, Subscription, SubscriptionOptions, ValueSubscription } from './subscription.ts';
import { createTrading } from './trading.ts';
import type { Trading } from './trading.ts';
import { plainTransport } from './transport-plain.ts';
import type { WebSocketConstructor } from './transport-plain.ts';
import { socketIoTransport } from './transport-socketio.ts';
import type { SocketIoLike } from './transport-socketio.ts';
import type { Transport } from './transport.ts';
import type { Book } from './verified-book.ts';

const DEFAULT_BACKOFF: BackoffPolicy = { baseMs: 250, maxMs: 30_000, factor: 2, jitter: 0.5 };

export type ClientOptions = Readonly<{
  /** `http(s)://` or `ws(s)://`; without a path the plain door at `/ws`. Not needed with a socket of socket.io-client. */
  url?: string;
  /** A WebSocket class (default: the global one), a socket of socket.io-client, or a transport of your own. */
  transport?: Transport | WebSocketConstructor | SocketIoLike;
  /** For what belongs to a user: asked for a token, a ticket or a signature on each connection, and again before it ends. */
  authenticate?: CredentialProvider;
  /** Between reconnects. Default: 250 ms, doubling up to 30 s, jitter of half. */
  backoff?: BackoffPolicy;
  /** Unix ms; default `Date.now`. */
  now?: () => number;
  /** Lets the server put pushes of so many milliseconds (at most 50) into one message: less work for many streams. Default: not. */
  batchMs?: number;
  /** For jitter; default `Math.random`. */
  random?: Random;
  onConnection?: (state: ConnectionState) => void;
  /** The connection has proved, or renewed, whose it is. */
  onSession?: (session: Authenticated) => void;
  /** The server thinks that this connection reads too slowly, or no longer thinks so. */
  onSlow?: (slow: SystemEvents['slow']) => void;
  /** Without it, errors show in states and counters, and what a handler of yours throws becomes an uncaught exception. */
  onError?: (error: ClientError) => void;
}>;

export type ClientCounters = Readonly<ConnectionCounters & StreamCounters & { handlerErrors: number }>;

export interface Client {
  readonly connection: ConnectionState;
  /** Since the client was created, over all its streams. */
  readonly counters: ClientCounters;
  /** Any stream by name; the handler gets every envelope in sequence, each once. */
  subscribe(
    stream: string,
    handler?: (envelope: Envelope) => void,
    options?: SubscriptionOptions,
  ): Subscription<Envelope>;
  /** An order book that is proved by sequence and checksum. The handler gets it while it is live and after each change. */
  book(
    venue: string,
    symbol: string,
    options?: { depth?: BookDepth; rate?: BookRate; onUpdate?: (book: Book) => void } & SubscriptionOptions,
  ): ValueSubscription<Book>;
  candles(
    venue: string,
    symbol: string,
    options?: { timeframe?: Timeframe; onUpdate?: (series: CandleSeries) => void } & SubscriptionOptions,
  ): ValueSubscription<CandleSeries>;
  ticker(
    venue: string,
    symbol: string,
    options?: { onUpdate?: (ticker: Ticker) => void } & SubscriptionOptions,
  ): ValueSubscription<Ticker>;
  trades(
    venue: string,
    symbol: string,
    options?: { onUpdate?: (batch: TradeBatch) => void } & SubscriptionOptions,
  ): Subscription<TradeBatch>;
  venue(venue: string, options?: { onUpdate?: (venue: Venue) => void } & SubscriptionOptions): ValueSubscription<Venue>;
  /** Open orders, from a snapshot and every step since. */
  orders(options?: { onUpdate?: (orders: OpenOrders) => void } & SubscriptionOptions): ValueSubscription<OpenOrders>;
  /** Balances and positions. */
  portfolio(options?: { onUpdate?: (holdings: Holdings) => void } & SubscriptionOptions): ValueSubscription<Holdings>;
  /** The portfolio at live prices. */
  valuation(
    options?: { onUpdate?: (portfolio: Portfolio) => void } & SubscriptionOptions,
  ): ValueSubscription<Portfolio>;
  /** Every event of a private stream from now on, each once and in order, also those of a time without a connection. */
  events(
    stream: PrivateStream,
    options?: { onEvent?: (event: PrivateEvent) => void } & SubscriptionOptions,
  ): Subscription<PrivateEvent>;
  /** Order commands; they need `authenticate`. */
  readonly trading: Trading;
  /** Ends every subscription and loop. The client cannot be used again. */
  close(): void;
}

/** Connects at once and stays connected until `close` or until the server says not to come back. Throws on a bad `url`. */
export function createClient(options: ClientOptions): Client {
  return new StreamClient(options);
}

class StreamClient implements Client {
  readonly #now: () => number;
  readonly #connection: Connection;
  readonly #streams: StreamRegistry;
  readonly #options: ClientOptions;
  readonly #session: Session | null;
  readonly #commands: Commands;
  readonly trading: Trading;
  #handlerErrors = 0;
  #closed = false;
  /** Counters of streams that are no longer in use. */
  readonly #past: StreamCounters = emptyCounters();

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    const deps = { now: this.#now, random: options.random ?? Math.random, onError: this.#report };
    this.#streams = new StreamRegistry(
      {
        ...deps,
        batchMs: options.batchMs,
        onEnded: (counters) => addCounters(this.#past, counters),
        mayAsk: (stream) => !isPrivate(stream) || this.#session === null || this.#session.status === 'proved',
      },
      () => this.#connection,
    );
    this.#connection = new Connection({
      ...deps,
      transport: chooseTransport(options),
      mayProve: options.authenticate !== undefined,
      backoff: options.backoff ?? DEFAULT_BACKOFF,
      onWelcome: () => {
        this.#session?.connected();
        this.#streams.subscribeAll();
      },
      onMessage: (envelope) => this.#streams.message(envelope),
      onHeartbeat: (streams) => this.#streams.heartbeat(streams),
      onState: (state) => this.#connectionChanged(state),
      onSlow: (slow) => this.#callUser(() => options.onSlow?.(slow)),
    });
    this.#commands = new Commands({
      ready: () => this.#connection.ready && this.#session?.status === 'proved',
      request: (method, params, onReply) => this.#connection.request(method, params, onReply),
      waitMs: () => this.#connection.waitMs(),
    });
    this.trading = createTrading(this.#commands, deps.random);
    this.#session = this.#createSession(options, deps);
    this.#connection.connect();
  }

  get connection(): ConnectionState {
    return this.#connection.state;
  }

  get counters(): ClientCounters {
    const sum = { ...this.#past };
    for (const { counters } of this.#streams.trackers) addCounters(sum, counters);
    return { ...this.#connection.counters, ...sum, handlerErrors: this.#handlerErrors };
  }

  subscribe(
    stream: string,
    handler?: (envelope: Envelope) => void,
    options: SubscriptionOptions = {},
  ): Subscription<Envelope> {
    return this.#open(stream, envelopePresentation, handler, options);
  }

  book(...[venue, symbol, options = {}]: Parameters<Client['book']>): ValueSubscription<Book> {
    const { depth = DEFAULT_BOOK_DEPTH, rate = DEFAULT_BOOK_RATE, onUpdate } = options;
    return this.#open(`book:${venue}:${symbol}:${depth}:${rate}`, bookPresentation, onUpdate, options);
  }

  candles(...[venue, symbol, options = {}]: Parameters<Client['candles']>): ValueSubscription<CandleSeries> {
    const { timeframe = DEFAULT_TIMEFRAME, onUpdate } = options;
    return this.#open(`candles:${venue}:${symbol}:${timeframe}`, candlesPresentation, onUpdate, options);
  }

  ticker(...[venue, symbol, options = {}]: Parameters<Client['ticker']>): ValueSubscription<Ticker> {
    return this.#open(`ticker:${venue}:${symbol}`, tickerPresentation, options.onUpdate, options);
  }

  trades(...[venue, symbol, options = {}]: Parameters<Client['trades']>): Subscription<TradeBatch> {
    return this.#open(`trades:${venue}:${symbol}`, tradesPresentation, options.onUpdate, options);
  }

  venue(...[venue, options = {}]: Parameters<Client['venue']>): ValueSubscription<Venue> {
    return this.#open(`venue:${venue}`, venuePresentation, options.onUpdate, options);
  }

  orders(options: Parameters<Client['orders']>[0] = {}): ValueSubscription<OpenOrders> {
    return this.#open('orders', ordersPresentation, options.onUpdate, options);
  }

  portfolio(options: Parameters<Client['portfolio']>[0] = {}): ValueSubscription<Holdings> {
    return this.#open('portfolio', portfolioPresentation, options.onUpdate, options);
  }

  valuation(options: Parameters<Client['valuation']>[0] = {}): ValueSubscription<Portfolio> {
    return this.#open('valuation', valuationPresentation, options.onUpdate, options);
  }

  events(...[stream, options = {}]: Parameters<Client['events']>): Subscription<PrivateEvent> {
    return this.#open(stream, eventsPresentation, options.onEvent, options);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#connection.stop(new ClientError('stopped', 'the client was closed'));
  }

  #open<T>(
    stream: string,
    presentation: Presentation<T>,
    handler: ((item: T) => void) | undefined,
    options: SubscriptionOptions,
  ): StreamSubscription<T> {
    if (this.#connection.state.status === 'stopped') {
      throw new ClientError('stopped', `the client has stopped: ${this.#connection.state.reason}`, { stream });
    }
    return new StreamSubscription(stream, presentation, handler, options, {
      now: this.#now,
      join: (consumer) => this.#streams.join(stream, consumer, linkOf(this.#connection.state)),
      leave: (consumer) => this.#streams.leave(stream, consumer),
    });
  }

  #createSession(
    { authenticate, onSession }: ClientOptions,
    deps: { now: () => number; random: Random },
  ): Session | null {
    if (authenticate === undefined) {
      this.#commands.end(new ClientError('unauthorized', 'createClient was given no `authenticate`'));
      return null;
    }
    return new Session({
      ...deps,
      provide: authenticate,
      request: (credentials, onReply) => this.#connection.request('authenticate', credentials, onReply),
      waitMs: () => this.#connection.waitMs(),
      onProved: (session) => {
        this.#streams.askOn();
        this.#commands.flush();
        this.#callUser(() => onSession?.(session));
      },
      onRefused: (error) => {
        const wire = { code: 'unauthorized', message: error.message, temporary: false } as const;
        this.#streams.refuseAll(isPrivate, wire);
        this.#commands.end(error);
      },
      onError: this.#report,
    });
  }

  #connectionChanged(state: ConnectionState): void {
    if (linkOf(state).status === 'closed') {
      this.#session?.disconnected();
      this.#commands.disconnected();
    }
    if (state.status === 'stopped') {
      const error = new ClientError('stopped', state.reason);
      this.#commands.end(error);
      this.#streams.end(error, this.#closed ? 'wished' : 'unwished');
      if (!this.#closed) this.#report(error);
    } else {
      this.#streams.link(linkOf(state));
    }
    this.#callUser(() => this.#options.onConnection?.(state));
  }

  #callUser(call: () => void): void {
    try {
      call();
    } catch (cause) {
      this.#report(new ClientError('handler_failed', 'a connection handler threw', { cause }));
    }
  }

  readonly #report = (error: ClientError): void => {
    if (error.code === 'handler_failed') this.#handlerErrors += 1;
    if (this.#options.onError) this.#options.onError(error);
    else if (error.code === 'handler_failed') {
      queueMicrotask(() => {
        throw error;
      });
    }
  };
}

function chooseTransport({ url, transport }: ClientOptions): Transport {
  if (transport && typeof transport !== 'function') {
    return 'emit' in transport ? socketIoTransport(transport) : transport;
  }
  if (url === undefined) throw new TypeError('createClient needs a url, or a transport that knows its address');
  return plainTransport(url, transport);
}

const PRIVATE: Readonly<Record<string, true>> = { orders: true, portfolio: true, notifications: true, valuation: true };

function isPrivate(stream: string): boolean {
  return Object.hasOwn(PRIVATE, stream);
}

function linkOf({ status, reason }: ConnectionState): LinkState {
  if (status === 'open' || status === 'silent') return { status, reason };
  return { status: 'closed', reason };
}

function emptyCounters(): StreamCounters {
  return { gaps: 0, resumes: 0, snapshots: 0, checksumFailures: 0, duplicates: 0, conflations: 0, resyncs: 0 };
}

function addCounters(sum: StreamCounters, more: Readonly<StreamCounters>): void {
  for (const name of Object.keys(sum) as (keyof StreamCounters)[]) sum[name] += more[name];
}

import { AsyncLocalStorage } from 'node:async_hooks';
import { guardBook } from './book-guard.ts';
import type { CcxtBook, CcxtClient, CcxtExchange } from './ccxt-surface.ts';
import type { RequestBudget } from './request-budget.ts';
import type { VenueSettings } from './settings.ts';
import type { Frame, VenueQuirks } from './venues/quirks.ts';
import { isRecord } from './venues/quirks.ts';

/**
 * The only file that loads ccxt. Its files stay as they are: everything here is set on one instance.
 * ccxt drops what resolves while nobody awaits it, so we look below `watch*`: at `client.resolve`, which every handler
 * calls right after it has changed the state, and at the raw frames.
 */

/** The largest real message is Coinbase's BTC-USD snapshot, some 5 MB; ws closes the connection on a larger frame than this. */
const FRAME_LIMIT_BYTES = 32 * 1024 * 1024;
/** ccxt's own is up to 3 minutes: a dead peer must be noticed within two of these. */
const KEEP_ALIVE_MS = 10_000;
const REST_TIMEOUT_MS = 10_000;
const TRADES_CACHED = 1_000;
const CANDLES_CACHED = 1_000;

/** What ccxt files one subscription under. */
export type Route = Readonly<{
  hashes: readonly string[];
  subscribeHashes: readonly string[];
  /** The request that was or will be sent. */
  message: Frame | undefined;
}>;

/** What the tap tells; all calls are synchronous, inside ccxt's own. */
export interface TapSink<Owner> {
  subscribing(owner: Owner, client: CcxtClient, route: Route): void;
  opened(client: CcxtClient): void;
  /** A frame has come; nothing is known of it yet. */
  received(client: CcxtClient): void;
  /** A socket is gone or must not be used any more. */
  lost(client: CcxtClient, error: unknown): void;
  /** False: ccxt is not to see this frame. */
  frame(client: CcxtClient, frame: Frame): boolean;
  handled(client: CcxtClient, frame: Frame): void;
  /** `error`: what ccxt's handler threw at `frame`; both absent when the frame was not even a JSON object. */
  unreadable(client: CcxtClient, frame?: Frame, error?: unknown): void;
  resolved(client: CcxtClient, result: unknown, hash: string): void;
  rejected(client: CcxtClient, error: unknown, hash: string | undefined): void;
  limited(retryAfter: string | undefined): void;
}

export interface TappedExchange<Owner> {
  readonly exchange: CcxtExchange;
  /** Calls a `watch*` of ccxt so that its subscription is known to be `owner`'s. */
  watchFor(owner: Owner, watch: (exchange: CcxtExchange) => Promise<unknown>): Promise<unknown>;
  nextId(): number;
  /** Ends the socket at once; `lost` is called for it. */
  drop(client: CcxtClient, error: unknown): void;
  close(): void;
}

type ExchangeConstructor = new (config: object) => CcxtExchange;

/** Throws when ccxt does not have the exchange, or not its WebSocket side. */
export async function loadExchangeClass(ccxtId: string): Promise<ExchangeConstructor> {
  if (!/^[a-z0-9]{2,40}$/.test(ccxtId)) throw new Error(`not an exchange id: ${ccxtId}`);
  // One exchange instead of all 104 saves 65 MB and 0.3 s per thread; the package's exports name only the whole.
  const single = new URL(`./src/pro/${ccxtId}.js`, import.meta.resolve('ccxt'));
  try {
    return ((await import(single.href)) as { default: ExchangeConstructor }).default;
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'ERR_MODULE_NOT_FOUND') throw error;
  }
  const { default: ccxt } = (await import('ccxt')) as unknown as {
    default: { pro: Record<string, ExchangeConstructor> };
  };
  const found = Object.hasOwn(ccxt.pro, ccxtId) ? ccxt.pro[ccxtId] : undefined;
  if (found === undefined) throw new Error(`ccxt has no WebSocket side for ${ccxtId}`);
  return found;
}

export function constructorConfig(settings: VenueSettings, quirks: VenueQuirks): Record<string, unknown> {
  const sandbox =
    settings.sandboxUrl === undefined
      ? undefined
      : {
          http: `${settings.sandboxUrl}/${settings.venue}`,
          ws: `${settings.sandboxUrl.replace(/^http/, 'ws')}/${settings.venue}`,
        };
  if (sandbox !== undefined && quirks.config === undefined) {
    throw new Error(`the sandbox does not speak ${settings.ccxtId}`);
  }
  const common = {
    // The sandbox has no limits of its own; the exchanges' weights per REST call are ccxt's to know.
    enableRateLimit: sandbox === undefined,
    timeout: REST_TIMEOUT_MS,
    streaming: { keepAlive: KEEP_ALIVE_MS },
    options: {
      tradesLimit: TRADES_CACHED,
      OHLCVLimit: CANDLES_CACHED,
      // Our supervisor spaces the dials; ccxt's own pause would come on top.
      ws: { backoff: { base: 0 }, options: { maxPayload: FRAME_LIMIT_BYTES } },
    },
  };
  return merge(merge(common, quirks.config?.(sandbox) ?? {}), settings.ccxt ?? {});
}

function merge(base: Record<string, unknown>, over: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const merged = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const there = merged[key];
    merged[key] = isPlain(there) && isPlain(value) ? merge(there, value) : value;
  }
  return merged;
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return isRecord(value) && Object.getPrototypeOf(value) === Object.prototype;
}

export type TapSetup<Owner> = Readonly<{
  exchangeClass: ExchangeConstructor;
  settings: VenueSettings;
  quirks: VenueQuirks;
  budget: RequestBudget;
  sink: TapSink<Owner>;
  note: (detail: string) => void;
}>;

export async function tapExchange<Owner>(setup: TapSetup<Owner>): Promise<TappedExchange<Owner>> {
  const exchange = new setup.exchangeClass(constructorConfig(setup.settings, setup.quirks));
  // Without it every ws:// address is refused.
  await exchange.loadHttpProxyAgent();
  // Six more calls of REST per start, for deposit fees and networks that we do not show.
  exchange.has['fetchCurrencies'] = false;
  exchange.log = (...parts) => setup.note(parts.map(String).join(' ').slice(0, 500));
  const tap = new Tap<Owner>(exchange, setup);
  tap.wrapExchange();
  return tap;
}

/** What we know of a client of ccxt's that was tapped. After the last word about it, whatever it still does is not listened to. */
type Link = { retired: boolean };

class Tap<Owner> implements TappedExchange<Owner> {
  readonly exchange: CcxtExchange;
  readonly #setup: TapSetup<Owner>;
  readonly #owner = new AsyncLocalStorage<Owner>();
  /** The retired are kept for as long as ccxt keeps them: what it calls late must find them. */
  readonly #links = new WeakMap<CcxtClient, Link>();
  readonly #tapped = new Set<CcxtClient>();
  #id = 1_000_000;
  #closed = false;

  constructor(exchange: CcxtExchange, setup: TapSetup<Owner>) {
    this.exchange = exchange;
    this.#setup = setup;
  }

  watchFor(owner: Owner, watch: (exchange: CcxtExchange) => Promise<unknown>): Promise<unknown> {
    return this.#owner.run(owner, watch, this.exchange);
  }

  /** Request ids of our own, far from ccxt's count, so that an answer never meets one of its handlers. */
  nextId(): number {
    this.#id += 1;
    return this.#id;
  }

  drop(client: CcxtClient, error: unknown): void {
    const link = this.#linkOf(client);
    if (link.retired) return;
    link.retired = true;
    this.#tapped.delete(client);
    if (this.exchange.clients[client.url] === client) delete this.exchange.clients[client.url];
    // Timers of ccxt's; the close handshake of a peer that has stopped answering would keep the socket for 30 s.
    client.reset(error);
    client.connection?.terminate();
    if (!this.#closed) this.#setup.sink.lost(client, error);
  }

  #linkOf(client: CcxtClient): Link {
    let link = this.#links.get(client);
    if (link === undefined) this.#links.set(client, (link = { retired: false }));
    return link;
  }

  close(): void {
    this.#closed = true;
    for (const client of this.#tapped) this.drop(client, new Error('closed'));
  }

  wrapExchange(): void {
    const { exchange } = this;
    this.#wrapSubscriptions();
    this.#wrapBooks();
    this.#wrapRest();
    const makeClient = exchange.client.bind(exchange);
    exchange.client = (url) => {
      const client = makeClient(url);
      if (!this.#tapped.has(client)) this.#wrapClient(client);
      return client;
    };
    const handle = exchange.handleMessage.bind(exchange);
    exchange.handleMessage = (client, message) => this.#handle(client, message, handle);
    const onConnected = exchange.onConnected.bind(exchange);
    exchange.onConnected = (client, message) => {
      onConnected(client, message);
      if (!this.#linkOf(client).retired) this.#setup.sink.opened(client);
    };
    const onError = exchange.onError.bind(exchange);
    exchange.onError = (client, error) => {
      onError(client, error);
      this.#limitedByUpgrade(error);
      this.drop(client, error);
    };
    const onClose = exchange.onClose.bind(exchange);
    exchange.onClose = (client, event) => {
      onClose(client, event);
      this.drop(client, new Error('the exchange closed the connection'));
    };
  }

  /** Which subscription belongs to whom is known where ccxt asks for it: no parsing of its many kinds of hashes. */
  #wrapSubscriptions(): void {
    const { exchange } = this;
    const watch = exchange.watch.bind(exchange);
    exchange.watch = (url, hash, message, subscribeHash, subscription) => {
      const future = watch(url, hash, message, subscribeHash, subscription);
      this.#tellRoute(url, [hash], message, subscribeHash === undefined ? [] : [subscribeHash]);
      return future;
    };
    const watchMultiple = exchange.watchMultiple.bind(exchange);
    exchange.watchMultiple = (url, hashes, message, subscribeHashes, subscription) => {
      const future = watchMultiple(url, hashes, message, subscribeHashes, subscription);
      this.#tellRoute(url, hashes, message, subscribeHashes ?? []);
      return future;
    };
  }

  #tellRoute(url: string, hashes: readonly string[], message: unknown, subscribeHashes: readonly string[]): void {
    const owner = this.#owner.getStore();
    if (owner === undefined) return;
    const client = this.exchange.clients[url];
    const frame = isRecord(message) ? message : undefined;
    if (client !== undefined) this.#setup.sink.subscribing(owner, client, { hashes, subscribeHashes, message: frame });
  }

  #wrapBooks(): void {
    const { exchange } = this;
    const { storedDepth, ignoresZeroPrice = false, snapshot: restSnapshot } = this.#setup.quirks;
    const guard = { ignoresZeroPrice, snapshotLevels: restSnapshot?.levels };
    for (const kind of ['orderBook', 'indexedOrderBook', 'countedOrderBook'] as const) {
      const make = exchange[kind].bind(exchange);
      exchange[kind] = (snapshot?: object, depth?: number): CcxtBook =>
        guardBook(make(snapshot, storedDepth ?? depth), guard);
    }
  }

  #wrapRest(): void {
    const { exchange } = this;
    const { budget, sink } = this.#setup;
    const fetch = exchange.fetch.bind(exchange);
    exchange.fetch = async (url, method, headers, body) => {
      await budget.take('rest');
      return fetch(url, method, headers, body);
    };
    const onResponse = exchange.onRestResponse.bind(exchange);
    exchange.onRestResponse = (status, statusText, url, method, ...rest) => {
      if (status === 429 || status === 418) sink.limited(headerOf(rest[0], 'retry-after'));
      return onResponse(status, statusText, url, method, ...rest);
    };
  }

  #limitedByUpgrade(error: unknown): void {
    const refused = /Unexpected server response: (429|418)/.test(error instanceof Error ? error.message : '');
    // ws does not hand out the headers of a refused upgrade.
    if (refused) this.#setup.sink.limited(undefined);
  }

  #wrapClient(client: CcxtClient): void {
    this.#tapped.add(client);
    // Looked up once and not with every message.
    const link = this.#linkOf(client);
    const { sink, quirks } = this.#setup;
    const onMessage = client.onMessage.bind(client);
    client.onMessage = (event) => {
      if (link.retired) return;
      sink.received(client);
      // ccxt forgets a client whose snapshot has failed without closing it: it would feed the books next to its successor.
      if (this.exchange.clients[client.url] === client) onMessage(event);
      else this.drop(client, new Error('ccxt has given the connection up'));
    };
    const resolve = client.resolve.bind(client);
    client.resolve = (result, hash) => {
      const answer = resolve(result, hash);
      if (hash === undefined || link.retired) return answer;
      if (quirks.resolvesOnlyAwaited) this.#await(client, hash);
      sink.resolved(client, result, hash);
      return answer;
    };
    this.#wrapErrors(client, link);
    this.#wrapSending(client, link);
  }

  #wrapErrors(client: CcxtClient, link: Link): void {
    let resetting = false;
    const reset = client.reset.bind(client);
    // ccxt resets a client whose socket has failed, and Binance's on an error 5xx: either way it delivers nothing more.
    client.reset = (error) => {
      resetting = true;
      reset(error);
      resetting = false;
      this.drop(client, error);
    };
    const reject = client.reject.bind(client);
    client.reject = (error, hash) => {
      const answer = reject(error, hash);
      // Kept by ccxt for the next call of `watch*`, which would fail on an error that we have dealt with.
      if (hash !== undefined) delete client.rejections[hash];
      if (!resetting && !link.retired) this.#setup.sink.rejected(client, error, hash);
      return answer;
    };
  }

  #wrapSending(client: CcxtClient, link: Link): void {
    const { budget } = this.#setup;
    let dialling = false;
    const connect = client.connect.bind(client);
    client.connect = () => {
      if (!dialling) {
        dialling = true;
        const dial = async (): Promise<void> => {
          await budget.take('dial');
          if (!link.retired) void connect(0);
        };
        dial().catch((error: unknown) => this.drop(client, error));
      }
      return client.connected;
    };
    let pinging = false;
    const onPingInterval = client.onPingInterval.bind(client);
    client.onPingInterval = () => {
      pinging = true;
      onPingInterval();
      pinging = false;
    };
    const send = client.send.bind(client);
    client.send = async (message) => {
      // ccxt does not look at the answer: a rejection would be nobody's.
      try {
        if (!pinging) await budget.take('subscribe');
        return link.retired ? undefined : await send(message);
      } catch (error) {
        this.drop(client, error);
        return undefined;
      }
    };
  }

  #await(client: CcxtClient, hash: string): void {
    client.future(hash).catch(() => {
      // The rejection has been told through `client.reject`; this promise only stands for a waiting consumer.
    });
  }

  #handle(client: CcxtClient, message: unknown, handle: CcxtExchange['handleMessage']): void {
    if (!isRecord(message)) {
      if (this.#belongsToProtocol(message)) this.#guarded(client, {}, message, handle);
      else this.#setup.sink.unreadable(client);
      return;
    }
    if (this.#setup.sink.frame(client, message)) this.#guarded(client, message, message, handle);
  }

  /** Whether a frame that is no JSON object is no garbage either: `pong` as bare text, arrays at exchanges that speak so. */
  #belongsToProtocol(message: unknown): boolean {
    const { plainFrames = [] } = this.#setup.quirks;
    if (plainFrames !== 'any') return typeof message === 'string' && plainFrames.includes(message);
    // Text that begins like JSON and is still text did not parse.
    return Array.isArray(message) || (typeof message === 'string' && !/^\s*[[{]/.test(message));
  }

  /** ccxt would reject every waiting call of the connection when a handler throws. */
  #guarded(client: CcxtClient, frame: Frame, message: unknown, handle: CcxtExchange['handleMessage']): void {
    try {
      handle(client, message);
    } catch (error) {
      this.#setup.sink.unreadable(client, frame, error);
    }
    this.#setup.sink.handled(client, frame);
  }
}

function headerOf(headers: unknown, name: string): string | undefined {
  if (!isRecord(headers)) return undefined;
  const entry = Object.entries(headers).find(([key]) => key.toLowerCase() === name);
  return entry === undefined ? undefined : String(entry[1]);
}

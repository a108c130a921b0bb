import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gunzipSync, inflateRawSync } from 'node:zlib';
import { backoffDelayMs, type BackoffPolicy } from '../kernel/backoff.ts';
import type { Upstream } from '../modules/market/upstream.ts';
import type { Log } from '../platform/log.ts';
import { openRecordingWriter, type RecordingWriter } from '../platform/recording-writer.ts';
import { constructorConfig, loadExchangeClass } from './adapter-ccxt.ts';
import type { CcxtClient, CcxtExchange } from './ccxt-surface.ts';
import { legsOf } from './legs.ts';
import { quirksOf } from './venues/index.ts';
import type { Leg } from './venues/quirks.ts';

/** Pauses before a failed call is made again; an exchange that refuses must not be hammered. */
const RETRY: BackoffPolicy = { baseMs: 1_000, factor: 2, maxMs: 30_000, jitter: 0.3 };
/** Subscriptions are sent this far apart: every exchange limits messages per connection. */
const SUBSCRIBE_SPACING_MS = 300;
/** A compressed frame may unpack to this much. */
const FRAME_LIMIT_BYTES = 32 * 1024 * 1024;
/** Calls that are still under way after this are left to end by themselves. */
const STOP_LIMIT_MS = 1_000;
const CANDLES_TIMEFRAME = '1m';

export type RecordingOptions = Readonly<{
  /** Ids of ccxt's. */
  venues: readonly string[];
  /** Unified symbols; a venue records those that it lists. */
  symbols: readonly string[];
  /** Made when absent. Each venue's traffic goes into a folder of its own in it. */
  dir: string;
  seconds: number;
  log: Log;
  /** Ends the recording early; what was recorded stays. */
  signal?: AbortSignal;
  /** The sandbox's root `http://host:port` instead of the real exchanges. */
  sandboxUrl?: string;
}>;

/**
 * Records the raw traffic of exchanges: what an unmodified ccxt receives for books, trades, tickers and candles, below its
 * parsing, and the REST bodies it fetches. Resolves when the time is up or `signal` aborts, with everything on disk. Rejects
 * when a folder cannot be written or nothing at all was received.
 */
export async function recordMarketData(options: RecordingOptions): Promise<void> {
  const { venues, dir, seconds, log, signal } = options;
  const ending = new AbortController();
  const end = (): void => ending.abort();
  const timer = setTimeout(end, seconds * 1000);
  signal?.addEventListener('abort', end);
  if (signal?.aborted === true) end();
  log.info({ event: 'recording_started', venues, dir, seconds });
  try {
    const received = await Promise.all(venues.map((venue) => recordVenue(venue, options, ending)));
    if (received.every((frames) => frames === 0)) throw new Error('no exchange sent anything: nothing was recorded');
  } finally {
    // One venue's failure ends the recording of the others: half of what was asked for is told as a failure.
    end();
    clearTimeout(timer);
    signal?.removeEventListener('abort', end);
  }
}

/** Frames received. */
async function recordVenue(venue: string, options: RecordingOptions, ending: AbortController): Promise<number> {
  const { dir, log, sandboxUrl } = options;
  let failure: Error | undefined;
  const fail = (error: Error): void => {
    failure ??= error;
    ending.abort();
  };
  const writer = await openRecordingWriter({ dir: join(dir, venue), onEnd: fail });
  const settings = {
    venue,
    ccxtId: venue,
    source: 'live',
    ...(sandboxUrl === undefined ? {} : { sandboxUrl }),
  } as const;
  try {
    const exchangeClass = await loadExchangeClass(venue);
    const exchange = new exchangeClass(constructorConfig(settings, quirksOf(venue)));
    // Without it every ws:// address is refused.
    await exchange.loadHttpProxyAgent();
    exchange.has['fetchCurrencies'] = false;
    exchange.log = (...parts) =>
      log.debug({ event: 'recorder_ccxt', venue, detail: parts.map(String).join(' ').slice(0, 500) });
    tapTraffic(exchange, venue, writer, ending.signal);
    await subscribeAll(exchange, venue, options, ending.signal);
  } catch (error) {
    if (!ending.signal.aborted) fail(error as Error);
  } finally {
    await writer.close();
  }
  if (failure !== undefined) throw failure;
  log.info({ event: 'recording_written', venue, ...writer.counts });
  return writer.counts.recv;
}

/** Resolves when the recording ends. */
async function subscribeAll(
  exchange: CcxtExchange,
  venue: string,
  options: RecordingOptions,
  signal: AbortSignal,
): Promise<void> {
  const { log, symbols } = options;
  const retry = { venue, log, signal };
  const loops: Promise<void>[] = [];
  const ended = new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
  const subscribing = async (): Promise<void> => {
    await untilDone({ ...retry, what: 'loadMarkets' }, () => exchange.loadMarkets());
    if (signal.aborted) return;
    const listed = symbols.filter((symbol) => exchange.markets?.[symbol] !== undefined);
    if (listed.length < symbols.length) {
      log.warn({ event: 'recorder_not_listed', venue, symbols: symbols.filter((symbol) => !listed.includes(symbol)) });
    }
    for (const { leg, what } of listed.flatMap((symbol) => legsOfSymbol(exchange, venue, symbol, log))) {
      if (signal.aborted) return;
      loops.push(watchForever({ ...retry, what }, () => leg.watch(exchange)));
      await pause(SUBSCRIBE_SPACING_MS, signal);
    }
  };
  // A call that ccxt never answers must not hold up the end; what it still receives is no longer written.
  await Promise.race([ended, subscribing().then(() => ended)]);
  hangUp(exchange);
  await Promise.race([Promise.allSettled(loops), sleep(STOP_LIMIT_MS, undefined, { ref: false })]);
}

function legsOfSymbol(exchange: CcxtExchange, venue: string, symbol: string, log: Log): { leg: Leg; what: string }[] {
  const upstreams: Upstream[] = [
    { channel: 'book', venue, symbol },
    { channel: 'trades', venue, symbol },
    { channel: 'ticker', venue, symbol },
    { channel: 'candles', venue, symbol, timeframe: CANDLES_TIMEFRAME },
  ];
  return upstreams.flatMap((upstream) => {
    const { legs, refusal } = legsOf(exchange, quirksOf(venue), upstream);
    const what = `${upstream.channel} ${symbol}`;
    if (refusal !== undefined) log.warn({ event: 'recorder_refused', venue, what, refusal });
    return legs.map((leg) => ({ leg, what }));
  });
}

type Retry = Readonly<{ venue: string; what: string; log: Log; signal: AbortSignal }>;

async function untilDone(retry: Retry, call: () => Promise<unknown>): Promise<void> {
  for (let failures = 0; !retry.signal.aborted; failures++) {
    try {
      await call();
      return;
    } catch (error) {
      await afterFailure(retry, failures, error);
    }
  }
}

async function watchForever(retry: Retry, watch: () => Promise<unknown>): Promise<void> {
  let failures = 0;
  while (!retry.signal.aborted) {
    try {
      await watch();
      failures = 0;
    } catch (error) {
      await afterFailure(retry, failures, error);
      failures += 1;
    }
  }
}

/** ccxt subscribes anew with the next call, and the new snapshot is in the recording too. */
async function afterFailure({ venue, what, log, signal }: Retry, failures: number, error: unknown): Promise<void> {
  if (signal.aborted) return;
  const reason = error instanceof Error ? error.message.slice(0, 300) : String(error);
  log.warn({ event: 'recorder_call_failed', venue, what, reason });
  await pause(backoffDelayMs(RETRY, failures, Math.random), signal);
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch((error: Error) => {
    if (error.name !== 'AbortError') throw error;
  });
}

/** Puts a writer below ccxt's parsing, on this one instance. */
function tapTraffic(exchange: CcxtExchange, venue: string, writer: RecordingWriter, signal: AbortSignal): void {
  const label = venue.toUpperCase();
  const names = new WeakMap<CcxtClient, string>();
  let connections = 0;
  const makeClient = exchange.client.bind(exchange);
  exchange.client = (url) => {
    // A call that was on its way when the recording ended must not dial again.
    if (signal.aborted) throw new Error('the recording has ended');
    const client = makeClient(url);
    if (names.has(client)) return client;
    connections += 1;
    const conn = `${label}.ws.${connections}`;
    names.set(client, conn);
    const onMessage = client.onMessage.bind(client);
    client.onMessage = (event) => {
      writer.write({ t: 'recv', tsUs: nowUs(), conn, raw: frameText(client, event.data) });
      onMessage(event);
    };
    const send = client.send.bind(client);
    client.send = (message) => {
      writer.write({
        t: 'send',
        tsUs: nowUs(),
        conn,
        raw: typeof message === 'string' ? message : JSON.stringify(message),
      });
      return send(message);
    };
    return client;
  };
  const onConnected = exchange.onConnected.bind(exchange);
  exchange.onConnected = (client, message) => {
    writer.write({ t: 'open', tsUs: nowUs(), conn: names.get(client) ?? label, url: client.url });
    onConnected(client, message);
  };
  const onRestResponse = exchange.onRestResponse.bind(exchange);
  exchange.onRestResponse = (status, statusText, url, method, ...rest) => {
    const body = rest[1];
    // Other methods open sessions (KuCoin's tokens); market data is only ever read.
    if (method === 'GET' && status === 200 && typeof body === 'string') {
      writer.write({ t: 'http', tsUs: nowUs(), conn: `${label}.http`, url, raw: body });
    }
    return onRestResponse(status, statusText, url, method, ...rest);
  };
}

/** The text that ccxt is about to parse. */
function frameText(client: CcxtClient & Readonly<{ gunzip?: boolean; inflate?: boolean }>, data: unknown): string {
  if (typeof data === 'string') return data;
  const bytes = data as Buffer;
  if (client.gunzip === true) return gunzipSync(bytes, { maxOutputLength: FRAME_LIMIT_BYTES }).toString('utf8');
  if (client.inflate === true) return inflateRawSync(bytes, { maxOutputLength: FRAME_LIMIT_BYTES }).toString('utf8');
  return bytes.toString('utf8');
}

/** Unix microseconds. Millisecond time would put many frames of one burst into the same instant. */
function nowUs(): number {
  return (performance.timeOrigin + performance.now()) * 1000;
}

function hangUp(exchange: CcxtExchange): void {
  for (const client of Object.values(exchange.clients)) {
    // Without waiting for the close handshake of a peer that may have stopped answering.
    client.reset(new Error('the recording has ended'));
    client.connection?.terminate();
  }
}

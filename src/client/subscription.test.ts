import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { seededRandom } from '../kernel/random.ts';
import type { Envelope, StreamPosition, Trade } from '../protocol/messages.ts';
import { ScriptedServer } from '../testing/scripted-server.ts';
import { createClient } from './index.ts';
import type { CandleSeries, Client, ClientError, GapNotice, TradeBatch } from './index.ts';

const LIVE = { status: 'live', since: 1, reason: '' };
const TRADES = 'trades:sim:BTC/USDT';
const CANDLES = 'candles:sim:BTC/USDT:1m';
const TICKER = 'ticker:sim:BTC/USDT';

const trade = (id: number): Trade => ({ id: `${id}`, price: '1.0', size: '2', side: 'buy', ts: id });
const ids = (batches: readonly TradeBatch[]): string =>
  batches.flatMap((each) => each.trades.map(({ id }) => id)).join();

function envelope(stream: string, at: StreamPosition, kind: Envelope['kind'], data: unknown): Envelope {
  return { stream, ...at, kind, exchangeTs: Date.now() - 30, ingestTs: Date.now() - 20, sentTs: Date.now() - 10, data };
}

let server: ScriptedServer;
let client: Client;
let errors: ClientError[];

beforeEach(() => {
  vi.useFakeTimers();
  server = new ScriptedServer(seededRandom(1));
  errors = [];
  client = createClient({ transport: server, random: () => 0.5, onError: (error) => errors.push(error) });
  server.deliver();
});
afterEach(() => {
  client.close();
  vi.useRealTimers();
});

async function exchange(ms = 0): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
  server.deliver();
}

/** A stream whose server holds `position` and answers with `snapshot` to whoever asks without a position of its own. */
function answerWith(stream: string, position: StreamPosition, snapshot: unknown): void {
  server.answers.set(stream, () => ({
    result: { ...position, recovered: false, state: LIVE },
    after: [envelope(stream, position, 'snapshot', snapshot)],
  }));
}

describe('trades', () => {
  test('a snapshot after a reconnect does not hand out a trade twice, and a loss is told with the batch that follows it', async () => {
    answerWith(TRADES, { epoch: 'a', seq: 5 }, { trades: [trade(1), trade(2)] });
    const batches: TradeBatch[] = [];
    const gaps: GapNotice[] = [];
    client.trades('sim', 'BTC/USDT', { onUpdate: (batch) => batches.push(batch), onGap: (gap) => gaps.push(gap) });
    await exchange();
    server.push(envelope(TRADES, { epoch: 'a', seq: 6 }, 'update', { trades: [trade(3)] }));
    server.deliver();
    expect(ids(batches)).toBe('1,2,3');

    const now = { epoch: 'b', seq: 9 };
    server.answers.set(TRADES, (since) => {
      expect(since).toEqual({ epoch: 'a', seq: 6 });
      const gap = envelope(TRADES, now, 'gap', { from: 0, to: 9, reason: 'upstream' });
      const snapshot = envelope(TRADES, now, 'snapshot', { trades: [trade(2), trade(3), trade(8)] });
      return { result: { ...now, recovered: false, state: LIVE }, after: [gap, snapshot] };
    });
    server.cut();
    await exchange(1_000);
    await exchange();
    expect(ids(batches)).toBe('1,2,3,8');
    expect(gaps).toEqual([{ epoch: 'b', from: 0, to: 9, reason: 'upstream' }]);
    expect(batches.at(-1)).toMatchObject({ gap: gaps[0], recent: true });
  });

  test('two equal-looking updates in sequence are two facts', async () => {
    answerWith(TRADES, { epoch: 'a', seq: 1 }, { trades: [] });
    const batches: TradeBatch[] = [];
    client.trades('sim', 'BTC/USDT', { onUpdate: (batch) => batches.push(batch) });
    await exchange();
    for (const seq of [2, 3]) server.push(envelope(TRADES, { epoch: 'a', seq }, 'update', { trades: [trade(7)] }));
    server.deliver();
    expect(ids(batches)).toBe('7,7');
  });

  test('an epoch that changes on a live connection is a loss that the user hears of', async () => {
    answerWith(TRADES, { epoch: 'a', seq: 5 }, { trades: [] });
    const gaps: GapNotice[] = [];
    client.trades('sim', 'BTC/USDT', { onGap: (gap) => gaps.push(gap) });
    await exchange();
    server.push(envelope(TRADES, { epoch: 'b', seq: 1 }, 'snapshot', { trades: [trade(9)] }));
    server.deliver();
    expect(gaps).toEqual([{ epoch: 'a', from: 6, to: null, reason: 'new_epoch' }]);
  });

  test('a slow loop gets what it is owed and then an error, never a hole', async () => {
    answerWith(TRADES, { epoch: 'a', seq: 0 }, { trades: [] });
    const subscription = client.trades('sim', 'BTC/USDT');
    const loop = subscription[Symbol.asyncIterator]();
    await exchange();
    for (let seq = 1; seq <= 1_005; seq++) {
      server.push(envelope(TRADES, { epoch: 'a', seq }, 'update', { trades: [trade(seq)] }));
    }
    server.deliver();
    const got: TradeBatch[] = [];
    const read = async (): Promise<void> => {
      for await (const batch of loop) got.push(batch);
    };
    await expect(read()).rejects.toMatchObject({ code: 'iterator_overflow', stream: TRADES });
    expect(got.length).toBe(1_000);
    expect(got.at(-1)?.trades[0]?.id).toBe('1000');
  });

  test('leaving a loop leaves the stream', async () => {
    answerWith(TRADES, { epoch: 'a', seq: 1 }, { trades: [trade(1)] });
    const read = async (): Promise<void> => {
      for await (const { trades } of client.trades('sim', 'BTC/USDT')) if (trades.length > 0) return;
    };
    const done = read();
    await exchange();
    await done;
    await exchange();
    expect(server.requests.map((request) => request.method)).toEqual(['subscribe', 'unsubscribe']);
  });
});

describe('standing values', () => {
  test('a value is given while live, withdrawn in doubt, and given again when doubt ends', async () => {
    answerWith(TICKER, { epoch: 'a', seq: 1 }, { last: '100' });
    const given: unknown[] = [];
    const subscription = client.ticker('sim', 'BTC/USDT', { onUpdate: (ticker) => given.push(ticker.last) });
    await exchange();
    expect(subscription.live).toMatchObject({ last: '100' });
    server.push(envelope(TICKER, { epoch: 'a', seq: 2 }, 'state', { status: 'stale', since: 5, reason: 'silent' }));
    server.deliver();
    expect(subscription.live).toBeNull();
    expect(subscription.last).toMatchObject({ last: '100' });
    expect(subscription.state).toEqual({ status: 'stale', since: 5, reason: 'silent' });
    server.push(envelope(TICKER, { epoch: 'a', seq: 3 }, 'state', LIVE));
    server.deliver();
    expect(given).toEqual(['100', '100']);
  });

  test('a doubt that the gateway has without numbering it is believed', async () => {
    answerWith(TICKER, { epoch: 'a', seq: 1 }, { last: '100' });
    const subscription = client.ticker('sim', 'BTC/USDT');
    await exchange();
    server.push(envelope(TICKER, { epoch: 'a', seq: 1 }, 'state', { status: 'resyncing', since: 5, reason: 'bus' }));
    server.deliver();
    expect(subscription.state.status).toBe('resyncing');
  });

  test('a loop over a value gets the newest and skips what it was too slow for', async () => {
    answerWith(TICKER, { epoch: 'a', seq: 1 }, { last: '1' });
    const loop = client.ticker('sim', 'BTC/USDT')[Symbol.asyncIterator]();
    await exchange();
    for (let seq = 2; seq <= 50; seq++)
      server.push(envelope(TICKER, { epoch: 'a', seq }, 'update', { last: `${seq}` }));
    server.deliver();
    expect((await loop.next()).value).toMatchObject({ last: '50' });
  });

  test('an older revision of a candle does not overwrite a newer one', async () => {
    const candle = (ts: number, rev: number, close: string): object => ({ ts, rev, close, closed: rev > 1 });
    answerWith(CANDLES, { epoch: 'a', seq: 1 }, { origin: 'trades', candles: [candle(0, 2, 'a'), candle(60, 1, 'b')] });
    const series: CandleSeries[] = [];
    client.candles('sim', 'BTC/USDT', { onUpdate: (each) => series.push(each) });
    await exchange();
    const update = { origin: 'trades', candles: [candle(0, 1, 'old'), candle(60, 2, 'c'), candle(120, 1, 'd')] };
    server.push(envelope(CANDLES, { epoch: 'a', seq: 2 }, 'update', update));
    server.deliver();
    expect(series.at(-1)?.candles.map(({ close }) => close)).toEqual(['a', 'c', 'd']);
    expect(series.at(-1)?.changed.map(({ close }) => close)).toEqual(['c', 'd']);
    expect(series[0]?.candles.length).toBe(2);
  });

  test('ages and latencies are told by the clock of this machine', async () => {
    answerWith(TICKER, { epoch: 'a', seq: 1 }, { last: '1' });
    const subscription = client.ticker('sim', 'BTC/USDT');
    expect([subscription.ageMs(), subscription.latency()]).toEqual([null, null]);
    await exchange();
    await vi.advanceTimersByTimeAsync(2_000);
    expect(subscription.ageMs()).toBe(2_000);
    expect(subscription.latency()).toEqual({ sinceExchangeMs: 30, sinceIngestMs: 20, sinceSentMs: 10 });
  });
});

describe('several users of one client', () => {
  test('who joins late starts from what is known, without asking the server and without disturbing others', async () => {
    const stream = 'book:sim:BTC/USDT:25:100ms';
    const first: Envelope[] = [];
    client.subscribe(stream, (each) => first.push(each));
    await exchange();
    server.change(stream);
    server.deliver();
    const late: Envelope[] = [];
    const subscription = client.subscribe(stream, (each) => late.push(each));
    const book = client.book('sim', 'BTC/USDT');
    await exchange();
    server.change(stream);
    server.deliver();
    expect(first.map(({ kind }) => kind)).toEqual(['snapshot', 'delta', 'delta']);
    expect(late.map(({ kind }) => kind)).toEqual(['snapshot', 'delta']);
    expect(late[0]?.seq).toBe(first[1]?.seq);
    expect(book.live?.seq).toBe(first[2]?.seq);
    expect(server.requests.length).toBe(1);
    subscription.close();
    book.close();
    await exchange();
    expect(server.requests.length).toBe(1);
  });

  test('a handler that throws stops nobody else and is reported', async () => {
    answerWith(TICKER, { epoch: 'a', seq: 1 }, { last: '1' });
    const seen: number[] = [];
    client.subscribe(TICKER, () => {
      throw new Error('mine');
    });
    client.subscribe(TICKER, ({ seq }) => seen.push(seq));
    await exchange();
    server.push(envelope(TICKER, { epoch: 'a', seq: 2 }, 'update', { last: '2' }));
    server.deliver();
    expect(seen).toEqual([1, 2]);
    expect(errors.map(({ code, stream }) => `${code} ${stream}`)).toEqual([
      `handler_failed ${TICKER}`,
      `handler_failed ${TICKER}`,
    ]);
    expect(client.counters.handlerErrors).toBe(2);
  });

  test('a handler may close its own and another subscription from within', async () => {
    answerWith(TICKER, { epoch: 'a', seq: 1 }, { last: '1' });
    const seen: string[] = [];
    const own = client.subscribe(TICKER, () => {
      seen.push('own');
      own.close();
      other.close();
    });
    const other = client.subscribe(TICKER, () => seen.push('other'));
    await exchange();
    expect(seen).toEqual(['own']);
  });

  test('a refusal ends the stream and its loops with the code of the server; a temporary one is tried again', async () => {
    server.answers.set(TICKER, () => ({
      result: { error: { code: 'unknown_symbol', message: 'no', temporary: false } },
    }));
    const subscription = client.ticker('sim', 'BTC/USDT');
    const waiting = expect(subscription[Symbol.asyncIterator]().next()).rejects.toMatchObject({
      code: 'unknown_symbol',
    });
    await exchange();
    await waiting;
    expect(subscription.state).toMatchObject({ status: 'down', reason: 'unknown_symbol: no' });
    const error = { code: 'venue_unavailable', message: 'wait', temporary: true, retryAfterMs: 3_000 };
    server.answers.set(TRADES, () => ({ result: { error } }));
    const trades = client.trades('sim', 'BTC/USDT');
    await exchange();
    expect(trades.state).toMatchObject({ status: 'down', reason: 'venue_unavailable' });
    answerWith(TRADES, { epoch: 'a', seq: 1 }, { trades: [] });
    await exchange(2_900);
    expect(trades.state.status).toBe('down');
    await exchange(200);
    await exchange();
    expect(trades.state.status).toBe('live');
  });

  test('a stream left and joined again in one go is subscribed in the end, with a snapshot', async () => {
    const first = client.book('sim', 'BTC/USDT');
    await exchange();
    first.close();
    const second = client.book('sim', 'BTC/USDT');
    await exchange();
    await exchange();
    expect(second.state.status).toBe('live');
    expect(second.live).not.toBeNull();
  });
});

describe('coming back', () => {
  test('250 streams return in few requests, within the limits and the rate of the server', async () => {
    client.close();
    server = new ScriptedServer(seededRandom(1), { streamsPerRequest: 100, inboundBytes: 8_192 });
    client = createClient({ transport: server, random: () => 0.5 });
    server.deliver();
    const names = Array.from({ length: 250 }, (_, index) => `book:sim:ＣＯＩＮ${index}/USDT:25:100ms`);
    const subscriptions = names.map((name) => client.subscribe(name));
    await exchange();
    expect(subscriptions.every(({ state }) => state.status === 'live')).toBe(true);
    const before = server.requests.length;
    server.cut();
    await exchange(1_000);
    await exchange();
    expect(subscriptions.every(({ state }) => state.status === 'live')).toBe(true);
    const requests = server.requests.slice(before);
    expect(requests.length).toBeLessThanOrEqual(5);
    for (const { params } of requests) {
      expect((params as { streams: unknown[] }).streams.length).toBeLessThanOrEqual(100);
      expect(new TextEncoder().encode(JSON.stringify(params)).length).toBeLessThan(8_192);
    }
    expect(client.counters.resumes).toBe(250);
  });

  test('many changes of mind stay below the rate of the server', async () => {
    const sentAt: number[] = [];
    for (let round = 0; round < 200; round++) {
      const before = server.requests.length;
      client.subscribe(`book:sim:C${round}/USDT:25:100ms`);
      await exchange(10);
      for (let sent = before; sent < server.requests.length; sent++) sentAt.push(Date.now());
    }
    const inFirst = (ms: number): number => sentAt.filter((at) => at - sentAt[0]! < ms).length;
    // 20 a second and 40 at once, of which this client uses 80 %.
    expect(inFirst(1_000)).toBeLessThanOrEqual(32 + 16);
    expect(client.counters.throttled).toBeGreaterThan(0);
    await exchange(2_000);
    await exchange();
    expect(server.streams.size).toBe(200);
  });

  test('counters of streams that were left are not forgotten', async () => {
    const subscription = client.book('sim', 'BTC/USDT');
    await exchange();
    subscription.close();
    expect(client.counters.snapshots).toBe(1);
  });
});

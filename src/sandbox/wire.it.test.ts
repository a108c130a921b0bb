import { afterEach, describe, expect, it } from 'vitest';
import { crc32 } from '../kernel/crc32.ts';
import { createLog } from '../platform/log.ts';
import { until } from '../testing/ccxt-venue.ts';
import { handmadeTape } from '../testing/handmade-tape.ts';
import type { HandmadeTape } from '../testing/handmade-tape.ts';
import { RawClient } from '../testing/raw-client.ts';
import { openRecording, startSandbox } from './index.ts';
import type { RecordingSource, Sandbox, SandboxOptions, SandboxVenue } from './index.ts';

const CHANGES = 200;
const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

type Rig = { sandbox: Sandbox; source: RecordingSource; tape: HandmadeTape; root: string };
async function rig(
  venue: SandboxVenue,
  options: Partial<SandboxOptions> & { loop?: boolean; speed?: number } = {},
): Promise<Rig> {
  const log = createLog({ level: 'silent' });
  const tape = handmadeTape(venue, CHANGES);
  const { loop = false, speed = 0, ...rest } = options;
  const [source] = await openRecording(tape.folder, { speed, loop, log });
  const sandbox = await startSandbox({ sources: [source!], log, ...rest });
  cleanups.push(() => tape.remove());
  cleanups.push(() => sandbox.stop());
  return { sandbox, source: source!, tape, root: `${sandbox.url}/${venue}` };
}

async function client(url: string): Promise<RawClient> {
  const opened = await RawClient.open(url);
  cleanups.push(() => opened.close());
  return opened;
}

async function getJson(url: string): Promise<{ status: number; body: Record<string, unknown> }> {
  const response = await fetch(url);
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

const framesOf = (tape: HandmadeTape, part: string): string[] => tape.frames.filter((frame) => frame.includes(part));
const payloadOf = (frame: string): string => JSON.stringify((JSON.parse(frame) as { data: unknown }).data);

describe('binance', () => {
  it('answers SUBSCRIBE before the first change, which ccxt would otherwise lose, and sends payloads byte for byte', async () => {
    const { root, source, tape } = await rig('binance');
    const ws = await client(`${root}/stream/ws/0`);
    ws.send({ method: 'SUBSCRIBE', params: ['btcusdt@depth@100ms', 'btcusdt@trade', 'btcusdt@bookTicker'], id: 1 });
    await source.finished;
    const recorded = tape.frames.map(payloadOf);
    await until(() => recorded.every((payload) => ws.texts.includes(payload)), 'the whole tape');
    expect(ws.texts[0]).toBe('{"result":null,"id":1}');
    expect(ws.texts.filter((text) => recorded.includes(text))).toEqual(recorded);
  });

  it('wraps payloads with the name that a combined-stream client used', async () => {
    const { root, source, tape } = await rig('binance');
    const ws = await client(`${root}/stream?streams=btcusdt@depth/btcusdt@kline_1m`);
    await source.finished;
    const depth = framesOf(tape, 'depthUpdate').map((frame) => `{"stream":"btcusdt@depth","data":${payloadOf(frame)}}`);
    await until(() => depth.every((frame) => ws.texts.includes(frame)), 'all changes');
    // A recording without candles has them made from its trades.
    expect(ws.texts.some((text) => text.startsWith('{"stream":"btcusdt@kline_1m","data":{"e":"kline"'))).toBe(true);
  });

  it('stops what is unsubscribed and refuses what is no stream', async () => {
    const { root, sandbox } = await rig('binance', { startWhen: 'manual' });
    const ws = await client(`${root}/stream/ws`);
    ws.send({ method: 'SUBSCRIBE', params: ['btcusdt@trade', 'btcusdt@depth'], id: 'a' });
    ws.send({ method: 'UNSUBSCRIBE', params: ['btcusdt@depth'], id: 'b' });
    ws.send({ method: 'LIST_SUBSCRIPTIONS', id: 'c' });
    ws.send({ method: 'SUBSCRIBE', params: ['nonsense'], id: 'd' });
    ws.send('{ not json');
    await until(() => ws.frames.length === 5, 'five answers');
    expect(ws.objects.map((answer) => answer['result'] ?? answer['error'])).toEqual([
      undefined,
      undefined,
      ['btcusdt@trade'],
      { code: 2, msg: 'Invalid request: invalid stream nonsense' },
      { code: 3, msg: 'Invalid JSON: expected value at line 1 column 1' },
    ]);
    sandbox.play();
    await until(() => ws.texts.filter((text) => text.includes('"e":"trade"')).length === CHANGES / 5, 'the trades');
    expect(ws.texts.filter((text) => text.includes('depthUpdate'))).toEqual([]);
  });

  it('lists only taped markets and answers unknown ones with the exchange’s own error', async () => {
    const { root, source } = await rig('binance', { startWhen: 'now' });
    await source.finished;
    const { body } = await getJson(`${root}/api/v3/exchangeInfo`);
    expect((body['symbols'] as { symbol: string }[]).map(({ symbol }) => symbol)).toEqual(['BTCUSDT']);
    expect(await getJson(`${root}/api/v3/depth?symbol=NOSUCH`)).toEqual({
      status: 400,
      body: { code: -1121, msg: 'Invalid symbol.' },
    });
    expect((await getJson(`${root}/api/v3/klines?symbol=BTCUSDT&interval=7m`)).body).toMatchObject({ code: -1120 });
    expect(await fetch(`${root}/api/v3/klines?symbol=BTCUSDT&interval=1m`).then((r) => r.json())).toHaveLength(1);
    expect((await getJson(`${root}/api/v3/depth?symbol=BTCUSDT&limit=5`)).body['lastUpdateId']).toBe(5000 + CHANGES);
  });
});

describe('kraken', () => {
  it.each([10, 25, 1000])(
    'keeps a depth-%s client right: every frame’s checksum fits the book it cuts by itself',
    async (depth) => {
      const { root, source } = await rig('kraken', { loop: true });
      const ws = await client(`${root}/v2`);
      ws.send({ method: 'subscribe', params: { channel: 'book', symbol: ['BTC/USD'], depth }, req_id: 1 });
      // Three passes: recorded frames, then frames made anew, and the bridges between.
      await until(() => source.passes >= 3, 'three passes');
      source.stop();
      const checked = checkKrakenBook(ws.texts, depth);
      expect(checked).toBeGreaterThan(100);
    },
  );

  it('greets, acknowledges before the snapshot, answers pings and refuses unknown pairs as the exchange does', async () => {
    const { root } = await rig('kraken', { startWhen: 'manual' });
    const ws = await client(`${root}/v2`);
    ws.send({ method: 'subscribe', params: { channel: 'book', symbol: ['BTC/USD', 'NO/SUCH'], depth: 10 }, req_id: 5 });
    ws.send({ method: 'subscribe', params: { channel: 'book', symbol: ['BTC/USD'], depth: 11 }, req_id: 6 });
    ws.send({ method: 'ping', req_id: 7 });
    await until(() => ws.frames.length >= 6, 'six frames');
    expect(ws.objects[0]).toMatchObject({ channel: 'status' });
    expect(ws.objects[1]).toMatchObject({ method: 'subscribe', req_id: 5, success: true, result: { depth: 10 } });
    expect(ws.objects[2]).toMatchObject({ channel: 'book', type: 'snapshot' });
    expect(ws.objects[3]).toMatchObject({ success: false, error: 'Currency pair not supported NO/SUCH' });
    expect(ws.objects[4]).toMatchObject({ success: false, error: 'Subscription depth not supported' });
    expect(ws.objects[5]).toMatchObject({ method: 'pong', req_id: 7 });
    await ws.seen((frame) => frame['channel'] === 'heartbeat', 'a heartbeat');
  });
});

describe('coinbase', () => {
  it('numbers the frames of each connection without a hole, whatever was recorded', async () => {
    const { root, sandbox, source } = await rig('coinbase', { startWhen: 'manual', loop: true });
    const one = await client(root);
    const two = await client(root);
    one.send({ type: 'subscribe', product_ids: ['BTC-USD'], channel: 'level2' });
    two.send({ type: 'subscribe', product_ids: ['BTC-USD'], channel: 'ticker_batch' });
    two.send({ type: 'subscribe', product_ids: ['BTC-USD'], channel: 'market_trades' });
    two.send({ type: 'subscribe', channel: 'heartbeats' });
    await until(() => one.frames.length >= 2 && two.frames.length >= 3, 'subscriptions stand');
    sandbox.play();
    await until(() => source.passes >= 2, 'two passes');
    await two.seen((frame) => frame['channel'] === 'heartbeats', 'a heartbeat');
    source.stop();
    for (const each of [one, two]) {
      const numbers = each.objects.map((frame) => frame['sequence_num']);
      expect(numbers).toEqual(numbers.map((_, index) => index));
    }
    expect(one.objects[1]).toMatchObject({ channel: 'l2_data', events: [{ type: 'snapshot' }] });
    expect(new Set(two.objects.map((frame) => frame['channel']))).toEqual(
      new Set(['subscriptions', 'ticker_batch', 'market_trades', 'heartbeats']),
    );
  });

  it('answers an unknown product with an error', async () => {
    const { root } = await rig('coinbase');
    const ws = await client(root);
    ws.send({ type: 'subscribe', product_ids: ['NO-SUCH'], channel: 'level2' });
    const error = await ws.seen((frame) => frame['type'] === 'error', 'an error');
    expect(error['message']).toContain('NO-SUCH');
    const { status } = await getJson(`${root}/api/v3/brokerage/market/product_book?product_id=NO-SUCH`);
    expect(status).toBe(404);
  });
});

describe('kucoin', () => {
  it('leads clients from bullet-public to its own socket and speaks its requests', async () => {
    const { root, sandbox, tape } = await rig('kucoin', { startWhen: 'manual' });
    const bullet = (await fetch(`${root}/api/v1/bullet-public`, { method: 'POST' }).then((r) => r.json())) as {
      data: { token: string; instanceServers: { endpoint: string }[] };
    };
    const { endpoint } = bullet.data.instanceServers[0]!;
    const ws = await client(`${endpoint}?token=${bullet.data.token}&connectId=abc`);
    ws.send({ id: '1', type: 'subscribe', topic: '/market/level2:BTC-USDT', response: true });
    ws.send({ id: '2', type: 'subscribe', topic: '/market/level2:NO-SUCH', response: true });
    ws.send({ id: '3', type: 'ping' });
    await until(() => ws.frames.length === 4, 'four answers');
    expect(ws.objects).toMatchObject([
      { id: 'abc', type: 'welcome' },
      { id: '1', type: 'ack' },
      { id: '2', type: 'error', code: 404 },
      { id: '3', type: 'pong' },
    ]);
    sandbox.play();
    const changes = framesOf(tape, 'trade.l2update');
    await until(() => changes.every((frame) => ws.texts.includes(frame)), 'the changes byte for byte');
  });
});

describe('okx', () => {
  it('acknowledges, sends the snapshot, answers the text ping and refuses what does not exist', async () => {
    const { root, sandbox, tape } = await rig('okx', { startWhen: 'manual' });
    const ws = await client(`${root}/ws/v5/public`);
    ws.send('ping');
    ws.send({
      op: 'subscribe',
      args: [
        { channel: 'books', instId: 'BTC-USDT' },
        { channel: 'books', instId: 'NO-SUCH' },
      ],
    });
    await until(() => ws.frames.length === 4, 'four answers');
    expect(ws.texts[0]).toBe('pong');
    expect(ws.objects).toMatchObject([
      { event: 'subscribe', arg: { channel: 'books', instId: 'BTC-USDT' } },
      { action: 'snapshot' },
      { event: 'error', code: '60018' },
    ]);
    // The sandbox's own snapshot carries the checksum and id that the recorded one had.
    const recorded = (JSON.parse(tape.frames[0]!) as { data: { checksum: number; seqId: number }[] }).data[0]!;
    expect(ws.objects[1]).toMatchObject({ data: [{ checksum: recorded.checksum, seqId: recorded.seqId }] });
    sandbox.play();
    const changes = framesOf(tape, '"action":"update"');
    await until(() => changes.every((frame) => ws.texts.includes(frame)), 'the changes byte for byte');
  });
});

describe('every venue', () => {
  it('answers a request for an unknown venue instead of hanging', async () => {
    const { sandbox } = await rig('binance');
    expect((await getJson(`${sandbox.url}/nowhere/api`)).status).toBe(404);
    await expect(RawClient.open(`${sandbox.url}/nowhere`)).rejects.toThrow('404');
  });

  it('waits for its first subscriber, so that nobody misses the start of a tape', async () => {
    const { root, source } = await rig('binance', { speed: 1 });
    const before = source.book('BTC/USDT')!.lastId;
    await getJson(`${root}/api/v3/depth?symbol=BTCUSDT`);
    expect(source.book('BTC/USDT')!.lastId).toBe(before);
    const ws = await client(`${root}/stream/ws`);
    ws.send({ method: 'SUBSCRIBE', params: ['btcusdt@depth'], id: 1 });
    await until(() => source.book('BTC/USDT')!.lastId > before, 'the tape runs');
    expect((JSON.parse(ws.texts[1]!) as { U: number }).U).toBe(before + 1);
  });

  it('cuts off a client that stops reading instead of piling up its frames', async () => {
    const { root, sandbox } = await rig('binance', { loop: true });
    const ws = await client(`${root}/stream/ws`);
    ws.send({ method: 'SUBSCRIBE', params: ['btcusdt@depth', 'btcusdt@trade'], id: 1 });
    await ws.seen((frame) => 'result' in frame, 'the answer');
    ws.pause();
    await until(() => sandbox.slowClients() === 1, 'the slow client is cut', 30_000);
    await until(() => sandbox.clients('binance') === 0, 'it is gone');
  });

  it('ends every connection and refuses new ones after stop', async () => {
    const { root, sandbox } = await rig('binance');
    const ws = await client(`${root}/stream/ws`);
    await sandbox.stop();
    await until(() => ws.closeCode !== undefined, 'the connection ends');
    await expect(fetch(`${root}/api/v3/ping`)).rejects.toThrow('fetch failed');
  });
});

/** Keeps a book as Kraken's documentation tells clients to, and checks every checksum on the way; answers how many. */
function checkKrakenBook(texts: readonly string[], depth: number): number {
  const sides = { bids: new Map<number, [string, string]>(), asks: new Map<number, [string, string]>() };
  const sorted = (side: 'bids' | 'asks'): [string, string][] => {
    const sign = side === 'bids' ? -1 : 1;
    return [...sides[side]].toSorted(([a], [b]) => sign * (a - b)).map(([, level]) => level);
  };
  let checked = 0;
  for (const text of texts) {
    if (!text.startsWith('{"channel":"book"')) continue;
    const quoted = JSON.parse(text.replace(/"(price|qty)":([-\d.]+)/g, '"$1":"$2"')) as {
      type: string;
      data: { checksum: number; bids: { price: string; qty: string }[]; asks: { price: string; qty: string }[] }[];
    };
    const row = quoted.data[0]!;
    for (const side of ['bids', 'asks'] as const) {
      if (quoted.type === 'snapshot') sides[side].clear();
      for (const { price, qty } of row[side]) {
        if (Number(qty) === 0) sides[side].delete(Number(price));
        else sides[side].set(Number(price), [price, qty]);
      }
      for (const [price] of sorted(side).slice(depth)) sides[side].delete(Number(price));
    }
    const digits = [...sorted('asks').slice(0, 10), ...sorted('bids').slice(0, 10)].flatMap((level) =>
      level.map((part) => part.replace('.', '').replace(/^0+/, '')),
    );
    expect(crc32(digits.join('')), text.slice(0, 200)).toBe(row.checksum);
    checked += 1;
  }
  return checked;
}

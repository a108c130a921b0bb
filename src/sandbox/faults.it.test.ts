import { afterEach, describe, expect, it } from 'vitest';
import { createLog } from '../platform/log.ts';
import { openCcxt, until, watchLoop } from '../testing/ccxt-venue.ts';
import type { CcxtBook } from '../testing/ccxt-venue.ts';
import { handmadeTape } from '../testing/handmade-tape.ts';
import { RawClient } from '../testing/raw-client.ts';
import { GARBAGE_KINDS, openRecording, startSandbox } from './index.ts';
import type { RecordingSource, Sandbox, SandboxVenue } from './index.ts';

const CHANGES = 300;
const FIRST = 5001;
const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

type Rig = { sandbox: Sandbox; source: RecordingSource; root: string };
type RigOptions = { seed?: number; speed?: number; loop?: boolean; changes?: number };
async function rig(venue: SandboxVenue, faults: string, options: RigOptions = {}): Promise<Rig> {
  const { seed = 1, speed = 0, loop = false, changes = CHANGES } = options;
  const log = createLog({ level: 'silent' });
  const tape = handmadeTape(venue, changes);
  const [source] = await openRecording(tape.folder, { speed, loop, log });
  const sandbox = await startSandbox({ sources: [source!], log, faults, seed, startWhen: 'manual' });
  cleanups.push(() => tape.remove());
  cleanups.push(() => sandbox.stop());
  return { sandbox, source: source!, root: `${sandbox.url}/${venue}` };
}

/** Subscribes, plays the tape once and answers what came over the wire. */
async function played(venue: SandboxVenue, faults: string, options: RigOptions = {}): Promise<Rig & { ws: RawClient }> {
  const made = await rig(venue, faults, options);
  const ws = await subscribed(venue, made.root);
  made.sandbox.play();
  await made.source.finished;
  // The last frame may be one that a fault takes: an answer to a request marks the end of what was sent.
  ws.send(PINGS[venue]);
  await until(() => ws.texts.some((text) => /LIST|pong|"result":\[/.test(text)), 'all frames have arrived');
  return { ...made, ws };
}

const PINGS: Readonly<Record<string, unknown>> = {
  binance: { method: 'LIST_SUBSCRIPTIONS', id: 9 },
  kraken: { method: 'ping' },
  okx: 'ping',
};

async function subscribed(venue: SandboxVenue, root: string): Promise<RawClient> {
  const paths: Readonly<Record<string, string>> = { binance: '/stream/ws', kraken: '/v2', okx: '/ws/v5/public' };
  const requests: Readonly<Record<string, unknown>> = {
    binance: { method: 'SUBSCRIBE', params: ['btcusdt@depth'], id: 1 },
    kraken: { method: 'subscribe', params: { channel: 'book', symbol: ['BTC/USD'], depth: 1000 } },
    okx: { op: 'subscribe', args: [{ channel: 'books', instId: 'BTC-USDT' }] },
  };
  const ws = await RawClient.open(root + paths[venue]!);
  cleanups.push(() => ws.close());
  ws.send(requests[venue]);
  await until(() => ws.objects.some((frame) => /result|success|subscribe/.test(JSON.stringify(frame))), 'subscribed');
  return ws;
}

/** Update ids of the depth frames in the order in which they came. */
function ids(ws: RawClient): number[] {
  return ws.objects.flatMap((frame) => (frame['e'] === 'depthUpdate' ? [frame['u'] as number] : []));
}
const ALL = Array.from({ length: CHANGES }, (_, index) => FIRST + index);

describe('faults on the wire', () => {
  it('gap: exactly the frames that the seed chooses are missing, the same in every run', async () => {
    const runs = await Promise.all([7, 7, 8].map((seed) => played('binance', 'gap binance/book 10%', { seed })));
    const [one, two, other] = runs.map(({ ws }) => ids(ws));
    expect(one!.length).toBe(CHANGES - runs[0]!.sandbox.faults.counts().gap);
    expect(runs[0]!.sandbox.faults.counts().gap).toBeGreaterThan(10);
    expect(two).toEqual(one);
    expect(other).not.toEqual(one);
  });

  it('gap: takes as many frames in a row as it is told', async () => {
    const { ws, sandbox } = await played('binance', 'gap binance 2% count=5');
    const missing = ALL.filter((id) => !ids(ws).includes(id));
    expect(missing.length).toBe(sandbox.faults.counts().gap);
    expect(missing.length).toBeGreaterThanOrEqual(5);
    expect(missing.filter((id) => missing.includes(id + 1)).length).toBeGreaterThanOrEqual(4);
  });

  it('duplicate: frames come twice, none is lost', async () => {
    const { ws, sandbox } = await played('binance', 'duplicate */book 10%');
    expect([...new Set(ids(ws))]).toEqual(ALL);
    expect(ids(ws).length - CHANGES).toBe(sandbox.faults.counts().duplicate);
    expect(sandbox.faults.counts().duplicate).toBeGreaterThan(10);
  });

  it('reorder: neighbours swap, none is lost', async () => {
    const { ws, sandbox } = await played('binance', 'reorder */book/BTC/USDT 10%');
    const got = ids(ws);
    expect(got).not.toEqual(ALL);
    expect(got.toSorted((a, b) => a - b).length).toBeGreaterThanOrEqual(CHANGES - 1);
    expect(got.filter((id, index) => got[index + 1]! < id).length).toBeGreaterThan(5);
    expect(sandbox.faults.counts().reorder).toBeGreaterThan(5);
  });

  it.each(GARBAGE_KINDS)('garbage %s: a broken frame comes beside the true ones', async (kind) => {
    const { ws, sandbox } = await played('binance', `garbage */book 5% kind=${kind}`, { changes: 60 });
    const injected = sandbox.faults.counts().garbage;
    expect(injected).toBeGreaterThan(0);
    // One answer to the subscription, one to the closing request.
    expect(ws.frames.length).toBe(60 + injected + 2);
    expect(new Set(ids(ws)).size).toBe(60);
  });

  it('garbage in place: the true frame is lost', async () => {
    const { ws, sandbox } = await played('binance', 'garbage */book 10% kind=truncated mode=replace');
    expect(sandbox.faults.counts().garbage).toBeGreaterThan(10);
    expect(ids(ws).length).toBe(CHANGES - sandbox.faults.counts().garbage);
  });

  it('silence: the connection stays open and says nothing while it lasts', async () => {
    const { ws, sandbox, source, root } = await played('binance', 'silence binance/book');
    expect(ids(ws)).toEqual([]);
    expect(ws.closeCode).toBeUndefined();
    expect(sandbox.faults.counts().silence).toBe(CHANGES);
    // The exchange itself went on: its REST answers are of now.
    const depth = (await fetch(`${root}/api/v3/depth?symbol=BTCUSDT`).then((r) => r.json())) as {
      lastUpdateId: number;
    };
    expect(depth.lastUpdateId).toBe(source.book('BTC/USDT')!.lastId);
  });

  it('disconnect: by chance with a frame, or at a time', async () => {
    const chance = await rig('binance', 'disconnect binance/book 20% code=1001');
    const cut = await subscribed('binance', chance.root);
    chance.sandbox.play();
    await until(() => cut.closeCode !== undefined, 'closed by chance');
    expect(cut.closeCode).toBe(1001);

    const timed = await rig('binance', 'disconnect binance at=10ms');
    const gone = await subscribed('binance', timed.root);
    await until(() => gone.closeCode !== undefined, 'cut at its time');
    expect(gone.closeCode).toBe(1006);
    // Once per window: who comes back stays.
    const back = await subscribed('binance', timed.root);
    timed.sandbox.play();
    await until(() => ids(back).length === CHANGES, 'the second connection lives');
    expect(timed.sandbox.faults.counts().disconnect).toBe(1);
  });

  it('crossed: a bid above the best ask comes and is never taken back, REST stays right', async () => {
    const { ws, sandbox, source, root } = await played('binance', 'crossed binance/book 5%');
    const bids = new Map<number, number>();
    for (const frame of ws.objects) {
      for (const [price, size] of (frame['b'] ?? []) as [string, string][]) bids.set(Number(price), Number(size));
    }
    const standing = [...bids].filter(([, size]) => size > 0).map(([price]) => price);
    const book = source.book('BTC/USDT')!;
    expect(sandbox.faults.counts().crossed).toBeGreaterThan(3);
    expect(Math.max(...standing)).toBeGreaterThan(Number(book.asks[0]![0]));
    const depth = (await fetch(`${root}/api/v3/depth?symbol=BTCUSDT`).then((r) => r.json())) as {
      bids: [string, string][];
    };
    expect(depth.bids[0]).toEqual([...book.bids[0]!]);
  });

  it.each(['kraken', 'okx'] as const)('wrong-checksum: %s frames whose checksum does not fit', async (venue) => {
    const clean = await played(venue, '');
    const { ws, sandbox } = await played(venue, `wrong-checksum ${venue}/book 10%`);
    const sums = (each: RawClient): unknown[] =>
      each.objects.flatMap((frame) =>
        ((frame['data'] ?? []) as { checksum?: number }[]).flatMap((row) => row.checksum ?? []),
      );
    const wrong = sums(ws).filter((sum, index) => sum !== sums(clean.ws)[index]);
    expect(wrong.length).toBe(sandbox.faults.counts()['wrong-checksum']);
    expect(wrong.length).toBeGreaterThan(5);
  });

  it('clock-skew: frames and REST live in another time', async () => {
    const { ws, sandbox, source, root } = await played('binance', 'clock-skew binance ms=90000');
    const last = ws.objects.findLast((frame) => frame['e'] === 'depthUpdate')!;
    expect((last['E'] as number) - source.book('BTC/USDT')!.ts).toBe(90_000);
    const time = (await fetch(`${root}/api/v3/time`).then((r) => r.json())) as { serverTime: number };
    expect(time.serverTime - source.now()).toBe(90_000);
    sandbox.faults.clear();
    const again = (await fetch(`${root}/api/v3/time`).then((r) => r.json())) as { serverTime: number };
    expect(again.serverTime).toBe(source.now());
  });
});

describe('faults of snapshots and REST', () => {
  it('http429: says how long to wait, and stops when the script is replaced', async () => {
    const { root, sandbox } = await rig('binance', 'http429 binance retry=7');
    const refused = await fetch(`${root}/api/v3/time`);
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '7']);
    sandbox.faults.set('');
    expect((await fetch(`${root}/api/v3/time`)).status).toBe(200);
    expect(sandbox.faults.counts().http429).toBe(1);
  });

  it('fail-snapshot: only the book fails', async () => {
    const { root } = await rig('binance', 'fail-snapshot binance status=503');
    expect((await fetch(`${root}/api/v3/depth?symbol=BTCUSDT`)).status).toBe(503);
    expect((await fetch(`${root}/api/v3/time`)).status).toBe(200);
  });

  it('slow-snapshot: REST and in-band snapshots come late, changes never before them', async () => {
    const slow = await rig('binance', 'slow-snapshot * ms=300');
    const startedMs = performance.now();
    await fetch(`${slow.root}/api/v3/depth?symbol=BTCUSDT`);
    expect(performance.now() - startedMs).toBeGreaterThan(250);

    const { root, sandbox } = await rig('kraken', 'slow-snapshot kraken ms=100', { loop: true });
    const ws = await subscribed('kraken', root);
    sandbox.play();
    await until(() => ws.texts.filter((text) => text.startsWith('{"channel":"book"')).length > 3, 'book frames');
    const books = ws.objects.filter((frame) => frame['channel'] === 'book');
    expect(books.map((frame) => frame['type']).slice(0, 2)).toEqual(['snapshot', 'update']);
    expect(sandbox.faults.counts()['slow-snapshot']).toBe(1);
  });

  it('stale-snapshot: REST shows a book that the stream has left behind', async () => {
    const { root, sandbox, source } = await rig('binance', 'stale-snapshot binance ms=60000', { speed: 2 });
    sandbox.play();
    await until(() => source.book('BTC/USDT')!.lastId > FIRST + 20, 'the tape is under way');
    const depth = (await fetch(`${root}/api/v3/depth?symbol=BTCUSDT`).then((r) => r.json())) as {
      lastUpdateId: number;
    };
    expect(depth.lastUpdateId).toBeLessThan(source.book('BTC/USDT')!.lastId - 10);
  });
});

describe('unmodified ccxt under faults', () => {
  it('recovers from lost Binance changes and ends with the right book', async () => {
    const { sandbox, source } = await rig('binance', 'gap binance/book 2%', { speed: 4, changes: 1500 });
    const exchange = await openCcxt('binance', sandbox.url);
    cleanups.push(() => exchange.close());
    const loop = watchLoop(
      () => exchange.watchOrderBook('BTC/USDT') as unknown as Promise<CcxtBook>,
      () => {},
    );
    await until(() => sandbox.clients('binance') === 1, 'subscribed');
    sandbox.play();
    await until(() => loop.errors.length >= 2, 'ccxt notices holes');
    sandbox.faults.clear();
    await source.finished;
    const end = source.book('BTC/USDT')!;
    const numbers = (levels: readonly (readonly [string, string])[]): number[][] =>
      levels.map(([price, size]) => [Number(price), Number(size)]);
    await until(() => {
      const book = exchange.orderbooks['BTC/USDT'] as unknown as CcxtBook | undefined;
      return JSON.stringify([book?.bids, book?.asks]) === JSON.stringify([numbers(end.bids), numbers(end.asks)]);
    }, 'the book is right again');
    loop.stop();
    expect(loop.errors.every((error) => error.includes('ChecksumError'))).toBe(true);
  });
});

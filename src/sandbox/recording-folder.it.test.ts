import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createLog } from '../platform/log.ts';
import type { RecordingOptions, RecordingSource } from './index.ts';
import { openRecording } from './index.ts';
import type { TapeEvent } from './tape.ts';

let root: string;
let folder: string;
let logged: Record<string, unknown>[];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'tidewire-folder-'));
  folder = join(root, 'tape');
  mkdirSync(folder);
  logged = [];
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const log = createLog({
  level: 'info',
  destination: { write: (line) => void logged.push(JSON.parse(line) as Record<string, unknown>) },
});
const open = (options: Partial<RecordingOptions> = {}): Promise<RecordingSource[]> =>
  openRecording(folder, { speed: 0, loop: false, log, ...options });

type Line = Record<string, unknown>;
const recv = (atMs: number, raw: object): Line => ({ t: 'recv', ts_us: atMs * 1000, raw: JSON.stringify(raw) });
const http = (atMs: number, url: string, raw: object): Line => ({
  t: 'http',
  ts_us: atMs * 1000,
  url,
  raw: JSON.stringify(raw),
});
const text = (lines: Line[]): string => lines.map((line) => `${JSON.stringify(line)}\n`).join('');
const write = (name: string, lines: Line[]): void => {
  writeFileSync(join(folder, name), name.endsWith('.gz') ? gzipSync(text(lines)) : text(lines));
};

const depth = (U: number, u: number, b: string[][], a: string[][] = [], s = 'BTCUSDT'): object => ({
  stream: `${s.toLowerCase()}@depth@100ms`,
  data: { e: 'depthUpdate', E: 1_700_000_000_000 + u, s, U, u, b, a },
});
const snapshot = (lastUpdateId: number, bids: string[][], asks: string[][]): object => ({ lastUpdateId, bids, asks });
const DEPTH_URL = 'https://api.binance.com/api/v3/depth?symbol=BTCUSDT&limit=1000';

async function play(source: RecordingSource): Promise<TapeEvent[]> {
  const events: TapeEvent[] = [];
  source.start((event) => events.push(event));
  await source.finished;
  expect(source.failure).toBeUndefined();
  return events;
}

describe('a folder of recordings', () => {
  it('merges files by time, plain and compressed, and survives the torn last line of a killed recorder', async () => {
    write('b.jsonl.gz', [recv(2, depth(11, 11, [['99', '2']])), recv(4, depth(13, 13, [['97', '4']]))]);
    writeFileSync(
      join(folder, 'a.jsonl'),
      `${text([http(1, DEPTH_URL, snapshot(10, [['100', '1']], [['101', '1']])), recv(3, depth(12, 12, [['98', '3']]))])}{"t":"recv","ts_us":5000,"ra`,
    );
    const [source] = await open();
    const events = await play(source!);
    expect(events.map((event) => (event.kind === 'book' ? event.lastId : event.kind))).toEqual([11, 12, 13]);
    expect(source!.book('BTC/USDT')).toMatchObject({
      lastId: 13,
      bids: [
        ['100', '1'],
        ['99', '2'],
        ['98', '3'],
        ['97', '4'],
      ],
    });
  });

  it('takes one folder per exchange below it, and one source for each', async () => {
    rmSync(folder, { recursive: true });
    for (const [name, raw] of [
      ['binance', depth(1, 1, [])],
      [
        'okx',
        {
          arg: { channel: 'trades', instId: 'BTC-USDT' },
          data: [{ instId: 'BTC-USDT', tradeId: '1', px: '1', sz: '1', side: 'buy', ts: '1' }],
        },
      ],
    ] as const) {
      mkdirSync(join(folder, name), { recursive: true });
      writeFileSync(join(folder, name, 'x.jsonl'), text([recv(1, raw)]));
    }
    expect((await open()).map(({ venue }) => venue)).toEqual(['binance', 'okx']);
  });

  it('refuses what it cannot play with a reason that says what to do', async () => {
    await expect(open()).rejects.toThrow('no *.jsonl or *.jsonl.gz files');
    write('a.jsonl', [{ t: 'recv', ts_us: 1, raw: '[336,{"b":[["1","1","1"]]},"book-1000","XBT/USD"]' }]);
    await expect(open()).rejects.toThrow(/Kraken WebSocket v1.*v2/);
    write('a.jsonl', [recv(1, { hello: 'world' })]);
    await expect(open()).rejects.toThrow('no recorded traffic of a known exchange');
    expect(logged).toContainEqual(expect.objectContaining({ event: 'recording_file_skipped' }));
  });

  it('takes market steps from the list beside the recording, else from the digits seen, and says so', async () => {
    write('a.jsonl', [recv(1, depth(1, 1, [['100.250', '0.0130']]))]);
    const [derived] = await open();
    expect(derived!.markets).toMatchObject([{ symbol: 'BTC/USDT', tickSize: '0.01', lotSize: '0.001' }]);
    expect(logged).toContainEqual(
      expect.objectContaining({ event: 'recording_markets_derived', symbols: ['BTC/USDT'] }),
    );
    expect(logged).toContainEqual(
      expect.objectContaining({ event: 'recording_without_snapshot', symbols: ['BTC/USDT'] }),
    );

    logged = [];
    const filters = [
      { filterType: 'PRICE_FILTER', tickSize: '0.01000000' },
      { filterType: 'LOT_SIZE', stepSize: '0.00001000', minQty: '0.00001000' },
    ];
    const entry = (symbol: string, baseAsset: string): object => ({ symbol, baseAsset, quoteAsset: 'USDT', filters });
    mkdirSync(join(root, 'metadata'));
    const list = { symbols: [entry('BTCUSDT', 'BTC'), entry('ETHUSDT', 'ETH')] };
    writeFileSync(join(root, 'metadata', 'spot.json.gz'), gzipSync(JSON.stringify(list)));
    const [known] = await open();
    expect(known!.markets).toMatchObject([{ symbol: 'BTC/USDT', tickSize: '0.01000000', minSize: '0.00001000' }]);
    expect(logged.map(({ event }) => event)).not.toContain('recording_markets_derived');
  });
});

describe('a recording with flaws', () => {
  const asks = [['101', '1']];

  it('answers no book while the recording has a hole, and the right one once a recorded snapshot mends it', async () => {
    write('a.jsonl', [
      http(1, DEPTH_URL, snapshot(10, [['100', '1']], asks)),
      recv(2, depth(11, 11, [['99', '2']])),
      // 12 to 19 were never recorded.
      recv(3, depth(20, 20, [['98', '3']])),
      recv(4, depth(21, 21, [['97', '4']])),
      http(
        5,
        DEPTH_URL,
        snapshot(
          20,
          [
            ['100', '7'],
            ['98', '3'],
          ],
          asks,
        ),
      ),
      recv(6, depth(22, 22, [['96', '5']])),
    ]);
    const [source] = await open();
    const known: [number, boolean][] = [];
    source!.start((event) => {
      if (event.kind === 'book') known.push([event.lastId, source!.book('BTC/USDT') !== undefined]);
    });
    await source!.finished;
    expect(known).toEqual([
      [11, true],
      [20, false],
      [21, false],
      [22, true],
    ]);
    expect(source!.book('BTC/USDT')!.bids).toEqual([
      ['100', '7'],
      ['98', '3'],
      ['97', '4'],
      ['96', '5'],
    ]);
  });

  it('from the second pass on, starts the change that overlaps its snapshot where the last pass ended, as ccxt demands', async () => {
    write('a.jsonl', [
      http(1, DEPTH_URL, snapshot(10, [['100', '1']], asks)),
      recv(2, depth(8, 12, [['99', '2']])),
      recv(3, depth(13, 13, [['98', '3']])),
    ]);
    const [source] = await open({ loop: true });
    const chain: number[][] = [];
    source!.start((event) => {
      if (event.kind === 'book') chain.push([event.firstId, event.lastId]);
      if (source!.passes === 2) source!.stop();
    });
    await source!.finished;
    // The first pass is as recorded; then bridge, overlap cut off, next change; then the bridge that ends the test.
    expect(chain).toEqual([
      [8, 12],
      [13, 13],
      [14, 14],
      [15, 16],
      [17, 17],
      [18, 18],
    ]);
  });

  it('turns the snapshot of a recorder that reconnected into a change for clients that did not', async () => {
    const kraken = (type: string, bids: [number, number][]): object => {
      const row = { symbol: 'BTC/USD', bids: bids.map(([price, qty]) => ({ price, qty })), asks: [], checksum: 0 };
      return { channel: 'book', type, data: [row] };
    };
    write('a.jsonl', [
      recv(
        1,
        kraken('snapshot', [
          [100, 1],
          [99, 1],
        ]),
      ),
      recv(2, kraken('update', [[98, 1]])),
      recv(
        3,
        kraken('snapshot', [
          [100, 5],
          [97, 1],
        ]),
      ),
    ]);
    const [source] = await open();
    const events = await play(source!);
    expect(events).toMatchObject([
      { kind: 'book', bids: [['98', '1']] },
      {
        kind: 'book',
        bids: [
          ['100', '5'],
          ['99', '0'],
          ['98', '0'],
          ['97', '1'],
        ],
      },
    ]);
    expect(events[1]!.raw).toBeUndefined();
  });

  it('plays on over frames that are broken and counts them', async () => {
    write('a.jsonl', [
      http(1, DEPTH_URL, snapshot(10, [['100', '1']], asks)),
      { t: 'recv', ts_us: 2000, raw: '{"stream":"btcusdt@de' },
      recv(3, depth(11, 11, [['99', '2']])),
    ]);
    const [source] = await open();
    expect(await play(source!)).toHaveLength(1);
    expect(logged).toContainEqual(expect.objectContaining({ event: 'recording_undecodable', frames: 1 }));
  });
});

describe('the pace of a recording', () => {
  const lines = Array.from({ length: 11 }, (_, index) => recv(index * 100, depth(11 + index, 11 + index, [])));

  it.each([
    [1, 1000],
    [4, 250],
  ])('at speed %s it takes as long as it should', async (speed, leastMs) => {
    write('a.jsonl', [http(-100_000, DEPTH_URL, snapshot(10, [['1', '1']], [])), ...lines]);
    const [source] = await open({ speed });
    const startedMs = performance.now();
    // A REST answer fetched long before the first frame is no part of the pace: it would keep the tape silent for 100 s.
    expect(await play(source!)).toHaveLength(11);
    expect(performance.now() - startedMs).toBeGreaterThanOrEqual(leastMs - 20);
  });

  it('stops at once in the middle of a pause', async () => {
    write('a.jsonl', [lines[0]!, recv(3_600_000, depth(12, 12, []))]);
    const [source] = await open({ speed: 1 });
    const events: TapeEvent[] = [];
    source!.start((event) => events.push(event));
    await new Promise((resolve) => setTimeout(resolve, 20));
    source!.stop();
    await source!.finished;
    expect(source!.failure).toBeUndefined();
  });
});

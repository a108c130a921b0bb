import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { createLog } from '../platform/log.ts';
import { CAPTURES_DIR, CAPTURES_PRESENT, sayWhatIsSkipped } from '../testing/captures.ts';
import { openCcxt, until, watchLoop } from '../testing/ccxt-venue.ts';
import type { CcxtBook } from '../testing/ccxt-venue.ts';
import { reconstruct } from '../testing/raw-book.ts';
import { openRecording, startSandbox } from './index.ts';
import type { RecordingSource, Sandbox, SandboxVenue } from './index.ts';

sayWhatIsSkipped('REST answers true to the replay position');

const LEVELS = 100;
const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

async function start(
  folder: string,
  speed: number,
  loop: boolean,
): Promise<{ source: RecordingSource; sandbox: Sandbox }> {
  const log = createLog({ level: 'silent' });
  const [source] = await openRecording(join(CAPTURES_DIR, folder), { speed, loop, log });
  const sandbox = await startSandbox({ sources: [source!], log });
  cleanups.push(() => sandbox.stop());
  return { source: source!, sandbox };
}

type Depth = { id: number; bids: string[][]; asks: string[][] };
const DEPTHS: readonly { folder: string; market: string; url: (market: string) => string; levels: number }[] = [
  {
    folder: 'binance/spot-2024-08-08',
    market: 'BTCUSDT',
    url: (market) => `/binance/api/v3/depth?limit=5000&symbol=${market}`,
    levels: LEVELS,
  },
  {
    folder: 'binance/usdm-2024-08-08',
    market: 'BTCUSDT',
    url: (market) => `/binanceusdm/fapi/v1/depth?limit=1000&symbol=${market}`,
    levels: LEVELS,
  },
  {
    folder: 'kucoin/spot-2021-04-25',
    market: 'BCHSV-USDT',
    url: (market) => `/kucoin/api/v1/market/orderbook/level2_100?symbol=${market}`,
    levels: LEVELS,
  },
];

describe.skipIf(!CAPTURES_PRESENT)('while a recording plays', () => {
  it.each(DEPTHS)(
    '$folder: REST depth is the book of the id it names, at every moment asked',
    async ({ folder, market, url, levels }) => {
      const { source, sandbox } = await start(folder, folder.startsWith('kucoin') ? 15 : 80, false);
      const answers: Depth[] = [];
      sandbox.play();
      let playing = true;
      void source.finished.then(() => {
        playing = false;
      });
      while (playing) {
        const body = (await fetch(sandbox.url + url(market)).then((response) => response.json())) as Record<
          string,
          unknown
        >;
        const book = (body['data'] ?? body) as {
          lastUpdateId?: number;
          sequence?: string;
          bids: string[][];
          asks: string[][];
        };
        answers.push({ id: Number(book.lastUpdateId ?? book.sequence), bids: book.bids, asks: book.asks });
        await new Promise((resolve) => setTimeout(resolve, 15));
      }
      const asked = new Map(answers.map((answer) => [answer.id, answer]));
      expect(asked.size).toBeGreaterThan(20);
      let compared = 0;
      for (const step of reconstruct(join(CAPTURES_DIR, folder))) {
        const answer = step.market === market ? asked.get(step.id) : undefined;
        if (answer === undefined) continue;
        const { bids, asks } = step.top(levels);
        expect([answer.bids.slice(0, levels), answer.asks.slice(0, levels)], `at ${step.id}`).toEqual([bids, asks]);
        compared += 1;
      }
      // The first answer may be of the snapshot itself, before any change.
      expect(compared).toBeGreaterThanOrEqual(asked.size - 1);
    },
  );
});

const LOOPS: readonly {
  folder: string;
  venue: SandboxVenue;
  market: string;
  symbol: string;
  levels: number;
  speed: number;
  depth?: number;
}[] = [
  {
    folder: 'binance/spot-2021-10-12',
    venue: 'binance',
    market: 'NKNUSDT',
    symbol: 'NKN/USDT',
    levels: 500,
    speed: 60,
  },
  {
    folder: 'binance/usdm-2021-07-22',
    venue: 'binanceusdm',
    market: 'SUSHIUSDT',
    symbol: 'SUSHI/USDT:USDT',
    levels: 500,
    speed: 60,
  },
  {
    folder: 'kraken/v2-transcoded-2021-04-05',
    venue: 'kraken',
    market: 'BTC/USD',
    symbol: 'BTC/USD',
    levels: 100,
    speed: 150,
    depth: 100,
  },
  {
    folder: 'coinbase/advanced-2026-08-09',
    venue: 'coinbase',
    market: 'ETH-USD',
    symbol: 'ETH/USD',
    levels: 5000,
    speed: 30,
  },
  { folder: 'kucoin/spot-2021-04-25', venue: 'kucoin', market: 'SNX-BTC', symbol: 'SNX/BTC', levels: 20, speed: 40 },
  { folder: 'okx/2022-05-13', venue: 'okx', market: 'BTC-USDT', symbol: 'BTC/USDT', levels: 400, speed: 10 },
];

describe.skipIf(!CAPTURES_PRESENT)('unmodified ccxt on a looping recording', () => {
  it.each(LOOPS)('$folder: sees no error over the wraps and then holds a book that was recorded', async (loop) => {
    const { source, sandbox } = await start(loop.folder, loop.speed, true);
    const exchange = await openCcxt(loop.venue, sandbox.url);
    cleanups.push(() => exchange.close());
    const numbers = (side: readonly (readonly (string | number)[])[]): number[][] =>
      side.slice(0, loop.levels).map(([price, size]) => [Number(price), Number(size)]);
    const text = (book: {
      bids: readonly (readonly (string | number)[])[];
      asks: readonly (readonly (string | number)[])[];
    }): string => JSON.stringify([numbers(book.bids), numbers(book.asks)]);
    let seen = 0;
    const watching = watchLoop(
      () => exchange.watchOrderBook(loop.symbol, loop.depth) as unknown as Promise<CcxtBook>,
      () => {
        seen += 1;
      },
    );
    await until(() => source.passes >= 3, 'three passes');
    const seenBefore = seen;
    await until(() => seen > seenBefore + 5, 'the fourth is under way');
    source.stop();
    await source.finished;
    const tapeSymbol = source.markets.find(
      ({ raw, symbol }) => symbol === loop.symbol || raw?.includes(`"${loop.market}"`),
    )!.symbol;
    const held = (): CcxtBook => exchange.orderbooks[loop.symbol] as unknown as CcxtBook;
    await until(() => text(held()) === text(source.book(tapeSymbol)!), 'ccxt has taken in everything');
    watching.stop();
    expect(watching.errors).toEqual([]);
    const recorded = new Set<string>();
    for (const step of reconstruct(join(CAPTURES_DIR, loop.folder))) {
      if (step.market === loop.market) recorded.add(text(step.top(loop.levels)));
    }
    expect(recorded.has(text(held())), 'a state that the recording went through').toBe(true);
  });
});

import { join } from 'node:path';
import type { Exchange, MarketInterface } from 'ccxt';
import { afterEach, describe, expect, it } from 'vitest';
import { createLog } from '../platform/log.ts';
import { CAPTURES_DIR, CAPTURES_PRESENT, sayWhatIsSkipped } from '../testing/captures.ts';
import { openCcxt, until, watchLoop } from '../testing/ccxt-venue.ts';
import type { CcxtBook } from '../testing/ccxt-venue.ts';
import { lastBooks, reconstruct } from '../testing/raw-book.ts';
import type { RawLevel } from '../testing/raw-book.ts';
import { openRecording, startSandbox } from './index.ts';
import type { RecordingSource, Sandbox } from './index.ts';

sayWhatIsSkipped('books of unmodified ccxt against recordings');

/** `levels`: how many must be right at the end; `depth`: what ccxt is asked to watch where it must be told. */
type Capture = Readonly<{ folder: string; speed: number; levels: number; depth?: number }>;
const KRAKEN = 'kraken/v2-transcoded-2021-04-05';
const CAPTURES: readonly Capture[] = [
  { folder: 'binance/spot-2024-08-08', speed: 60, levels: 1000 },
  { folder: 'binance/spot-2021-04-05', speed: 40, levels: 1000 },
  { folder: 'binance/spot-2021-10-12', speed: 20, levels: 1000 },
  { folder: 'binance/usdm-2024-08-08', speed: 60, levels: 100 },
  { folder: 'binance/usdm-2021-07-22', speed: 20, levels: 100 },
  { folder: KRAKEN, speed: 40, levels: 10 },
  { folder: KRAKEN, speed: 40, levels: 100, depth: 100 },
  { folder: KRAKEN, speed: 40, levels: 100, depth: 1000 },
  { folder: 'coinbase/advanced-2026-08-09', speed: 10, levels: 1000 },
  // REST answers 100 levels, so what moves in from further away is missing by the exchange's own design.
  { folder: 'kucoin/spot-2021-04-25', speed: 20, levels: 40 },
  { folder: 'okx/2022-05-13', speed: 10, levels: 400 },
];

type Seen = { nonce: number | undefined; top: string };
const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

describe.skipIf(!CAPTURES_PRESENT)('unmodified ccxt on recordings', () => {
  it.each(CAPTURES)('keeps the books of $folder right at every update it hands out (depth $depth)', async (capture) => {
    const { folder, speed, levels, depth } = capture;
    const path = join(CAPTURES_DIR, folder);
    const { exchange, source, sandbox } = await rig(path, speed);
    const symbols = bookSymbols(exchange, path);
    const seen = new Map(symbols.map(({ market }) => [market, [] as Seen[]]));
    const loops = symbols.map(({ market, symbol }) =>
      watchLoop(
        () => exchange.watchOrderBook(symbol, depth) as unknown as Promise<CcxtBook>,
        (book) => seen.get(market)!.push({ nonce: book.nonce, top: topOf(book, SEEN_LEVELS) }),
      ),
    );
    await until(() => sandbox.clients(source.venue) > 0, 'ccxt connects');
    await source.finished;
    const ends = lastBooks(path, levels);
    for (const { market, symbol } of symbols) {
      const end = ends.get(market)!;
      await until(
        () => sameTop(exchange.orderbooks[symbol] as unknown as CcxtBook, end, levels),
        `${symbol} ends right`,
      );
    }
    loops.forEach((loop) => loop.stop());
    expect(loops.flatMap((loop) => loop.errors)).toEqual([]);
    expectEveryBookToBeReal(path, seen);
  });
});

const SEEN_LEVELS = 10;

async function rig(
  path: string,
  speed: number,
): Promise<{ exchange: Exchange; source: RecordingSource; sandbox: Sandbox }> {
  const log = createLog({ level: 'silent' });
  const sources = await openRecording(path, { speed, loop: false, log });
  const sandbox = await startSandbox({ sources, log });
  cleanups.push(() => sandbox.stop());
  const source = sources[0]!;
  const exchange = await openCcxt(source.venue, sandbox.url);
  cleanups.push(() => exchange.close());
  return { exchange, source, sandbox };
}

/** Markets whose books ccxt can keep: KuCoin's needs more than five changes before it asks for a snapshot. */
function bookSymbols(exchange: Exchange, path: string): { market: string; symbol: string }[] {
  const counts = new Map<string, number>();
  for (const step of reconstruct(path)) counts.set(step.market, (counts.get(step.market) ?? 0) + 1);
  return Object.values(exchange.markets as Record<string, MarketInterface>).flatMap((entry) => {
    const market = exchange.id === 'kraken' ? entry.symbol : String(entry.id);
    return (counts.get(market) ?? 0) > 10 ? [{ market, symbol: entry.symbol }] : [];
  });
}

/** Each book that ccxt handed out is one that the recording went through, in the recording's order. */
function expectEveryBookToBeReal(path: string, seen: ReadonlyMap<string, Seen[]>): void {
  const next = new Map([...seen.keys()].map((market) => [market, 0]));
  for (const step of reconstruct(path)) {
    const list = seen.get(step.market);
    if (list === undefined) continue;
    let at = next.get(step.market)!;
    if (step.numbered && list[at]?.nonce !== step.id) continue;
    const { bids, asks } = step.top(SEEN_LEVELS);
    const top = JSON.stringify([numbers(bids), numbers(asks)]);
    while (at < list.length && list[at]!.top === top && (!step.numbered || list[at]!.nonce === step.id)) at += 1;
    next.set(step.market, at);
  }
  for (const [market, list] of seen) {
    expect(list.length, `${market}: books seen`).toBeGreaterThan(0);
    expect(next.get(market), `${market}: of ${list.length} books seen, those that were real in order`).toBe(
      list.length,
    );
  }
}

function topOf(book: CcxtBook, levels: number): string {
  return JSON.stringify([book.bids.slice(0, levels).map(pair), book.asks.slice(0, levels).map(pair)]);
}

function sameTop(book: CcxtBook | undefined, end: { bids: RawLevel[]; asks: RawLevel[] }, levels: number): boolean {
  if (book === undefined) return false;
  return topOf(book, levels) === JSON.stringify([numbers(end.bids), numbers(end.asks)]);
}

function numbers(levels: readonly RawLevel[]): number[][] {
  return levels.map(([price, size]) => [Number(price), Number(size)]);
}

function pair(level: readonly number[]): number[] {
  return [level[0]!, level[1]!];
}

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { DepthBook } from '../../sandbox/depth-book.ts';
import { krakenChecksum } from './kraken.ts';

const folder = process.env['CAPTURES_DIR'] ?? join(import.meta.dirname, '../../../../shared/captures');
const recording = join(folder, 'kraken/v2-transcoded-2021-04-05/session.jsonl.gz');
const pairs = join(folder, 'kraken/metadata/AssetPairs-2021-04-17.json.gz');
const present = existsSync(recording) && existsSync(pairs);
if (!present) console.warn(`skipped: no Kraken recording in ${folder}`);

type Entry = { symbol: string; checksum: number; bids: Level[]; asks: Level[] };
type Level = { price: number; qty: number };
type Frame = { channel: string; type: string; data: Entry[] };

describe.skipIf(!present)('Kraken checksum', () => {
  it('agrees with the exchange after every change of ten recorded books', () => {
    const unzip = (file: string): string => gunzipSync(readFileSync(file)).toString();
    const listed = Object.values(
      (JSON.parse(unzip(pairs)) as { result: Record<string, Record<string, unknown>> }).result,
    );
    const decimals = new Map(
      listed.map((pair) => [
        String(pair['wsname']).replace('XBT', 'BTC').replace('XDG', 'DOGE'),
        [Number(pair['pair_decimals']), Number(pair['lot_decimals'])] as const,
      ]),
    );
    const books = new Map<string, DepthBook>();
    let checked = 0;
    for (const line of unzip(recording).trim().split('\n')) {
      const { t, raw } = JSON.parse(line) as { t: string; raw: string };
      if (t !== 'recv' || !raw.includes('"channel":"book"')) continue;
      const { type, data } = JSON.parse(raw) as Frame;
      const { symbol, checksum, bids, asks } = data[0]!;
      const book = type === 'snapshot' ? new DepthBook() : books.get(symbol)!;
      books.set(symbol, book);
      const texts = (levels: Level[]) => levels.map(({ price, qty }) => [String(price), String(qty)] as const);
      book.apply({ lastId: 0, ts: 0, bids: texts(bids), asks: texts(asks) });
      book.cut(1000);
      expect(krakenChecksum(book, ...decimals.get(symbol)!)).toBe(checksum);
      checked += 1;
    }
    expect(checked).toBe(14_506);
  });
});

import { createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export type IngestRecording = Readonly<{ folder: string; symbols: readonly string[]; remove(): Promise<void> }>;

/** Its only file. */
export const RECORDING_NAME = 'depth.jsonl';
/** Of each market. */
export const UPDATES_PER_SECOND = 10;

const START_US = 1_700_000_000_000_000;
const UPDATE_US = 1_000_000 / UPDATES_PER_SECOND;
const BOOK_LEVELS = 400;
const MIDDLE_TICK = 1_000_000;
const FIRST_ID = 1_000;

/**
 * A recording of Binance's `depth@100ms` in which each message changes `levels` levels of each side: every 100 ms one of every
 * symbol, as the exchange sends them. Prices stay; sizes change from message to message.
 */
export async function makeIngestRecording(
  options: Readonly<{ symbols: number; levels: number; seconds: number }>,
): Promise<IngestRecording> {
  const folder = await mkdtemp(join(tmpdir(), 'tidewire-ingest-'));
  const names = Array.from({ length: options.symbols }, (_, index) => `Q${String(index).padStart(3, '0')}`);
  const file = createWriteStream(join(folder, RECORDING_NAME));
  const add = async (line: object): Promise<void> => {
    if (!file.write(`${JSON.stringify(line)}\n`)) await once(file, 'drain');
  };
  for (const name of names) await add({ t: 'http', ts_us: START_US, url: snapshotUrl(name), raw: snapshot() });
  const updates = (options.seconds * 1_000_000) / UPDATE_US;
  for (let update = 1; update <= updates; update++) {
    for (const [index, name] of names.entries()) {
      const tsUs = START_US + update * UPDATE_US + Math.floor((index * UPDATE_US) / names.length);
      await add({ t: 'recv', ts_us: tsUs, raw: depthUpdate(name, update, options.levels, Math.floor(tsUs / 1_000)) });
    }
  }
  file.end();
  await once(file, 'finish');
  return {
    folder,
    symbols: names.map((name) => `${name}/USDT`),
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}

function snapshotUrl(name: string): string {
  return `https://api.binance.com/api/v3/depth?symbol=${name}USDT&limit=1000`;
}

function snapshot(): string {
  const levels = (sign: 1 | -1): string[][] =>
    Array.from({ length: BOOK_LEVELS }, (_, rank) => [priceOf(sign, rank), '1.00000000']);
  return JSON.stringify({ lastUpdateId: FIRST_ID, bids: levels(-1), asks: levels(1) });
}

function depthUpdate(name: string, update: number, levels: number, ms: number): string {
  const side = (sign: 1 | -1): string[][] =>
    Array.from({ length: levels }, (_, rank) => {
      // Most changes are near the top, as on the exchange.
      const size = `${1 + ((update * 7 + rank * 13) % 97)}.${String((update * 31 + rank) % 100_000).padStart(5, '0')}000`;
      return [priceOf(sign, rank), size];
    });
  const id = FIRST_ID + update;
  const data = { e: 'depthUpdate', E: ms, s: `${name}USDT`, U: id, u: id, b: side(-1), a: side(1) };
  return JSON.stringify({ stream: `${name.toLowerCase()}usdt@depth@100ms`, data });
}

function priceOf(sign: 1 | -1, rank: number): string {
  const tick = MIDDLE_TICK + sign * (rank + 1);
  return `${(tick / 100).toFixed(2)}000000`;
}

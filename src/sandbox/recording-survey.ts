import { readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import type { Log } from '../platform/log.ts';
import type { Timeframe } from '../protocol/streams.ts';
import type { Decoded, DecodedSnapshot, Decoder } from './decoders/decoder.ts';
import { mergedLines } from './recording-files.ts';
import type { TapeLevel, TapeMarket } from './tape.ts';

/** What must be known before the first frame plays. */
export type Survey = Readonly<{
  markets: readonly TapeMarket[];
  /** The first whole book of each symbol, in-band or from a recorded REST answer. */
  snapshots: ReadonlyMap<string, DecodedSnapshot>;
  /** Timeframes that the recording carries itself, per symbol. */
  candles: ReadonlyMap<string, readonly Timeframe[]>;
  /** See `TapeSource`. */
  bookDepth: number | undefined;
  numbered: boolean;
  frames: number;
}>;

/**
 * Frames decoded in full when a folder is opened. Enough to meet every symbol and channel of a live recording (captures of
 * ten symbols show all of them within 3,000 frames); past it only REST answers and snapshots are looked at, which costs a
 * substring search per line.
 */
const SURVEY_LIMIT_FRAMES = 20_000;
const METADATA_LIMIT_BYTES = 64 * 1024 * 1024;

type Findings = {
  metadata: Map<string, TapeMarket>;
  snapshots: Map<string, DecodedSnapshot>;
  candles: Map<string, Set<Timeframe>>;
  decimals: Map<string, { price: number; size: number }>;
  frames: number;
  undecodable: number;
};

export async function surveyRecording(files: readonly string[], decoder: Decoder, log: Log): Promise<Survey> {
  const found: Findings = {
    metadata: new Map(),
    snapshots: new Map(),
    candles: new Map(),
    decimals: new Map(),
    frames: 0,
    undecodable: 0,
  };
  // Metadata from outside first: it teaches the decoder how ids split, and metadata inside the recording overrides it.
  for (const market of await siblingMetadata(files, decoder)) found.metadata.set(market.symbol, market);
  decoder.learn([...found.metadata.values()]);
  for await (const batch of mergedLines(files)) {
    for (const line of batch) {
      if (line.type === 'http') surveyHttp(found, decoder, line.url, line.raw);
      else if (line.type === 'recv') surveyFrame(found, decoder, line.raw, Math.floor(line.tsUs / 1000));
    }
  }
  if (found.undecodable > 0)
    log.warn({ event: 'recording_undecodable', frames: found.undecodable, venue: decoder.venue });
  return {
    markets: marketsOf(found, decoder, log),
    snapshots: found.snapshots,
    candles: new Map([...found.candles].map(([symbol, set]) => [symbol, [...set]])),
    bookDepth: found.snapshots.size === 0 ? undefined : decoder.bookDepth?.(found.snapshots.values()),
    numbered: [...found.snapshots.values()].some(({ lastId }) => lastId > 0),
    frames: found.frames,
  };
}

function surveyHttp(found: Findings, decoder: Decoder, url: string, raw: string): void {
  try {
    const fact = decoder.http(url, raw);
    if (fact === undefined) return;
    if (fact.kind === 'snapshot') rememberSnapshot(found, fact);
    else {
      for (const market of fact.markets) found.metadata.set(market.symbol, market);
      decoder.learn(fact.markets);
    }
  } catch (error) {
    // A recorder stores error pages and cut bodies too; they are counted and change nothing.
    if (!(error instanceof SyntaxError)) throw error;
    found.undecodable += 1;
  }
}

function surveyFrame(found: Findings, decoder: Decoder, raw: string, receivedMs: number): void {
  found.frames += 1;
  if (found.frames > SURVEY_LIMIT_FRAMES && !raw.includes('"snapshot"')) return;
  let items: readonly Decoded[];
  try {
    items = decoder.frame(raw, receivedMs);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    found.undecodable += 1;
    return;
  }
  for (const item of items) surveyItem(found, item);
}

function surveyItem(found: Findings, item: Decoded): void {
  const seen = found.decimals.get(item.symbol) ?? { price: 0, size: 0 };
  found.decimals.set(item.symbol, seen);
  const level = ([price, size]: TapeLevel): void => {
    seen.price = Math.max(seen.price, significantDecimals(price));
    seen.size = Math.max(seen.size, significantDecimals(size));
  };
  switch (item.kind) {
    case 'snapshot':
      rememberSnapshot(found, item);
      break;
    case 'book':
      item.bids.forEach(level);
      item.asks.forEach(level);
      break;
    case 'trade':
      level([item.price, item.size]);
      break;
    case 'top':
      level(item.bid);
      level(item.ask);
      break;
    case 'candle':
      found.candles.set(item.symbol, (found.candles.get(item.symbol) ?? new Set()).add(item.timeframe));
      break;
    case 'ticker':
      break;
  }
}

function rememberSnapshot(found: Findings, snapshot: DecodedSnapshot): void {
  if (!found.snapshots.has(snapshot.symbol)) found.snapshots.set(snapshot.symbol, snapshot);
}

/** Only markets that the tape has something about: listing 1,700 symbols of which two ever move would be a lie. */
function marketsOf(found: Findings, decoder: Decoder, log: Log): TapeMarket[] {
  const symbols = new Set([...found.decimals.keys(), ...found.snapshots.keys()]);
  const derived: string[] = [];
  const markets = [...symbols].map((symbol) => {
    const known = found.metadata.get(symbol);
    if (known !== undefined) return known;
    derived.push(symbol);
    return derivedMarket(symbol, found.decimals.get(symbol) ?? { price: 0, size: 0 });
  });
  if (derived.length > 0) {
    const message = 'no market metadata recorded: steps derived from the decimals seen, minimums unknown';
    log.warn({ event: 'recording_markets_derived', venue: decoder.venue, symbols: derived }, message);
  }
  const bookless = markets.filter((market) => !found.snapshots.has(market.symbol)).map((market) => market.symbol);
  if (bookless.length > 0) log.warn({ event: 'recording_without_snapshot', venue: decoder.venue, symbols: bookless });
  return markets;
}

function derivedMarket(symbol: string, decimals: { price: number; size: number }): TapeMarket {
  const [base = symbol, quote = ''] = symbol.split(/[/:]/);
  const lotSize = step(decimals.size);
  return { symbol, base, quote, tickSize: step(decimals.price), lotSize, minSize: lotSize, minNotional: '0' };
}

function step(decimals: number): string {
  return decimals === 0 ? '1' : `0.${'0'.repeat(decimals - 1)}1`;
}

/** Decimals without trailing zeros: "61837.63000000" has two. */
function significantDecimals(text: string): number {
  const point = text.indexOf('.');
  if (point === -1) return 0;
  let end = text.length;
  while (end > point + 1 && text.charCodeAt(end - 1) === 48) end -= 1;
  return end - point - 1;
}

/** Market lists in `<parent of the recording's folder>/metadata`: raw bodies, `.json` or `.json.gz`. */
async function siblingMetadata(files: readonly string[], decoder: Decoder): Promise<TapeMarket[]> {
  const folder = join(dirname(files[0]!), '..', 'metadata');
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return [];
    throw error;
  });
  const markets: TapeMarket[] = [];
  for (const name of names.filter((each) => /\.json(\.gz)?$/.test(each)).toSorted()) {
    const bytes = await readFile(join(folder, name));
    const plain = name.endsWith('.gz')
      ? await promisify(gunzip)(bytes, { maxOutputLength: METADATA_LIMIT_BYTES })
      : bytes;
    const fact = decoder.http(name, plain.toString('utf8'));
    if (fact?.kind === 'markets') markets.push(...fact.markets);
  }
  return markets;
}

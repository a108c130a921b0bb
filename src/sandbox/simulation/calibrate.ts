/**
 * Reads a folder of recordings and prints how its markets behave, as JSON: the numbers behind calibration.ts.
 *   node src/sandbox/simulation/calibrate.ts <folder> [symbol ...]
 */
import { createLog, type Log } from '../../platform/log.ts';
import { openRecording } from '../recording-folder.ts';
import type { RecordingSource } from '../recording.ts';
import { MarketMeasurement, type MarketFacts } from './measurement.ts';

/** Digits printed: more would claim a precision that minutes of recording do not have. */
const PRINTED_DIGITS = 4;

/** Plays every venue's recording in the folder once, as fast as possible. */
export async function measureRecordings(
  folder: string,
  log: Log,
  symbols: readonly string[] = [],
): Promise<Map<string, MarketFacts[]>> {
  const sources = await openRecording(folder, { speed: 0, loop: false, log });
  const facts = new Map<string, MarketFacts[]>();
  for (const source of sources) facts.set(source.venue, await measureRecording(source, symbols));
  return facts;
}

async function measureRecording(source: RecordingSource, symbols: readonly string[]): Promise<MarketFacts[]> {
  const wanted = source.markets.filter((market) => symbols.length === 0 || symbols.includes(market.symbol));
  const measurements = new Map(wanted.map((market) => [market.symbol, new MarketMeasurement(market)]));
  source.start((event) => measurements.get(event.symbol)?.take(event, source.book(event.symbol)));
  await source.finished;
  source.stop();
  return [...measurements.values()].map((measurement) => measurement.facts()).filter((facts) => facts.price > 0);
}

/** The command: exit code 0, 1 for a folder that cannot be read, 2 for wrong use. */
async function main(folder: string | undefined, symbols: readonly string[]): Promise<number> {
  if (folder === undefined) {
    process.stderr.write('usage: node src/sandbox/simulation/calibrate.ts <folder of recordings> [symbol ...]\n');
    return 2;
  }
  const log = createLog({ level: 'warn', destination: process.stderr });
  try {
    const facts = await measureRecordings(folder, log, symbols);
    const round = (_key: string, value: unknown) =>
      typeof value === 'number' ? Number(value.toPrecision(PRINTED_DIGITS)) : value;
    process.stdout.write(`${JSON.stringify(Object.fromEntries(facts), round, 2)}\n`);
    return 0;
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`);
    return 1;
  }
}

if (import.meta.main) {
  const [folder, ...symbols] = process.argv.slice(2);
  process.exitCode = await main(folder, symbols);
}

import type { FeedBook, Upstream } from '../modules/market/upstream.ts';
import type { SandboxVenue } from '../sandbox/tape.ts';
import type { FeedRig, RigOptions } from './feed-rig.ts';
import { startFeedRig, until } from './feed-rig.ts';
import { ScriptedTape } from './scripted-tape.ts';

export const STAGED_VENUES = ['binance', 'kraken', 'coinbase', 'kucoin'] as const;
const SYMBOLS: Readonly<Record<string, string>> = { kraken: 'BTC/USD', coinbase: 'BTC/USD' };

/** The bounds of real life, with pauses that a test can wait for. */
export const PROMPT_LIMITS = {
  quietConfirmMs: 200,
  redial: { baseMs: 20, factor: 2, maxMs: 200, jitter: 0.5 },
  resubscribe: { baseMs: 20, factor: 2, maxMs: 500, jitter: 0.3 },
};

export function symbolOf(venue: SandboxVenue): string {
  return SYMBOLS[venue] ?? 'BTC/USDT';
}

export type Stage = Readonly<{
  rig: FeedRig;
  tape: ScriptedTape;
  symbol: string;
  book: Upstream;
  trades: Upstream;
  ticker: Upstream;
}>;

let rig: FeedRig | undefined;
let chatter: NodeJS.Timeout | undefined;
let turn = 0;

/** A feed before scripted exchanges; one at a time, ended by `clearStage`. */
export async function raise(options: RigOptions): Promise<FeedRig> {
  rig = await startFeedRig({ ...options, limits: { ...PROMPT_LIMITS, ...options.limits } });
  return rig;
}

/** A venue of one market whose book is live and changes all the time. */
export async function stage(venue: SandboxVenue, options: Omit<RigOptions, 'sources'> = {}): Promise<Stage> {
  const symbol = symbolOf(venue);
  const tape = new ScriptedTape(venue, [symbol]);
  const made = await raise({ ...options, sources: [tape] });
  const of = <C extends 'book' | 'trades' | 'ticker'>(channel: C) => ({ channel, venue, symbol });
  const book = of('book');
  made.want(book);
  keepTalking([tape]);
  await until(() => made.state(book)?.status === 'live', `${venue}'s book is live`);
  return { rig: made, tape, symbol, book, trades: of('trades'), ticker: of('ticker') };
}

export async function clearStage(): Promise<void> {
  clearInterval(chatter);
  await rig?.stop();
  rig = undefined;
}

/** One level whose size changes, as a market does all the time. */
export function change(tape: ScriptedTape): void {
  turn += 1;
  const symbol = symbolOf(tape.venue);
  const size = (1 + (turn % 1000) / 1000).toFixed(8);
  // Among the ten best, which are all that Kraken's checksum covers.
  const distance = (turn % 9) / 10;
  if (turn % 2 === 0) tape.changeBook(symbol, [[(99.9 - distance).toFixed(1), size]], []);
  else tape.changeBook(symbol, [], [[(100.1 + distance).toFixed(1), size]]);
}

export function keepTalking(tapes: readonly ScriptedTape[], everyMs = 20): void {
  clearInterval(chatter);
  chatter = setInterval(() => tapes.forEach(change), everyMs);
}

export function fallSilent(): void {
  clearInterval(chatter);
}

export function lastBook({ rig: { of }, book }: Stage): FeedBook {
  return of(book, 'book').at(-1)!.book;
}

import { SANDBOX_VENUES } from './tape.ts';

/**
 * The fault script (`SANDBOX_FAULTS`, `faults.set`): rules separated by `;` or line ends. One rule:
 *
 *   <fault> <venue>[/<channel>[/<symbol>]] [<probability>%] [at=<time>] [for=<time>] [every=<time>] [<option>=<value> ...]
 *
 * - venue, channel and symbol may be `*`; channels: book, trades, top, ticker, candles, heartbeat. REST faults take only a venue.
 * - probability is per frame (or per request) and 100% when left out.
 * - at, for, every: a window, counted from when the script was set: from `at` (0) for `for` (no end), again after each `every`.
 * - times: 250ms, 5s, 2m.
 * - `seed=<number>` alone in a rule's place sets the seed: the same seed decides the same for the same frames.
 *
 *   | fault          | options (default)                | what a client sees                                                     |
 *   | gap            | count=1                          | that many frames of the stream missing                                 |
 *   | duplicate      |                                  | the frame twice                                                        |
 *   | reorder        |                                  | the frame after the next one of its stream                             |
 *   | garbage        | kind=any mode=extra              | a broken copy after the frame (mode=replace: instead of it); kinds:    |
 *   |                |                                  | truncated binary types nan infinity negative symbol huge               |
 *   | silence        | ms=5000                          | an open connection on which the stream says nothing                    |
 *   | disconnect     | code=1006                        | connection lost: 1006 cuts it, other codes close it                    |
 *   | crossed        |                                  | a bid above the best ask that the exchange never takes back            |
 *   | wrong-checksum |                                  | a book frame with a wrong checksum (Kraken, OKX)                       |
 *   | clock-skew     | ms=60000                         | the exchange's clock and time stamps off by that much                  |
 *   | http429        | retry=1                          | REST: too many requests, Retry-After in seconds                        |
 *   | slow-snapshot  | ms=2000                          | the book's snapshot comes late                                         |
 *   | fail-snapshot  | status=500                       | no snapshot: an error instead                                          |
 *   | stale-snapshot | ms=2000                          | REST: the book as it was that long ago                                 |
 *
 * Example: `seed=7; gap binance/book 1%; silence kraken/book/BTC/USD at=10s for=20s; disconnect * at=30s every=1m`
 */
export const FAULTS = [
  'gap',
  'duplicate',
  'reorder',
  'garbage',
  'silence',
  'disconnect',
  'crossed',
  'wrong-checksum',
  'clock-skew',
  'http429',
  'slow-snapshot',
  'fail-snapshot',
  'stale-snapshot',
] as const;
export type FaultName = (typeof FAULTS)[number];
export const FAULT_CHANNELS = ['book', 'trades', 'top', 'ticker', 'candles', 'heartbeat'] as const;
export type FaultChannel = (typeof FAULT_CHANNELS)[number];
export const GARBAGE_KINDS = ['truncated', 'binary', 'types', 'nan', 'infinity', 'negative', 'symbol', 'huge'] as const;
export type GarbageKind = (typeof GARBAGE_KINDS)[number];

export type FaultRule = Readonly<{
  fault: FaultName;
  /** `*` matches everything. */
  venue: string;
  channel: string;
  symbol: string;
  /** 0 to 1. */
  probability: number;
  atMs: number;
  forMs: number;
  everyMs: number;
  options: Readonly<Record<string, string>>;
}>;
export type FaultScript = Readonly<{ seed?: number; rules: readonly FaultRule[] }>;

const SCRIPT_LIMIT_RULES = 64;
const OPTIONS: Readonly<Record<FaultName, readonly string[]>> = {
  gap: ['count'],
  duplicate: [],
  reorder: [],
  garbage: ['kind', 'mode'],
  silence: ['ms'],
  disconnect: ['code'],
  crossed: [],
  'wrong-checksum': [],
  'clock-skew': ['ms'],
  http429: ['retry'],
  'slow-snapshot': ['ms'],
  'fail-snapshot': ['status'],
  'stale-snapshot': ['ms'],
};
const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000 };

/** Throws with the rule and the reason. */
export function parseFaultScript(script: string): FaultScript {
  const texts = script
    .split(/[;\n]/)
    .map((text) => text.trim())
    .filter((text) => text !== '' && !text.startsWith('#'));
  if (texts.length > SCRIPT_LIMIT_RULES) throw new Error(`fault script: more than ${SCRIPT_LIMIT_RULES} rules`);
  let seed: number | undefined;
  const rules: FaultRule[] = [];
  for (const text of texts) {
    const seedText = /^seed=(\d+)$/.exec(text)?.[1];
    if (seedText === undefined) rules.push(parseRule(text));
    else seed = Number(seedText);
  }
  return seed === undefined ? { rules } : { seed, rules };
}

function parseRule(text: string): FaultRule {
  const fail = (reason: string): never => {
    throw new Error(`fault rule "${text}": ${reason}`);
  };
  const [name = '', target = '*', ...words] = text.split(/\s+/);
  const fault = FAULTS.find((each) => each === name) ?? fail(`unknown fault; one of ${FAULTS.join(', ')}`);
  const [venue = '*', channel = '*', ...symbol] = target.split('/');
  const venues: readonly string[] = ['*', ...SANDBOX_VENUES];
  if (!venues.includes(venue)) fail(`unknown venue ${venue}`);
  const channels: readonly string[] = ['*', ...FAULT_CHANNELS];
  if (!channels.includes(channel)) fail(`unknown channel ${channel}; one of ${FAULT_CHANNELS.join(', ')}`);
  const rule = { fault, venue, channel, symbol: symbol.join('/') || '*', probability: 1 };
  const times = { atMs: 0, forMs: Number.POSITIVE_INFINITY, everyMs: Number.POSITIVE_INFINITY };
  const options: Record<string, string> = {};
  for (const word of words) {
    const percent = /^(\d+(?:\.\d+)?)%$/.exec(word)?.[1];
    const [key = '', value = ''] = word.split('=');
    if (percent !== undefined) rule.probability = Math.min(1, Number(percent) / 100);
    else if (key === 'at' || key === 'for' || key === 'every')
      times[`${key}Ms`] = parseTime(value) ?? fail(`bad time ${word}`);
    else if (OPTIONS[fault].includes(key) && value !== '') options[key] = value;
    else fail(`unknown word ${word}`);
  }
  checkOptions(options, fail);
  return { ...rule, ...times, options };
}

function checkOptions(options: Readonly<Record<string, string>>, fail: (reason: string) => never): void {
  const { kind = 'any', mode = 'extra', ...numbers } = options;
  const kinds: readonly string[] = ['any', ...GARBAGE_KINDS];
  if (!kinds.includes(kind)) fail(`unknown kind ${kind}; one of ${kinds.join(', ')}`);
  if (mode !== 'extra' && mode !== 'replace') fail(`mode is extra or replace, not ${mode}`);
  for (const [key, value] of Object.entries(numbers))
    if (!/^-?\d{1,9}$/.test(value)) fail(`${key} must be a whole number`);
}

function parseTime(text: string): number | undefined {
  const match = /^(\d{1,9})(ms|s|m)$/.exec(text);
  return match === null ? undefined : Number(match[1]) * UNIT_MS[match[2]!]!;
}

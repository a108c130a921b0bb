/**
 * Stream names: `channel:venue:symbol[:options]`. The name is the identity: the same text that a client subscribes with
 * comes back in every push. Two spellings of one tier (`book:x:Y` and `book:x:Y:25:100ms`) are two streams with equal content.
 */
export const BOOK_DEPTHS = [10, 25, 100] as const;
export const BOOK_RATES_MS = { '100ms': 100, '250ms': 250, '1s': 1000 } as const;
export const TIMEFRAMES_MS = {
  '1m': 60_000,
  '5m': 300_000,
  '15m': 900_000,
  '1h': 3_600_000,
  '4h': 14_400_000,
  '1d': 86_400_000,
} as const;
export const DEFAULT_BOOK_DEPTH = 25;
export const DEFAULT_BOOK_RATE = '100ms';
export const DEFAULT_TIMEFRAME = '1m';
export const STREAM_NAME_LIMIT_CHARS = 255;
export const PUBLIC_CHANNELS = ['ticker', 'book', 'trades', 'candles', 'venue'] as const;

export type BookDepth = (typeof BOOK_DEPTHS)[number];
export type BookRate = keyof typeof BOOK_RATES_MS;
export type Timeframe = keyof typeof TIMEFRAMES_MS;
export type PublicChannel = (typeof PUBLIC_CHANNELS)[number];

export type StreamSpec = Readonly<
  | { channel: 'ticker' | 'trades'; name: string; venue: string; symbol: string }
  | { channel: 'book'; name: string; venue: string; symbol: string; depth: BookDepth; rate: BookRate }
  | { channel: 'candles'; name: string; venue: string; symbol: string; timeframe: Timeframe }
  | { channel: 'venue'; name: string; venue: string }
>;

export type StreamNameProblem = 'unknown_stream' | 'unsupported_option';
export type ParsedStreamName = { ok: true; spec: StreamSpec } | { ok: false; code: StreamNameProblem; message: string };

/** Parses a name without asking whether the venue or the symbol exists. Symbols may hold colons (`BTC/USDT:USDT`) and any letters. */
export function parseStreamName(name: string): ParsedStreamName {
  if (name.length === 0 || name.length > STREAM_NAME_LIMIT_CHARS) return unknown(name);
  const parts = name.split(':');
  const [channel, venue] = parts;
  const rest = parts.slice(2);
  if (!venue || !/^[a-z0-9_]{2,32}$/.test(venue)) return unknown(name);
  switch (channel) {
    case 'venue':
      return rest.length === 0 ? { ok: true, spec: { channel, name, venue } } : unknown(name);
    case 'ticker':
    case 'trades': {
      const symbol = rest.join(':');
      return isSymbol(symbol) ? { ok: true, spec: { channel, name, venue, symbol } } : unknown(name);
    }
    case 'book':
      return parseBook(name, venue, rest);
    case 'candles':
      return parseCandles(name, venue, rest);
    default:
      return unknown(name);
  }
}

function parseBook(name: string, venue: string, rest: string[]): ParsedStreamName {
  let rate: string = DEFAULT_BOOK_RATE;
  let depth = String(DEFAULT_BOOK_DEPTH);
  if (rest.length > 1 && /^[0-9]+m?s$/.test(rest.at(-1)!)) rate = rest.pop()!;
  if (rest.length > 1 && /^[0-9]+$/.test(rest.at(-1)!)) depth = rest.pop()!;
  const symbol = rest.join(':');
  if (!isSymbol(symbol)) return unknown(name);
  if (!Object.hasOwn(BOOK_RATES_MS, rate)) {
    return unsupported(`book rate must be one of ${Object.keys(BOOK_RATES_MS).join(', ')}`);
  }
  const known = BOOK_DEPTHS.find((each) => String(each) === depth);
  if (known === undefined) return unsupported(`book depth must be one of ${BOOK_DEPTHS.join(', ')}`);
  return { ok: true, spec: { channel: 'book', name, venue, symbol, depth: known, rate: rate as BookRate } };
}

function parseCandles(name: string, venue: string, rest: string[]): ParsedStreamName {
  let timeframe: string = DEFAULT_TIMEFRAME;
  if (rest.length > 1 && /^[0-9]+[smhdwM]$/.test(rest.at(-1)!)) timeframe = rest.pop()!;
  const symbol = rest.join(':');
  if (!isSymbol(symbol)) return unknown(name);
  if (!Object.hasOwn(TIMEFRAMES_MS, timeframe)) {
    return unsupported(`timeframe must be one of ${Object.keys(TIMEFRAMES_MS).join(', ')}`);
  }
  return { ok: true, spec: { channel: 'candles', name, venue, symbol, timeframe: timeframe as Timeframe } };
}

/** Symbols come from exchanges and may be non-ASCII (Binance lists full-width digits); control characters and blanks never. */
function isSymbol(symbol: string): boolean {
  return /^[^\s\p{C}:][^\s\p{C}]*$/u.test(symbol) && !symbol.endsWith(':');
}

function unknown(name: string): ParsedStreamName {
  return { ok: false, code: 'unknown_stream', message: `not a stream name: ${JSON.stringify(name.slice(0, 64))}` };
}

function unsupported(message: string): ParsedStreamName {
  return { ok: false, code: 'unsupported_option', message };
}

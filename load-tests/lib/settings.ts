/** What every scenario and benchmark can be told through the environment. Durations in the environment are seconds. */
export type LoadSettings = Readonly<{
  baseUrl: string;
  /** `ws`, `socketio` or `both`. */
  door: string;
  users: number;
  streams: readonly string[];
  durationMs: number;
}>;

const DEFAULT_STREAMS =
  'book:binance:BTC/USDT:25:100ms,ticker:binance:BTC/USDT,trades:binance:BTC/USDT,candles:binance:BTC/USDT:1m';

export function readSettings(
  env: Readonly<Record<string, string | undefined>>,
  defaults: Readonly<{ users: number; seconds: number }>,
): LoadSettings {
  return {
    baseUrl: (env.BASE_URL || 'http://127.0.0.1:3000').replace(/\/$/, ''),
    door: env.DOOR || 'both',
    users: readNumber('VUS', env.VUS, defaults.users),
    streams: (env.STREAMS || DEFAULT_STREAMS).split(',').filter((stream) => stream !== ''),
    durationMs: readNumber('DURATION', env.DURATION, defaults.seconds) * 1_000,
  };
}

/** Seconds may be written `20` or `20s`, as k6 users do. */
export function readNumber(name: string, text: string | undefined, fallback: number): number {
  if (text === undefined || text === '') return fallback;
  if (!/^[0-9]+(\.[0-9]+)?s?$/.test(text)) throw new Error(`${name} must be a number, not ${text}`);
  return Number(text.replace('s', ''));
}

export function socketUrl(baseUrl: string, path: string): string {
  return baseUrl.replace(/^http/, 'ws') + path;
}

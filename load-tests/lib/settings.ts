/** What every scenario and benchmark can be told through the environment. Durations in the environment are seconds. */
export type LoadSettings = Readonly<{
  baseUrl: string;
  /** `ws`, `socketio` or `both`. */
  door: string;
  users: number;
  streams: readonly string[];
  durationMs: number;
}>;

/** How the users of a fan-out come and go. `ramp`: one after the other nearly to the end. `spike`: most of them in one second, and away again. */
export const FANOUT_SHAPES = ['steady', 'ramp', 'spike', 'soak'] as const;
/** When the connections of a reconnect run are cut. `storm`: all in the same moment. */
export const RECONNECT_SHAPES = ['scattered', 'storm'] as const;

export function readShape<S extends string>(text: string | undefined, shapes: readonly [S, ...S[]]): S {
  const shape = shapes.find((each) => each === text);
  if (text !== undefined && text !== '' && shape === undefined) {
    throw new Error(`SHAPE must be one of ${shapes.join(', ')}, not ${text}`);
  }
  return shape ?? shapes[0];
}

/** Seconds that a run takes unless DURATION says otherwise. */
export function secondsOf(shape: (typeof FANOUT_SHAPES)[number]): number {
  return shape === 'soak' ? 600 : 20;
}

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

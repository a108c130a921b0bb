import type { z } from 'zod';
import {
  Host,
  PlainText,
  SecretText,
  Switch,
  address,
  choice,
  decimal,
  integer,
  list,
  originProblem,
  proxyProblem,
  quoted,
} from './values.ts';

export const APP_MODES = ['development', 'staging', 'production'] as const;
export const MARKET_DATA_SOURCES = ['live', 'recording', 'simulation'] as const;
export const ROLE_NAMES = ['feed', 'gateway', 'worker'] as const;
export const NATIVE_WRITER_MODES = ['auto', 'off'] as const;
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type AppMode = (typeof APP_MODES)[number];
export type MarketDataSource = (typeof MARKET_DATA_SOURCES)[number];
export type RoleName = (typeof ROLE_NAMES)[number];

export type Variable<T> = Readonly<{
  value: z.ZodType<T, string>;
  /** As it would stand in the environment; null: no value of its own. */
  fallback: string | null;
  /** Its value is never printed. */
  secret: boolean;
}>;

function variable<T>(value: z.ZodType<T, string>, fallback: string | null = null): Variable<T> {
  return { value, fallback, secret: false };
}

function secret<T>(value: z.ZodType<T, string>): Variable<T> {
  return { value, fallback: null, secret: true };
}

const PORT_LIMITS = { min: 0, max: 65_535 };
const SEED_LIMITS = { min: 0, max: 0xffff_ffff };
const SPEED_LIMITS = { min: 0, max: 1_000 };

function roleProblem(text: string): string | null {
  const known = ['all', ...ROLE_NAMES];
  return known.includes(text) ? null : `${quoted(text)} is not one of ${known.join(', ')}`;
}

/** `null` for an asset and an amount, such as `USDT:100000`. */
function fundsProblem(text: string): string | null {
  const known = /^[A-Z0-9][A-Z0-9._-]{0,31}:(?!0+$)(?:0|[1-9][0-9]{0,11})$/.test(text);
  return known ? null : `${quoted(text)} is not an asset and a whole amount, such as USDT:100000`;
}

function secretProblem(text: string): string | null {
  return SecretText.safeParse(text).success ? null : 'holds something too short or too plain to have been a secret';
}

function venueProblem(text: string): string | null {
  return /^[a-z0-9_]{2,32}$/.test(text) ? null : `${quoted(text)} is not the id of an exchange, such as binance`;
}

/** Every variable that the process reads. `.env.example` explains each; a test holds the two together. */
export const VARIABLES = {
  APP_MODE: variable(choice(APP_MODES), 'development'),
  ROLES: variable(list<'all' | RoleName>(roleProblem), 'all'),
  WORKERS: variable(integer({ min: 1, max: 64 }), '1'),
  HOST: variable(Host, '127.0.0.1'),
  PORT: variable(integer(PORT_LIMITS), '3000'),
  OPS_PORT: variable(integer(PORT_LIMITS), '9464'),
  CORS_ORIGINS: variable(list<string>(originProblem)),
  TRUST_PROXY: variable(list<string>(proxyProblem)),
  RATE_LIMIT_PER_MINUTE: variable(integer({ min: 1, max: 1_000_000 }), '100'),
  RATE_LIMIT_TRADING_PER_MINUTE: variable(integer({ min: 1, max: 10_000_000 }), '30'),
  RATE_LIMIT_AUTH_PER_MINUTE: variable(integer({ min: 1, max: 1_000_000 }), '10'),
  CONNECTIONS_PER_IP: variable(integer({ min: 1, max: 1_000_000 }), '1000'),
  NATIVE_WRITER: variable(choice(NATIVE_WRITER_MODES), 'auto'),
  SHUTDOWN_TIMEOUT_MS: variable(integer({ min: 100, max: 600_000 }), '15000'),
  LOG_LEVEL: variable(choice(LOG_LEVELS), 'info'),
  DATABASE_URL: secret(address(['postgres:', 'postgresql:'])),
  REDIS_URL: secret(address(['redis:', 'rediss:'])),
  DATABASE_POOL_SIZE: variable(integer({ min: 2, max: 200 }), '10'),
  DATA_DIR: variable(PlainText, './data'),
  TOKEN_SECRET: secret(SecretText),
  RETIRED_TOKEN_SECRETS: secret(list<string>(secretProblem)),
  REGISTRATIONS_PER_IP: variable(integer({ min: 1, max: 1_000_000 }), '30'),
  PAPER_FUNDS: variable(list<string>(fundsProblem), 'USDT:100000,USD:100000'),
  MARKET_DATA: variable(choice(MARKET_DATA_SOURCES)),
  VENUES: variable(list<string>(venueProblem)),
  REPLAY_DIR: variable(PlainText),
  REPLAY_SPEED: variable(decimal(SPEED_LIMITS), '1'),
  REPLAY_LOOP: variable(Switch, 'true'),
  SANDBOX_SEED: variable(integer(SEED_LIMITS), '1'),
  SANDBOX_FAULTS: variable(PlainText),
} as const satisfies Record<string, Variable<unknown>>;

export type VariableName = keyof typeof VARIABLES;
export const VARIABLE_NAMES = Object.keys(VARIABLES) as VariableName[];
export type Values = {
  readonly [N in VariableName]: (typeof VARIABLES)[N] extends Variable<infer T> ? T | undefined : never;
};

/** What `VENUES` stands for when it is not set and no recording says which venues there are. */
export const DEFAULT_VENUES: readonly string[] = ['binance', 'kraken', 'coinbase', 'kucoin'];

export type PaperFund = Readonly<{ code: string; amount: string }>;

/** The whole configuration, frozen. Names follow the variables. */
export type Config = Readonly<{
  appMode: AppMode;
  /** Started with `--demo`: a human is watching. */
  demo: boolean;
  roles: readonly RoleName[];
  /** Gateway processes that share `port`; 1: everything in this process. */
  workers: number;
  /** Started with `--share-port`: other processes of this machine listen on `port` as well. */
  sharePort: boolean;
  host: string;
  port: number;
  opsPort: number;
  corsOrigins: readonly string[];
  /** Addresses and networks whose `X-Forwarded-For` is believed. */
  trustProxy: readonly string[];
  rateLimitPerMinute: number;
  rateLimitTradingPerMinute: number;
  rateLimitAuthPerMinute: number;
  connectionsPerIp: number;
  /** False: frames reach sockets through their streams only. */
  nativeWriter: boolean;
  shutdownTimeoutMs: number;
  logLevel: (typeof LOG_LEVELS)[number];
  databaseUrl: string | null;
  databasePoolSize: number;
  redisUrl: string | null;
  dataDir: string;
  /** Null outside production: one is made and kept in `dataDir`. */
  tokenSecret: string | null;
  /** Earlier ones: what was signed or sealed with them stays good. */
  retiredTokenSecrets: readonly string[];
  /** In an hour. */
  registrationsPerIp: number;
  /** What every new user gets on paper: the asset's code and a decimal amount. */
  paperFunds: readonly PaperFund[];
  marketData: MarketDataSource;
  /** Null: whatever the recording holds. */
  venues: readonly string[] | null;
  replayDir: string | null;
  /** 1 is the recorded pace, 0 as fast as possible. */
  replaySpeed: number;
  replayLoop: boolean;
  sandboxSeed: number;
  sandboxFaults: string | null;
}>;

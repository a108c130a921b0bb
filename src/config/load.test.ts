import { describe, expect, it } from 'vitest';
import { describeProblems, loadConfig } from './load.ts';
import type { Loaded, Surroundings } from './load.ts';
import { VARIABLES, VARIABLE_NAMES } from './schema.ts';

const SECRET = 'hunter2-do-not-print';

function load(env: Record<string, string>, words: string[] = [], changes: Partial<Surroundings> = {}): Loaded {
  return loadConfig({ env, words, isFolder: (path) => path === '/recorded', inspectable: false, ...changes });
}

function problemsOf(loaded: Loaded): string[] {
  return loaded.ok ? [] : loaded.problems.map((problem) => problem.variable);
}

function configOf(env: Record<string, string>, words: string[] = []) {
  const loaded = load(env, words);
  if (!loaded.ok) throw new Error(describeProblems(loaded.problems));
  return loaded.config;
}

const PRODUCTION = {
  APP_MODE: 'production',
  DATABASE_URL: 'postgres://u:p@db/tidewire',
  TOKEN_SECRET: 'kq3vN8fJx0Zt7Rb2Lw9Yc5Hs1Dg6Mp4A',
};

const INVALID: [variable: string, value: string][] = [
  ['PORT', '-1'],
  ['PORT', '65536'],
  ['PORT', '80x'],
  ['PORT', '0x50'],
  ['PORT', '3e3'],
  ['PORT', '+80'],
  ['PORT', '080'],
  ['PORT', ' 3000'],
  ['PORT', '3000\r'],
  ['PORT', '"3000"'],
  ['PORT', '３０００'],
  ['PORT', '   '],
  ['OPS_PORT', 'metrics'],
  ['OPS_PORT', '3000'],
  ['HOST', 'http://localhost'],
  ['HOST', 'localhost:3000'],
  ['APP_MODE', 'prod'],
  ['APP_MODE', 'Production'],
  ['ROLES', 'gateway,workers'],
  ['ROLES', 'gateway,gateway'],
  ['ROLES', 'all,feed'],
  ['ROLES', 'feed,'],
  ['ROLES', 'feed'],
  ['WORKERS', 'all'],
  ['WORKERS', '0'],
  ['WORKERS', '65'],
  ['WORKERS', '2'],
  ['CORS_ORIGINS', '*'],
  ['CORS_ORIGINS', 'null'],
  ['CORS_ORIGINS', 'app.example.com'],
  ['CORS_ORIGINS', 'https://app.example.com/'],
  ['CORS_ORIGINS', 'https://app.example.com, https://b.example.com'],
  ['TRUST_PROXY', 'true'],
  ['TRUST_PROXY', '1'],
  ['TRUST_PROXY', 'loopback'],
  ['TRUST_PROXY', '10.0.0.0/33'],
  ['TRUST_PROXY', '0.0.0.0/0'],
  ['TRUST_PROXY', '10.0.0.1/8/9'],
  ['RATE_LIMIT_PER_MINUTE', '0'],
  ['RATE_LIMIT_PER_MINUTE', '10s'],
  ['CONNECTIONS_PER_IP', '1e3'],
  ['RATE_LIMIT_TRADING_PER_MINUTE', '0'],
  ['RATE_LIMIT_AUTH_PER_MINUTE', '-1'],
  ['DATABASE_POOL_SIZE', '1'],
  ['TOKEN_SECRET', `${SECRET}`],
  ['TOKEN_SECRET', `${SECRET}${'a'.repeat(40)}-password`],
  ['TOKEN_SECRET', 'abab'.repeat(20)],
  ['RETIRED_TOKEN_SECRETS', SECRET],
  ['REGISTRATIONS_PER_IP', '0'],
  ['PAPER_FUNDS', 'USDT'],
  ['PAPER_FUNDS', 'USDT:0'],
  ['PAPER_FUNDS', 'USDT:1e5'],
  ['PAPER_FUNDS', 'usdt:100'],
  ['SHUTDOWN_TIMEOUT_MS', '10s'],
  ['NATIVE_WRITER', 'on'],
  ['LOG_LEVEL', 'verbose'],
  ['DATABASE_URL', `socket:${SECRET}`],
  ['DATABASE_URL', `postgres://user:${SECRET}/@host:5432/db`],
  ['DATABASE_URL', `postgres://user:${SECRET}%zz@host/db`],
  ['REDIS_URL', `${SECRET}:6379`],
  ['REDIS_URL', `http://${SECRET}`],
  ['MARKET_DATA', 'mock'],
  ['MARKET_DATA', 'simulation,live'],
  ['VENUES', 'Binance'],
  ['VENUES', 'binance,,kraken'],
  ['VENUES', 'binance kraken'],
  ['REPLAY_DIR', '/nowhere'],
  ['REPLAY_SPEED', '-1'],
  ['REPLAY_SPEED', 'fast'],
  ['REPLAY_SPEED', '1e309'],
  ['REPLAY_LOOP', 'False'],
  ['REPLAY_LOOP', '1'],
  ['REPLAY_LOOP', 'yes'],
  ['SANDBOX_SEED', '-7'],
  ['SANDBOX_SEED', '4294967296'],
  ['SANDBOX_FAULTS', 'gap\u0000'],
  ['DATA_DIR', 'x'.repeat(1_000_000)],
];

describe('a wrong variable', () => {
  it.each(INVALID)('%s=%j stops the start and is named, and nothing else is blamed', (variable, value) => {
    expect(problemsOf(load({ [variable]: value }))).toEqual([variable]);
  });

  it('is reported together with all others, not one at a time', () => {
    const loaded = load({ PORT: 'x', LOG_LEVEL: 'x', REPLAY_LOOP: 'x', LOG_LEVL: 'info' }, ['--dmeo']);
    expect(problemsOf(loaded)).toEqual(['--dmeo', 'PORT', 'LOG_LEVEL', 'REPLAY_LOOP', 'LOG_LEVL']);
  });

  it.each(INVALID.filter(([name]) => VARIABLES[name as 'PORT'].secret))(
    '%s never has its value printed',
    (variable, value) => {
      const loaded = load({ [variable]: value });
      expect(loaded.ok ? '' : describeProblems(loaded.problems)).not.toContain(SECRET);
    },
  );
});

describe('names that are almost ours', () => {
  it.each([
    ['PROT', 'PORT'],
    ['VENUE', 'VENUES'],
    ['REDIS_URI', 'REDIS_URL'],
    ['log_level', 'LOG_LEVEL'],
    ['DATADIR', 'DATA_DIR'],
    ['SANDBOX_FAULT', 'SANDBOX_FAULTS'],
    ['TIDEWIRE_PORT', 'PORT'],
    ['TIDEWIRE_WHATEVER', 'HOST'],
  ])('%s is refused, so that the default does not silently stay', (name, nearest) => {
    const loaded = load({ [name]: SECRET });
    expect(problemsOf(loaded)).toEqual([name]);
    if (!loaded.ok && name !== 'TIDEWIRE_WHATEVER') expect(loaded.problems[0]!.message).toContain(`mean ${nearest}?`);
    if (!loaded.ok) expect(describeProblems(loaded.problems)).not.toContain(SECRET);
  });

  it('of other programs are left alone', () => {
    const others = ['HOME', 'PATH', 'PWD', 'TERM', 'SHELL', 'USER', 'LANG', 'NODE_ENV', 'PGPORT', 'PGHOST', 'HOSTNAME'];
    const env = Object.fromEntries(
      [...others, 'npm_package_name', 'REDIS_TLS_URL', 'DB_HOST'].map((name) => [name, 'x']),
    );
    expect(problemsOf(load(env))).toEqual([]);
  });

  it('that Kubernetes adds beside a service called tidewire do not stop a pod', () => {
    const links = {
      TIDEWIRE_SERVICE_HOST: '10.0.0.1',
      TIDEWIRE_PORT: 'tcp://10.0.0.1:80',
      TIDEWIRE_PORT_80_TCP_ADDR: 'x',
    };
    expect(problemsOf(load({ ...links, KUBERNETES_SERVICE_HOST: '10.0.0.2' }))).toEqual([]);
    expect(problemsOf(load(links))).toHaveLength(3);
  });
});

describe('production', () => {
  it.each<[string, Record<string, string>, string[]]>([
    ['MARKET_DATA', { MARKET_DATA: 'simulation' }, []],
    ['MARKET_DATA', { MARKET_DATA: 'recording', REPLAY_DIR: '/recorded' }, []],
    ['REPLAY_DIR', { REPLAY_DIR: '/recorded' }, []],
    ['REPLAY_DIR', { REPLAY_DIR: '/recorded', MARKET_DATA: 'live' }, []],
    ['SANDBOX_SEED', { SANDBOX_SEED: '1' }, []],
    ['SANDBOX_FAULTS', { SANDBOX_FAULTS: 'gap' }, []],
    ['DATABASE_URL', { DATABASE_URL: '' }, []],
    ['TOKEN_SECRET', { TOKEN_SECRET: '' }, []],
    ['--demo', {}, ['--demo']],
    ['NODE_OPTIONS', { NODE_OPTIONS: '--inspect=0.0.0.0' }, []],
    ['ROLES', { ROLES: 'gateway' }, []],
  ])('refuses %s', (variable, env, words) => {
    expect(problemsOf(load({ ...PRODUCTION, ...env }, words))).toContain(variable);
  });

  it('refuses a process that a debugger can attach to', () => {
    expect(problemsOf(load(PRODUCTION, [], { inspectable: true }))).toEqual(['NODE_OPTIONS']);
  });

  it('starts with live data, a database, and either one process or Redis', () => {
    expect(configOf(PRODUCTION).marketData).toBe('live');
    expect(configOf({ ...PRODUCTION, ROLES: 'gateway', REDIS_URL: 'rediss://:p%40ss@cache:6380/1' }).roles).toEqual([
      'gateway',
    ]);
  });
});

describe('what the variables mean together', () => {
  it('an empty value is the same as none', () => {
    const empty = Object.fromEntries(VARIABLE_NAMES.map((name) => [name, '']));
    expect(configOf(empty)).toEqual(configOf({}));
  });

  it.each<[Record<string, string>, string[], string]>([
    [{}, [], 'live'],
    [{}, ['--demo'], 'simulation'],
    [{ REPLAY_DIR: '/recorded' }, [], 'recording'],
    [{ REPLAY_DIR: '/recorded' }, ['--demo'], 'recording'],
    [{ REPLAY_DIR: '/recorded', MARKET_DATA: 'simulation' }, [], 'simulation'],
    [{ MARKET_DATA: 'live' }, ['--demo'], 'live'],
  ])('%j %j reads %s market data', (env, words, source) => {
    expect(configOf(env, words).marketData).toBe(source);
  });

  it('a recording without a folder is refused', () => {
    expect(problemsOf(load({ MARKET_DATA: 'recording' }))).toEqual(['REPLAY_DIR']);
  });

  it('the venues of a recording are its own unless they are named', () => {
    expect(configOf({ REPLAY_DIR: '/recorded' }).venues).toBeNull();
    expect(configOf({ REPLAY_DIR: '/recorded', VENUES: 'okx' }).venues).toEqual(['okx']);
    expect(configOf({}).venues).toEqual(['binance', 'kraken', 'coinbase', 'kucoin']);
  });

  it('a gateway that cannot look into the recording must be told its venues', () => {
    const env = { ROLES: 'gateway,worker', REDIS_URL: 'redis://cache', REPLAY_DIR: '/recorded' };
    expect(problemsOf(load(env))).toEqual(['VENUES']);
    expect(problemsOf(load({ ...env, VENUES: 'binance' }))).toEqual([]);
  });

  it('a gateway and a worker apart need one database, and a feed needs none', () => {
    const REDIS_URL = 'redis://cache';
    expect(problemsOf(load({ ROLES: 'gateway', REDIS_URL }))).toEqual(['DATABASE_URL']);
    expect(problemsOf(load({ ROLES: 'feed,worker', REDIS_URL }))).toEqual(['DATABASE_URL']);
    expect(problemsOf(load({ ROLES: 'gateway', REDIS_URL, DATABASE_URL: 'postgres://db/t' }))).toEqual([]);
    expect(problemsOf(load({ ROLES: 'feed', REDIS_URL }))).toEqual([]);
  });

  it('several gateways on one port need Redis, and the command line wins', () => {
    const env = { REDIS_URL: 'redis://cache', WORKERS: '3' };
    expect(configOf(env)).toMatchObject({ workers: 3, sharePort: false });
    expect(configOf(env, ['--workers', '4']).workers).toBe(4);
    expect(problemsOf(load({}, ['--workers', '2']))).toEqual(['WORKERS']);
    expect(problemsOf(load({ ...env, ROLES: 'feed' }))).toEqual(['WORKERS']);
    expect(configOf({}, ['--share-port']).sharePort).toBe(true);
  });

  it('paper funds are an asset and an amount each', () => {
    expect(configOf({ PAPER_FUNDS: 'USDT:5,BTC:1' }).paperFunds).toEqual([
      { code: 'USDT', amount: '5' },
      { code: 'BTC', amount: '1' },
    ]);
  });

  it('both ports may be 0, each then being any free one', () => {
    expect(configOf({ PORT: '0', OPS_PORT: '0' })).toMatchObject({ port: 0, opsPort: 0 });
  });

  it('the outcome cannot be changed by anybody', () => {
    expect(Object.isFrozen(configOf({}))).toBe(true);
  });

  it('addresses and networks of proxies are taken', () => {
    const TRUST_PROXY = '127.0.0.1,10.0.0.0/8,::1,fd00::/8';
    expect(configOf({ TRUST_PROXY }).trustProxy).toEqual(TRUST_PROXY.split(','));
  });
});

describe('the command line', () => {
  it.each([
    [['--port', '80'], '--port'],
    [['serve'], 'serve'],
    [['db:migrate', 'now'], 'db:migrate'],
    [['admin:grant'], 'admin:grant'],
    [['--workers'], '--workers'],
    [['--workers', '0'], '--workers'],
    [['--workers', '2', '3'], '3'],
    [['admin:grant', 'ada'], 'admin:grant'],
    [['admin:grant', 'a@b.c', 'd@e.f'], 'admin:grant'],
    [['record', '--seconds', '0'], '--seconds'],
    [['record', '--symbols', 'BTCUSDT'], '--symbols'],
    [['record', '--venues', 'a,,b'], '--venues'],
    [['record', '--second', '5'], 'record'],
    [['record', 'binance'], 'record'],
  ])('%j is refused', (words, named) => {
    expect(problemsOf(load({}, words))).toContain(named);
  });

  it('asks for a recording', () => {
    const words = ['record', '--venues', 'okx', '--symbols', 'BTC/USDT:USDT', '--dir', '/tmp/x', '--seconds', '5'];
    const loaded = load({}, words);
    expect(loaded.ok && loaded.command).toEqual({
      name: 'record',
      venues: ['okx'],
      symbols: ['BTC/USDT:USDT'],
      dir: '/tmp/x',
      seconds: 5,
    });
  });
});

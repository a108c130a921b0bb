import { readFileSync, statSync } from 'node:fs';
import { url as inspectorUrl } from 'node:inspector';
import { parseEnv } from 'node:util';
import { parseCommandLine } from './command-line.ts';
import type { Command } from './command-line.ts';
import { misspeltNames } from './foreign-names.ts';
import type { NameProblem } from './foreign-names.ts';
import { DEFAULT_VENUES, ROLE_NAMES, VARIABLES, VARIABLE_NAMES } from './schema.ts';
import type { Config, MarketDataSource, RoleName, Values, VariableName } from './schema.ts';

export type Surroundings = Readonly<{
  env: Readonly<Record<string, string | undefined>>;
  /** Words after the program's name. */
  words: readonly string[];
  isFolder(path: string): boolean;
  /** A debugger can attach, and with it anybody who reaches its port. */
  inspectable: boolean;
}>;
export type Loaded =
  | Readonly<{ ok: true; config: Config; command: Command }>
  | Readonly<{ ok: false; problems: readonly NameProblem[] }>;

/** This process's own surroundings: the environment over an optional `.env` in the working folder. */
export function loadFromProcess(): Loaded {
  return loadConfig({
    env: { ...readEnvFile('.env'), ...process.env },
    words: process.argv.slice(2),
    isFolder: (path) => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false,
    inspectable: inspectorUrl() !== undefined || process.execArgv.some((word) => word.startsWith('--inspect')),
  });
}

/** For a server process that this one starts: its own surroundings with `changes` over them. */
export function environmentOfChild(changes: Readonly<Record<string, string>>): Record<string, string | undefined> {
  return { ...process.env, ...changes };
}

function readEnvFile(path: string): Record<string, string | undefined> {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ? parseEnv(readFileSync(path, 'utf8')) : {};
}

/** Every problem at once. Messages quote values of plain variables, never of secret ones. */
export function loadConfig(surroundings: Surroundings): Loaded {
  const { env } = surroundings;
  const line = parseCommandLine(surroundings.words);
  const { values, problems } = readValues(env);
  const given = new Set(VARIABLE_NAMES.filter((name) => isSet(env[name])));
  problems.push(...misspeltNames(Object.keys(env), isSet(env.KUBERNETES_SERVICE_HOST)));
  if (!line.ok) return { ok: false, problems: [...line.problems, ...problems] };
  const demo = line.command.name === 'serve' && line.command.demo;
  const marketData = decideSource(values, demo);
  const serve = line.command.name === 'serve' ? line.command : null;
  const workers = serve?.workers ?? values.WORKERS ?? 1;
  if (serve) {
    const facts = { values, given, workers, demo, marketData, broken: new Set(problems.map((each) => each.variable)) };
    problems.push(...contradictions(facts, surroundings));
  }
  if (problems.length > 0) return { ok: false, problems };
  return {
    ok: true,
    config: freeze(values, { demo, marketData, workers, sharePort: serve?.sharePort ?? false }),
    command: line.command,
  };
}

function isSet(text: string | undefined): text is string {
  return text !== undefined && text !== '';
}

function readValues(env: Surroundings['env']): { values: Values; problems: NameProblem[] } {
  const problems: NameProblem[] = [];
  const values: Partial<Record<VariableName, unknown>> = {};
  for (const name of VARIABLE_NAMES) {
    const { value, fallback } = VARIABLES[name];
    const text = isSet(env[name]) ? env[name] : fallback;
    if (text === null) continue;
    const parsed = value.safeParse(text);
    if (parsed.success) values[name] = parsed.data;
    else problems.push({ variable: name, message: parsed.error.issues[0]!.message });
  }
  // Each name carries what its own schema gave back, or nothing.
  return { values: values as Values, problems };
}

function decideSource(values: Values, demo: boolean): MarketDataSource {
  if (values.MARKET_DATA !== undefined) return values.MARKET_DATA;
  if (values.REPLAY_DIR !== undefined) return 'recording';
  return demo ? 'simulation' : 'live';
}

type Facts = Readonly<{
  values: Values;
  given: ReadonlySet<VariableName>;
  demo: boolean;
  workers: number;
  marketData: MarketDataSource;
  /** Already complained about; a rule that rests on them would only repeat it. */
  broken: ReadonlySet<string>;
}>;

function contradictions(facts: Facts, surroundings: Surroundings): NameProblem[] {
  const { values, marketData, broken } = facts;
  const problems: NameProblem[] = [];
  const complain = (variable: VariableName, message: string) => problems.push({ variable, message });
  const roles = rolesOf(values);
  if (values.ROLES?.includes('all') && values.ROLES.length > 1) complain('ROLES', 'names all and single roles');
  const split = values.ROLES !== undefined && roles.length < ROLE_NAMES.length;
  if (split && values.REDIS_URL === undefined && !broken.has('REDIS_URL')) {
    complain('ROLES', 'splits the roles over processes, which needs REDIS_URL; without it only ROLES=all works');
  }
  if (facts.workers > 1 && values.REDIS_URL === undefined && !broken.has('REDIS_URL')) {
    complain('WORKERS', 'starts several processes, which needs REDIS_URL');
  }
  if (facts.workers > 1 && !roles.includes('gateway'))
    complain('WORKERS', 'is the number of gateways, and ROLES names none');
  const apart = roles.includes('gateway') !== roles.includes('worker');
  if (
    split &&
    apart &&
    values.DATABASE_URL === undefined &&
    !broken.has('DATABASE_URL') &&
    values.APP_MODE !== 'production'
  ) {
    complain('DATABASE_URL', 'is needed where gateway and worker are processes of their own: they share the accounts');
  }
  if (split && marketData === 'recording' && values.VENUES === undefined) {
    complain('VENUES', 'must be named when a recording is played by another process than the one that serves it');
  }
  if (values.PORT !== undefined && values.PORT !== 0 && values.PORT === values.OPS_PORT) {
    complain('OPS_PORT', 'is the same as PORT; operations are never served on the public port');
  }
  if (roles.includes('feed') && marketData === 'recording') {
    if (values.REPLAY_DIR === undefined) {
      if (!broken.has('REPLAY_DIR'))
        complain('REPLAY_DIR', 'is needed by MARKET_DATA=recording: a folder of recorded traffic');
    } else if (!surroundings.isFolder(values.REPLAY_DIR)) complain('REPLAY_DIR', 'is not a folder');
  }
  return values.APP_MODE === 'production' ? [...problems, ...productionRefusals(facts, surroundings)] : problems;
}

/** Production holds no sandbox and no way to look inside; refusing to start is the only answer that cannot be overlooked. */
function productionRefusals(facts: Facts, surroundings: Surroundings): NameProblem[] {
  const { values, given, demo, broken } = facts;
  const problems: NameProblem[] = [];
  const refuse = (variable: string, message: string) =>
    problems.push({ variable, message: `${message} with APP_MODE=production` });
  if (values.MARKET_DATA !== undefined && values.MARKET_DATA !== 'live') refuse('MARKET_DATA', 'can only be live');
  for (const name of ['REPLAY_DIR', 'SANDBOX_SEED', 'SANDBOX_FAULTS'] as const) {
    if (given.has(name)) refuse(name, 'configures the sandbox, which is refused');
  }
  if (demo) refuse('--demo', 'is refused');
  if (values.DATABASE_URL === undefined && !broken.has('DATABASE_URL')) refuse('DATABASE_URL', 'is needed');
  if (values.TOKEN_SECRET === undefined && !broken.has('TOKEN_SECRET')) refuse('TOKEN_SECRET', 'is needed');
  const options = surroundings.env.NODE_OPTIONS ?? '';
  if (surroundings.inspectable || options.includes('--inspect')) refuse('NODE_OPTIONS', 'may not open a debugger');
  return problems;
}

function rolesOf(values: Values): readonly RoleName[] {
  const named = values.ROLES ?? [];
  return named.includes('all') ? ROLE_NAMES : ROLE_NAMES.filter((role) => named.includes(role));
}

/** Only called when every value was good, so that what has a fallback is there. */
function freeze(values: Values, chosen: Pick<Config, 'demo' | 'marketData' | 'workers' | 'sharePort'>): Config {
  const { marketData } = chosen;
  const venues = values.VENUES ?? (marketData === 'recording' ? null : DEFAULT_VENUES);
  return Object.freeze({
    appMode: values.APP_MODE!,
    demo: chosen.demo,
    roles: rolesOf(values),
    workers: chosen.workers,
    sharePort: chosen.sharePort,
    host: values.HOST!,
    port: values.PORT!,
    opsPort: values.OPS_PORT!,
    corsOrigins: values.CORS_ORIGINS ?? [],
    trustProxy: values.TRUST_PROXY ?? [],
    rateLimitPerMinute: values.RATE_LIMIT_PER_MINUTE!,
    rateLimitTradingPerMinute: values.RATE_LIMIT_TRADING_PER_MINUTE!,
    rateLimitAuthPerMinute: values.RATE_LIMIT_AUTH_PER_MINUTE!,
    connectionsPerIp: values.CONNECTIONS_PER_IP!,
    nativeWriter: values.NATIVE_WRITER === 'auto',
    shutdownTimeoutMs: values.SHUTDOWN_TIMEOUT_MS!,
    logLevel: values.LOG_LEVEL!,
    databaseUrl: values.DATABASE_URL ?? null,
    databasePoolSize: values.DATABASE_POOL_SIZE!,
    redisUrl: values.REDIS_URL ?? null,
    dataDir: values.DATA_DIR!,
    tokenSecret: values.TOKEN_SECRET ?? null,
    retiredTokenSecrets: values.RETIRED_TOKEN_SECRETS ?? [],
    registrationsPerIp: values.REGISTRATIONS_PER_IP!,
    paperFunds: (values.PAPER_FUNDS ?? []).map((text) => {
      const [code = '', amount = ''] = text.split(':');
      return { code, amount };
    }),
    marketData,
    venues,
    replayDir: values.REPLAY_DIR ?? null,
    replaySpeed: values.REPLAY_SPEED!,
    replayLoop: values.REPLAY_LOOP!,
    sandboxSeed: values.SANDBOX_SEED!,
    sandboxFaults: values.SANDBOX_FAULTS ?? null,
  });
}

/** What a person reads on the terminal before the process ends. */
export function describeProblems(problems: readonly NameProblem[]): string {
  const lines = problems.map(({ variable, message }) => `  ${variable}: ${message}`);
  return `tidewire cannot start, ${problems.length === 1 ? 'one setting is' : `${problems.length} settings are`} wrong:\n${lines.join('\n')}\n`;
}

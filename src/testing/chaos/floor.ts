import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { seedFrom, seededRandom } from '../../kernel/random.ts';
import type { Random } from '../../kernel/random.ts';
import { createIdentity } from '../../modules/identity/index.ts';
import { DatabaseFailure } from '../../platform/postgres.ts';
import type { Database } from '../../platform/postgres.ts';
import { readDiary } from '../bank/diary.ts';
import { createMemorySignals } from '../../platform/signals-memory.ts';
import { startTestPostgres, surroundings } from '../postgres.ts';
import type { TestDatabase, TestPostgres } from '../postgres.ts';
import { openDoor } from './door.ts';
import { read, startFollower } from './follower.ts';
import type { Follower } from './follower.ts';
import { keepServer } from './kept-server.ts';
import type { KeptServer, ServerKind } from './kept-server.ts';
import { judge } from './referee.ts';
import type { Judgement } from './referee.ts';
import { standingBreaches } from './standing-checks.ts';
import type { TraderLine } from './trader-diary.ts';
import { startTrader } from './trader.ts';
import type { Trader } from './trader.ts';
import type { Ground } from './wishes.ts';

/** `process`: SIGKILL to the server. `backend`: SIGKILL to a Postgres backend of it, so that Postgres restarts all of them. `immediate`: Postgres stops without a checkpoint. `outage`: and stays away for ten seconds. */
export const FAULTS = ['process', 'backend', 'immediate', 'outage'] as const;
export type Fault = (typeof FAULTS)[number];
export type FloorOptions = Readonly<{
  seed: number;
  server: ServerKind;
  kills: Readonly<Partial<Record<Fault, number>>>;
  users?: number;
  /** Judge everything after so many kills, besides the end. */
  judgeEvery?: number;
  report?: (text: string) => void;
  /** True: no more kills, to the judgement. */
  enough?: () => boolean;
}>;
export type FloorResult = Judgement &
  Readonly<{
    done: Readonly<Record<Fault, number>>;
    seconds: number;
    reconnects: number;
    liveChecks: number;
    ownEnds: number;
  }>;

const USERS = 8;
const CALLERS = 2;
const CALM_MS = { least: 20, spread: 400 };
/** Answered operations between two kills. */
const PROGRESS = 12;
/** So often there must also have been fills since the last look. */
const FILLS_EVERY = 6;
/** Of killed servers, those whose market leases run out by themselves; the others' are ended at once, as time is short. */
const LEASE_LEFT = 0.08;
const OUTAGE_MS = 10_000;
const POLL_MS = 20;
const BACK_LIMIT_MS = 120_000;
const LIVE_CHECK_MS = 5_000;
const QUIET_LIMIT_MS = 60_000;
const NONE: Readonly<Record<Fault, number>> = { process: 0, backend: 0, immediate: 0, outage: 0 };

type Floor = Readonly<{
  options: FloorOptions;
  random: Random;
  postgres: TestPostgres;
  at: TestDatabase;
  database: Database;
  server: KeptServer;
  folder: string;
  ground: Ground;
  traders: Map<string, Trader>;
  followers: Follower[];
}>;

/** Trades over HTTP, kills until all kills are done, lets everybody finish, and judges. */
export async function runFloor(options: FloorOptions): Promise<FloorResult> {
  const beganMs = performance.now();
  const postgres = await startTestPostgres();
  const folder = mkdtempSync(join(tmpdir(), 'tidewire-chaos-'));
  let server: KeptServer | null = null;
  const followers: Follower[] = [];
  try {
    const at = await postgres.createDatabase();
    server = await keepServer(options.server, serverEnv(at.adminUrl, folder));
    await server.ready();
    const database = await at.open({ size: 2 });
    const random = seededRandom(seedFrom(`${options.seed}/faults`));
    const ground = await groundOf(server.url);
    const floor: Floor = {
      options,
      random,
      postgres,
      at,
      database,
      server,
      folder,
      ground,
      traders: new Map(),
      followers,
    };
    await openTraders(floor);
    const { judgement, done, liveChecks } = await killAll(floor);
    return {
      ...judgement,
      done,
      liveChecks,
      seconds: Math.round((performance.now() - beganMs) / 1000),
      reconnects: followers.reduce((sum, follower) => sum + follower.reconnects(), 0),
      ownEnds: server.ownEnds(),
    };
  } finally {
    for (const follower of followers) follower.close();
    await server?.stop();
    await postgres.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

export function serverEnv(databaseUrl: string, folder: string): Record<string, string> {
  return {
    DATABASE_URL: databaseUrl,
    DATA_DIR: folder,
    MARKET_DATA: 'simulation',
    VENUES: 'binance',
    TRUST_PROXY: '127.0.0.1',
    LOG_LEVEL: 'warn',
    PAPER_FUNDS: 'USDT:100000,BTC:100,ETH:100',
    RATE_LIMIT_PER_MINUTE: '1000000',
    RATE_LIMIT_TRADING_PER_MINUTE: '1000000',
    RATE_LIMIT_AUTH_PER_MINUTE: '1000000',
    // Half a server's life here is its start; compiled code is kept between lives.
    NODE_COMPILE_CACHE: join(folder, 'compiled'),
  };
}

async function groundOf(url: string): Promise<Ground> {
  const venue = 'binance';
  const markets = await Promise.all(
    ['BTC/USDT', 'ETH/USDT'].map(async (symbol) => {
      const path = `${url}/v1/markets/${venue}/${symbol.replace('/', '-')}`;
      const told = await answerOf(path);
      const ticker = await answerOf(`${path}/ticker`);
      const { tickSize, lotSize, base } = told as Record<string, string>;
      const { last: traded, bid } = ticker.data as Record<string, string | null>;
      // Nobody has traded right after a start.
      const last = Number(traded ?? bid);
      if (!(last > 0)) throw new Error(`no price for ${symbol}: ${JSON.stringify(ticker)}`);
      return { symbol, base: base!, tick: tickSize!, lot: lotSize!, last };
    }),
  );
  return { venue, markets };
}

async function answerOf(url: string): Promise<Record<string, unknown>> {
  const deadlineMs = performance.now() + BACK_LIMIT_MS;
  for (;;) {
    const answer = await fetch(url);
    const body = (await answer.json()) as Record<string, unknown>;
    if (answer.status === 200) return body;
    if (performance.now() > deadlineMs) throw new Error(`${url}: ${JSON.stringify(body)}`);
    await wait(POLL_MS);
  }
}

async function openTraders(floor: Floor): Promise<void> {
  const { options, server, folder, ground } = floor;
  for (let index = 0; index < (options.users ?? USERS); index++) {
    const name = `u${index}`;
    const door = await openDoor(server.url, `${name}-${options.seed}`, index);
    const diary = join(folder, `${name}.jsonl`);
    floor.traders.set(name, startTrader({ name, seed: options.seed, door, ground, diary, callers: CALLERS }));
    floor.followers.push(startFollower(server.url, name, door, index % 2 ? 'socketio' : 'plain'));
  }
}

async function killAll(
  floor: Floor,
): Promise<{ judgement: Judgement; done: Record<Fault, number>; liveChecks: number }> {
  const { options, random } = floor;
  const left = { ...NONE, ...options.kills };
  const done: Record<Fault, number> = { ...NONE };
  const live = watchLive(floor);
  try {
    let count = 0;
    for (; FAULTS.some((fault) => left[fault] > 0) && !options.enough?.(); count++) {
      await progress(floor, count % FILLS_EVERY === 0);
      await wait(CALM_MS.least + random() * CALM_MS.spread);
      const choices = FAULTS.flatMap((fault) => Array<Fault>(left[fault]).fill(fault));
      const fault = choices[Math.floor(random() * choices.length)]!;
      left[fault] -= 1;
      await strike(floor, fault);
      done[fault] += 1;
      if (live.breaches.length > 0) break;
      if (options.judgeEvery && count % options.judgeEvery === options.judgeEvery - 1) {
        const state = `${done.process} process, ${done.backend} backend, ${done.immediate} immediate`;
        options.report?.(`${state}; ${live.checks()} live checks hold`);
      }
    }
    if (live.breaches.length === 0) await progress(floor, true);
  } finally {
    await live.stop();
  }
  const judgement = await closeAndJudge(floor);
  return {
    judgement: { ...judgement, breaches: [...live.breaches, ...judgement.breaches] },
    done,
    liveChecks: live.checks(),
  };
}

/** Looks at everything in one snapshot again and again while all trade and all is killed. */
function watchLive({ at }: Floor) {
  const breaches: string[] = [];
  let [checks, running] = [0, true];
  const loop = (async () => {
    const database = await at.open({ size: 1 });
    while (running && breaches.length === 0) {
      const until = wait(LIVE_CHECK_MS);
      try {
        breaches.push(...(await standingBreaches(database)).map((breach) => `live: ${breach}`));
        checks += 1;
      } catch (error) {
        if (!(error instanceof DatabaseFailure)) throw error;
      }
      await until;
    }
  })();
  return {
    breaches,
    checks: () => checks,
    async stop() {
      running = false;
      await loop;
    },
  };
}

async function strike(floor: Floor, fault: Fault): Promise<void> {
  const { postgres, server, at, random } = floor;
  if (fault === 'immediate' || fault === 'outage') {
    await postgres.server().stop('immediate');
    if (fault === 'outage') await wait(OUTAGE_MS);
    await postgres.restart();
  } else if (fault === 'process') {
    const keepsLease = random() < LEASE_LEFT;
    await server.kill(async () => {
      if (keepsLease) return;
      await at.admin`select orders.release_paper_lease(venue, symbol, owner) from orders.paper_leases`.catch(
        () => undefined,
      );
    });
  } else {
    await killBackend(floor);
  }
}

/** One of the server's that is at work, if there is one. */
async function killBackend({ at }: Floor): Promise<void> {
  const deadlineMs = performance.now() + BACK_LIMIT_MS;
  for (;;) {
    const found = await at.admin`select pid from pg_stat_activity where application_name = 'tidewire'
      and backend_type = 'client backend' and datname = current_database()
      order by state = 'active' desc, random() limit 1`.catch(() => []);
    const pid = Number(found[0]?.pid ?? 0);
    if (pid > 0 && killed(pid)) return;
    if (performance.now() > deadlineMs) throw new Error('nobody comes back to the database');
    await wait(POLL_MS);
  }
}

function killed(pid: number): boolean {
  try {
    return process.kill(pid, 'SIGKILL');
  } catch (error) {
    // It ended between the two looks; another one will do.
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

/** Operations, and now and then fills, went through after this moment: the kill before is overcome. */
async function progress({ traders, at, server }: Floor, withFills: boolean): Promise<void> {
  const deadlineMs = performance.now() + BACK_LIMIT_MS;
  const answered = (): number => [...traders.values()].reduce((sum, trader) => sum + trader.answered(), 0);
  const fills = async (): Promise<number> => {
    const [row] = await at.admin`select coalesce(max(id), 0) as last from orders.fills`.catch(() => [{ last: -1 }]);
    return Number(row?.last);
  };
  const enough = answered() + PROGRESS;
  const before = withFills ? await fills() : -1;
  while (answered() < enough || (withFills && (await fills()) <= before)) {
    if (performance.now() > deadlineMs) throw new Error(`trading does not come back after a kill:\n${server.text()}`);
    await wait(POLL_MS);
  }
}

async function closeAndJudge(floor: Floor): Promise<Judgement> {
  const { traders, followers, database } = floor;
  await Promise.all([...traders.values()].map((trader) => trader.stop()));
  const restless = await cancelEverything(floor);
  const records = new Map(
    [...traders].map(([name, { door, diary }]) => [name, { userId: door.userId, lines: readDiary<TraderLine>(diary) }]),
  );
  const judgement = await judge(database, records);
  const shown = await Promise.all(followers.map((follower) => follower.judge()));
  return {
    ...judgement,
    breaches: [...restless, ...judgement.breaches, ...shown.flat(), ...(await brokenAudit(database))],
  };
}

/** I10: the chain of audit entries, recomputed. */
async function brokenAudit(database: Database): Promise<string[]> {
  const around = surroundings();
  const signals = createMemorySignals(around);
  const identity = createIdentity({
    ...around,
    database,
    signals,
    signingSecret: 'only-to-read-the-audit-trail-of-a-test',
  });
  const { brokenAt, entries } = await identity.verifyAudit();
  await identity.stop();
  await signals.stop();
  return brokenAt === null && entries > 0 ? [] : [`I10 the audit trail of ${entries} entries is broken at ${brokenAt}`];
}

/** So that all orders are over and the streams come to rest. */
async function cancelEverything({ traders, at, server }: Floor): Promise<string[]> {
  const deadlineMs = performance.now() + QUIET_LIMIT_MS;
  for (const [name, { door }] of traders) {
    for (;;) {
      const open = (await read(door, '/v1/orders?status=open&limit=200')).orders as { id: string }[];
      if (open.length === 0) break;
      if (performance.now() > deadlineMs) {
        const events = await at.admin`select event, to_status, created_at from orders.order_events
          where order_id = ${open[0]!.id} order by seq`;
        return [
          `${name} cannot get rid of ${open.length} orders: ${JSON.stringify([open[0], events])}\n${server.errors().join('\n')}`,
        ];
      }
      await door.call('DELETE', '/v1/orders');
      await wait(POLL_MS * 5);
    }
  }
  return [];
}

export function describeFloor({
  breaches,
  tally,
  done,
  seconds,
  reconnects,
  liveChecks,
  ownEnds,
}: FloorResult): string {
  const { operations, ok, repeated, fail, unknown, unknownButDone, orders, fills } = tally;
  return [
    `${seconds} s; kills: ${done.process} of the server process, ${done.backend} of a backend, ${done.immediate} of Postgres, ${done.outage} outages`,
    `${operations} operations: ${ok} acknowledged (${repeated} by a repeated key), ${fail} refused, ${unknown} unknown (${unknownButDone} of them done)`,
    `${orders} orders, ${fills} fills, ${reconnects} reconnects of followers, ${liveChecks} live checks, ${ownEnds} starts that found no database`,
    breaches.length === 0 ? 'I1-I8, I10, I11 hold' : breaches.join('\n  '),
  ].join('\n  ');
}

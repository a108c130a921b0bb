import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { seedFrom, seededRandom } from '../../kernel/random.ts';
import type { Random } from '../../kernel/random.ts';
import { createLedger } from '../../modules/ledger/index.ts';
import type { Database } from '../../platform/postgres.ts';
import { startTestPostgres } from '../postgres.ts';
import type { TestDatabase, TestPostgres } from '../postgres.ts';
import type { ClientOrders } from './client.ts';
import { readDiary } from './diary.ts';
import { BANK_ASSETS, BANK_USERS, FUNDS_WHOLE_UNITS } from './operations.ts';
import { judge } from './oracle.ts';
import type { Judgement } from './oracle.ts';

/** `backend`: SIGKILL to a server process, which makes Postgres restart all of them. `immediate`: the server stops without a checkpoint. `client`: SIGKILL to a load client. */
export const FAULTS = ['backend', 'immediate', 'client'] as const;
export type Fault = (typeof FAULTS)[number];
export type BankOptions = Readonly<{
  seed: number;
  /** How many of each. */
  kills: Readonly<Record<Fault, number>>;
  synchronousCommit?: 'on' | 'off';
  /** Extra server settings. */
  settings?: readonly string[];
  /** Judge after so many kills, besides the end. */
  judgeEvery?: number;
  report?: (text: string) => void;
}>;
export type BankResult = Judgement & Readonly<{ faults: Readonly<Record<Fault, number>>; seconds: number }>;

const CLIENTS = 2;
const CALLERS_PER_CLIENT = 8;
const CALM_MS = { least: 20, spread: 130 };
const PROGRESS_POLL_MS = 5;
/** A dozen lines of the diaries: far more than what was under way. */
const PROGRESS_BYTES = 1_000;
const BACK_LIMIT_MS = 60_000;

type Client = { name: string; diary: string; process: ChildProcess };
type Bank = Readonly<{
  options: BankOptions;
  server: TestPostgres;
  at: TestDatabase;
  folder: string;
  random: Random;
  clients: Client[];
}>;

/** Runs the load, kills until all kills are done, lets everybody finish, and judges. */
export async function runBank(options: BankOptions): Promise<BankResult> {
  const beganMs = performance.now();
  const server = await startTestPostgres({ settings: options.settings ?? [] });
  const folder = mkdtempSync(join(tmpdir(), 'tidewire-bank-'));
  const clients: Client[] = [];
  try {
    const at = await server.createDatabase();
    const random = seededRandom(seedFrom(`${options.seed}/faults`));
    const bank: Bank = { options, server, at, folder, random, clients };
    await fundEverybody(at);
    for (let index = 0; index < CLIENTS; index++) clients.push(startClient(bank, `c${index}`));
    const judgement = await killAll(bank);
    return { ...judgement, faults: options.kills, seconds: Math.round((performance.now() - beganMs) / 1000) };
  } finally {
    for (const client of clients) client.process.kill('SIGKILL');
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function fundEverybody(at: TestDatabase): Promise<void> {
  const database = await at.open({ size: 8 });
  const ledger = createLedger({ database, tell: () => {} });
  for (const [code, scale] of Object.entries(BANK_ASSETS)) await ledger.defineAsset({ code, scale });
  await Promise.all(
    BANK_USERS.map(async (owner) => {
      for (const [asset, scale] of Object.entries(BANK_ASSETS)) {
        const amount = FUNDS_WHOLE_UNITS * 10n ** BigInt(scale);
        const key = { scope: 'bank', key: `fund ${owner} ${asset}` };
        const outcome = await ledger.credit({ key, actor: 'bank', owner, asset, amount, from: { house: 'equity' } });
        if (!outcome.ok) throw new Error(outcome.message);
      }
    }),
  );
  await database.stop();
}

function startClient({ options, at, folder }: Bank, name: string): Client {
  const orders: ClientOrders = {
    url: at.appUrl,
    diary: join(folder, `${name}.jsonl`),
    stream: { seed: options.seed, client: name },
    callers: CALLERS_PER_CLIENT,
    synchronousCommit: options.synchronousCommit ?? 'on',
  };
  const file = join(import.meta.dirname, 'client.ts');
  // Half a client's life here is its start; compiled code is kept between lives.
  const env = { ...process.env, NODE_COMPILE_CACHE: join(folder, 'compiled') };
  const child = spawn(process.execPath, [file, JSON.stringify(orders)], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env,
  });
  return { name, diary: orders.diary, process: child };
}

async function killAll(bank: Bank): Promise<Judgement> {
  const { options, random } = bank;
  const left = { ...options.kills };
  let judgement: Judgement | null = null;
  for (let done = 0; FAULTS.some((fault) => left[fault] > 0); done++) {
    await progress(bank);
    await wait(CALM_MS.least + random() * CALM_MS.spread);
    const choices = FAULTS.filter((fault) => left[fault] > 0);
    const fault = choices[Math.floor(random() * choices.length)]!;
    left[fault] -= 1;
    await strike(bank, fault);
    if (options.judgeEvery && done % options.judgeEvery === options.judgeEvery - 1) {
      judgement = await pauseAndJudge(bank);
      options.report?.(`${done + 1} kills: ${describeJudgement(judgement)}`);
      if (judgement.breaches.length > 0) return judgement;
    }
  }
  await progress(bank);
  return pauseAndJudge(bank);
}

async function strike(bank: Bank, fault: Fault): Promise<void> {
  if (fault === 'immediate') {
    await bank.server.server().stop('immediate');
    await bank.server.restart();
  } else if (fault === 'client') {
    // The one that has run longest: the other may still be starting.
    const client = bank.clients.shift()!;
    client.process.kill('SIGKILL');
    if (client.process.exitCode === null && client.process.signalCode === null) await once(client.process, 'exit');
    bank.clients.push(startClient(bank, client.name));
  } else {
    await killBackend(bank);
  }
}

/** One that is at work, if there is one. */
async function killBackend({ at, server }: Bank): Promise<void> {
  const deadlineMs = performance.now() + BACK_LIMIT_MS;
  for (;;) {
    const found = await at.admin`select pid from pg_stat_activity where usename = 'app_rw'
      order by state = 'active' desc, random() limit 1`.catch(() => []);
    const pid = Number(found[0]?.pid ?? 0);
    if (pid > 0 && killed(pid)) return;
    if (performance.now() > deadlineMs)
      throw new Error(`no client comes back to the server on ${server.server().port}`);
    await wait(PROGRESS_POLL_MS);
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

/** Operations went through after this moment: the kill before is overcome. */
async function progress(bank: Bank): Promise<void> {
  const deadlineMs = performance.now() + BACK_LIMIT_MS;
  const written = () => bank.clients.reduce((sum, client) => sum + sizeOf(client.diary), 0);
  const enough = written() + PROGRESS_BYTES;
  for (;;) {
    if (written() > enough) return;
    const dead = bank.clients.find((client) => client.process.exitCode !== null);
    if (dead) throw new Error(`client ${dead.name} ended by itself with code ${dead.process.exitCode}`);
    if (performance.now() > deadlineMs) throw new Error('the load does not come back after a kill');
    await wait(PROGRESS_POLL_MS);
  }
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** The clients finish what they have under way and start again afterwards, as after a deployment. */
async function pauseAndJudge(bank: Bank): Promise<Judgement> {
  for (const client of bank.clients) client.process.kill('SIGTERM');
  await Promise.all(
    bank.clients.map(async ({ process: child }) => {
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    }),
  );
  const diaries = new Map(bank.clients.map(({ name, diary }) => [name, readDiary(diary)]));
  const database: Database = await bank.at.open({ size: 2 });
  const judgement = await judge(database, diaries);
  await database.stop();
  bank.clients.splice(0, bank.clients.length, ...bank.clients.map((client) => startClient(bank, client.name)));
  return judgement;
}

export function describeJudgement({ breaches, tally }: Judgement): string {
  const { ok, fail, unknown, unknownButDone } = tally;
  const told = `${ok} acknowledged, ${fail} refused, ${unknown} unknown (${unknownButDone} of them done)`;
  return `${told}; ${breaches.length === 0 ? 'all invariants hold' : breaches.join('\n  ')}`;
}

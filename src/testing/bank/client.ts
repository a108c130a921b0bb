import { appendFileSync } from 'node:fs';
import { sql } from 'drizzle-orm';
import { seedFrom, seededRandom } from '../../kernel/random.ts';
import { createLedger } from '../../modules/ledger/index.ts';
import type { Ledger } from '../../modules/ledger/index.ts';
import { createLog } from '../../platform/log.ts';
import { createMetrics } from '../../platform/metrics.ts';
import { DatabaseFailure, openDatabase } from '../../platform/postgres.ts';
import type { Database } from '../../platform/postgres.ts';
import { openDiary, readDiary } from './diary.ts';
import type { Diary } from './diary.ts';
import { operationAt, perform, rememberFor } from './operations.ts';
import type { MoneyOperation, Remembered, Stream } from './operations.ts';

/**
 * One load client as a process of its own, to be killed at any moment: `node client.ts '<json>'`. It works through its stream of
 * operations until it is told to stop (SIGTERM), and goes on where its diary ends when it is started again.
 */
export type ClientOrders = Readonly<{
  url: string;
  diary: string;
  stream: Stream;
  callers: number;
  synchronousCommit: 'on' | 'off';
}>;

/** An operation without an answer is tried this often; what a kill left open is sent again in the next life, but for some: those stay unknown. */
const TRIES_LIMIT = 40;
const TRY_PAUSE_MS = 25;
const FORGETFUL = 0.2;
const EVENTS_PAGE = 200;
const BATCH = 500;

type Bank = Readonly<{
  ledger: Ledger;
  database: Database;
  diary: Diary;
  orders: ClientOrders;
  stopping: () => boolean;
}>;

async function main(): Promise<void> {
  const orders = JSON.parse(process.argv[2]!) as ClientOrders;
  let stopping = false;
  process.on('SIGTERM', () => (stopping = true));
  const past = readDiary(orders.diary);
  // A kill may have cut the last line short; the first line of this life must not be glued to it.
  appendFileSync(orders.diary, '\n');
  const database = await openPatiently(orders, () => stopping);
  if (!database) return;
  const ledger = createLedger({ database, tell: () => {} });
  const bank: Bank = { ledger, database, diary: openDiary(orders.diary), orders, stopping: () => stopping };

  const open = new Map<number, Remembered>();
  let last = -1;
  for (const line of past) {
    if (line.type === 'intent')
      open.set(line.number, line.expiresAtMs === undefined ? {} : { expiresAtMs: line.expiresAtMs });
    if (line.type === 'intent') last = Math.max(last, line.number);
    if (line.type === 'ok' || line.type === 'fail' || line.type === 'unknown') open.delete(line.number);
  }
  const numbers = numbersFrom(last + 1);
  const unfinished = open.entries();
  await Promise.all(
    Array.from({ length: orders.callers }, async () => {
      for (const [number, remembered] of unfinished) await resolveMoney(bank, number, remembered);
      for (const number of numbers) {
        if (stopping) return;
        await step(bank, number);
      }
    }),
  );
  await database.stop();
  bank.diary.close();
}

function* numbersFrom(first: number): Generator<number> {
  for (let number = first; ; number++) yield number;
}

async function openPatiently(orders: ClientOrders, stopping: () => boolean): Promise<Database | null> {
  for (;;) {
    try {
      return await openDatabase({
        url: orders.url,
        role: 'app_rw',
        size: orders.callers,
        log: createLog({ level: 'silent' }),
        metrics: createMetrics({ processMetrics: false }),
        clock: { now: () => Date.now(), monotonic: () => performance.now() },
        random: Math.random,
        synchronousCommit: orders.synchronousCommit,
      });
    } catch (error) {
      if (stopping()) return null;
      if (!(error instanceof Error)) throw error;
      await pause();
    }
  }
}

async function step(bank: Bank, number: number): Promise<void> {
  const operation = operationAt(bank.orders.stream, number);
  if (operation.kind === 'read') return look(bank, operation.owner);
  if (operation.kind === 'housekeeping') return keepHouse(bank);
  const remembered = rememberFor(operation, Date.now());
  await bank.diary.write({ type: 'intent', number, ...remembered });
  await attempt(bank, number, operation, remembered);
}

async function resolveMoney(bank: Bank, number: number, remembered: Remembered): Promise<void> {
  const operation = operationAt(bank.orders.stream, number);
  if (operation.kind === 'read' || operation.kind === 'housekeeping') return;
  if (isForgetful(bank, number)) return bank.diary.write({ type: 'unknown', number });
  await attempt(bank, number, operation, remembered);
}

/** The same key for every try, in this life and the next. */
async function attempt(bank: Bank, number: number, operation: MoneyOperation, remembered: Remembered): Promise<void> {
  const { client } = bank.orders.stream;
  const origin = { key: { scope: `bank-${client}`, key: String(number) }, actor: client };
  const tries = isForgetful(bank, number) ? 1 : TRIES_LIMIT;
  for (let count = 0; count < tries; count++) {
    try {
      const outcome = await perform(bank.ledger, origin, operation, remembered);
      if (outcome.ok) await bank.diary.write({ type: 'ok', number, journalId: outcome.value.journalId });
      else await bank.diary.write({ type: 'fail', number, code: outcome.code });
      return;
    } catch (error) {
      if (!(error instanceof DatabaseFailure)) {
        await bank.diary.write({ type: 'wrong', what: `operation ${number}: ${String(error)}` });
        throw error;
      }
      if (bank.stopping()) break;
      await pause();
    }
  }
  await bank.diary.write({ type: 'unknown', number });
}

function isForgetful({ orders: { stream } }: Bank, number: number): boolean {
  return seededRandom(seedFrom(`${stream.seed}/${stream.client}/${number}/forgets`))() < FORGETFUL;
}

/** A bank read: all balances of an asset sum to zero at any moment, and a user's events have no gap. */
async function look(bank: Bank, userId: string): Promise<void> {
  try {
    const totals = await bank.database.read('bank.totals', (queries) =>
      queries.execute<{ asset: string; total: string }>(
        sql`select asset, sum(posted) as total from ledger.balances group by asset having sum(posted) <> 0`,
      ),
    );
    if (totals.length > 0) await bank.diary.write({ type: 'wrong', what: `totals ${JSON.stringify(totals)}` });
    const { headSeq } = await bank.ledger.eventsSince({ userId, since: 0, limit: 1 });
    const since = Math.max(0, headSeq - EVENTS_PAGE / 2);
    const { events } = await bank.ledger.eventsSince({ userId, since, limit: EVENTS_PAGE });
    const gap = events.find((event, index) => event.seq !== since + index + 1);
    if (gap) await bank.diary.write({ type: 'wrong', what: `events of ${userId}: ${gap.seq} does not follow` });
    await bank.diary.write({ type: 'seen', userId, seq: events.at(-1)?.seq ?? headSeq });
  } catch (error) {
    if (!(error instanceof DatabaseFailure)) throw error;
  }
}

async function keepHouse(bank: Bank): Promise<void> {
  try {
    await bank.ledger.rollUp(BATCH);
    await bank.ledger.expireHolds(BATCH);
  } catch (error) {
    if (!(error instanceof DatabaseFailure)) throw error;
  }
}

function pause(): Promise<void> {
  return new Promise((settle) => setTimeout(settle, TRY_PAUSE_MS));
}

await main();

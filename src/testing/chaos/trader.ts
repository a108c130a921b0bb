import { setTimeout as wait } from 'node:timers/promises';
import { seedFrom, seededRandom } from '../../kernel/random.ts';
import type { Random } from '../../kernel/random.ts';
import { openDiary } from '../bank/diary.ts';
import type { Diary } from '../bank/diary.ts';
import type { Answer, Door } from './door.ts';
import type { Told, TraderLine, Wish } from './trader-diary.ts';
import { wishOf } from './wishes.ts';
import type { Ground } from './wishes.ts';

/** An answer is waited for so often; some wishes are never asked about again and stay unknown. */
const TRIES_LIMIT = 400;
const TRY_PAUSE_MS = 60;
const FORGETFUL = 0.15;
/** Of what was done, asked again although the answer came. */
const REPEATED = 0.08;
const OPEN_KEPT = 30;
const LOOKS_EVERY = 15;
const THINKING_MS = 40;

export type Trader = Readonly<{
  door: Door;
  diary: string;
  /** Operations that had an answer. */
  answered(): number;
  /** Lets what is under way come to its end. */
  stop(): Promise<void>;
}>;
type Self = {
  readonly name: string;
  readonly door: Door;
  readonly ground: Ground;
  readonly random: Random;
  readonly diary: Diary<TraderLine>;
  readonly open: string[];
  answered: number;
  stopping: boolean;
};

/** Several callers of one user, so that the user's own orders race each other. */
export function startTrader(
  given: Readonly<{ name: string; seed: number; door: Door; ground: Ground; diary: string; callers: number }>,
): Trader {
  const { name, door, ground } = given;
  const random = seededRandom(seedFrom(`${given.seed}/${name}`));
  const diary = openDiary<TraderLine>(given.diary);
  const self: Self = { name, door, ground, random, diary, open: [], answered: 0, stopping: false };
  let number = 0;
  const callers = Array.from({ length: given.callers }, async () => {
    while (!self.stopping) {
      const mine = number++;
      if (mine % LOOKS_EVERY === LOOKS_EVERY - 1) await look(self);
      else await fulfil(self, mine, wishOf(ground, random, `${name}-${mine}`, self.open));
      await wait(random() * THINKING_MS);
    }
  });
  return {
    door,
    diary: given.diary,
    answered: () => self.answered,
    async stop() {
      self.stopping = true;
      await Promise.all(callers);
      diary.close();
    },
  };
}

async function fulfil(self: Self, number: number, wish: Wish): Promise<void> {
  const { diary, door, random } = self;
  await diary.write({ type: 'intent', number, wish });
  const tries = random() < FORGETFUL ? 1 : TRIES_LIMIT;
  let lost = false;
  for (let count = 0; count < tries; count++) {
    const answer = await door.call(wish.method, wish.path, wish);
    const verdict = verdictOf(wish, answer, lost);
    if (answer !== null && answer.status >= 400 && typeof answer.body.code !== 'string') {
      await diary.write({ type: 'wrong', what: `${self.name}-${number}: ${answer.status} without a code` });
    }
    if (verdict === 'login') await door.login();
    else if (verdict === 'unknown') {
      lost = true;
      // Between the tries only: while stopping, the database is up and the answer is worth waiting for.
      await wait(TRY_PAUSE_MS);
    } else {
      self.answered += 1;
      await (verdict === 'ok' ? take(self, number, wish, answer!) : refuse(self, number, answer!));
      return;
    }
  }
  await diary.write({ type: 'unknown', number });
}

/** `lost`: an earlier try had no answer, so that it may have been the one that did it. */
function verdictOf({ act }: Wish, answer: Answer, lost: boolean): 'ok' | 'fail' | 'unknown' | 'login' {
  if (answer === null || answer.status >= 500 || answer.status === 429) return 'unknown';
  const { code, temporary } = answer.body;
  if (code === 'token_expired') return 'login';
  if (answer.status < 300) return 'ok';
  if (temporary === true) return 'unknown';
  // A cancellation has no key: that the order is over by now is what it wanted.
  return act === 'cancel' && code === 'order_closed' && lost ? 'ok' : 'fail';
}

async function refuse({ diary, name }: Self, number: number, { status, body }: NonNullable<Answer>): Promise<void> {
  const code = String(body.code);
  if (status === 401 || status === 400 || body.code === undefined) {
    await diary.write({ type: 'wrong', what: `${name}-${number}: ${status} ${JSON.stringify(body)}` });
  }
  await diary.write({ type: 'fail', number, code });
}

async function take(self: Self, number: number, wish: Wish, answer: NonNullable<Answer>): Promise<void> {
  const { diary, door, random, open } = self;
  const told = toldOf(answer);
  await diary.write({ type: 'ok', number, told, repeated: answer.hit });
  if (wish.act === 'place' || wish.act === 'place_list') {
    open.push(...told.orderIds);
    open.splice(0, open.length - OPEN_KEPT);
  }
  const keyed = wish.key !== undefined || wish.body?.clientOrderId !== undefined;
  if (!keyed || random() >= REPEATED) return;
  const again = await door.call(wish.method, wish.path, wish);
  if (again !== null && again.status < 300 && !(again.hit && sameTold(toldOf(again), told))) {
    await diary.write({ type: 'wrong', what: `I5 ${self.name}-${number} asked again: ${JSON.stringify(again)}` });
  }
  const other = { ...wish.body, [wish.act === 'funds' ? 'amount' : 'quantity']: '0.77700' };
  const changed = await door.call(wish.method, wish.path, { ...wish, body: other });
  if (changed !== null && changed.status < 300) {
    await diary.write({ type: 'wrong', what: `I5 ${self.name}-${number}: its key did something else as well` });
  }
}

function sameTold(one: Told, other: Told): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

function toldOf({ body }: NonNullable<Answer>): Told {
  const orders = (body.orders ?? (typeof body.id === 'string' ? [body] : [])) as { id: string }[];
  const orderIds = orders.map(({ id }) => id);
  return typeof body.journalId === 'string' ? { orderIds, journalId: body.journalId } : { orderIds };
}

type Balance = Readonly<{ asset: string; total: string; available: string; held: string }>;
type HeldTotal = Readonly<{ asset: string; held: string; explained: string }>;

/** What any user may check at any moment: I3, I4 and I6 as REST tells them. */
async function look({ door, diary, name }: Self): Promise<void> {
  const [balances, holds] = [await door.call('GET', '/v1/balances'), await door.call('GET', '/v1/holds')];
  if (balances?.status === 401) await door.login();
  for (const balance of (balances?.status === 200 ? balances.body.balances : []) as Balance[]) {
    const [total, available, held] = [balance.total, balance.available, balance.held].map(units);
    if (total! !== available! + held! || available! < 0n || held! < 0n) {
      await diary.write({ type: 'wrong', what: `I3/I4 ${name}: ${JSON.stringify(balance)}` });
    }
  }
  for (const total of (holds?.status === 200 ? holds.body.totals : []) as HeldTotal[]) {
    if (units(total.held) !== units(total.explained)) {
      await diary.write({ type: 'wrong', what: `I6 ${name}: ${JSON.stringify(total)}` });
    }
  }
}

const SCALE = 18;
/** Exact; throws on anything that is no plain decimal, such as NaN. */
function units(text: string): bigint {
  const [whole = '', fraction = ''] = text.split('.');
  return BigInt(whole + fraction.padEnd(SCALE, '0'));
}

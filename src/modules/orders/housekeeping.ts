import { sql } from 'drizzle-orm';
import { assert } from '../../kernel/assert.ts';
import { accepted, refused } from '../../kernel/outcome.ts';
import type { Outcome } from '../../kernel/outcome.ts';
import type { ErrorCode } from '../../protocol/errors.ts';
import { cancelWhere } from './commands.ts';
import type { CommandDeps } from './commands.ts';
import type { Caller } from './desk.ts';
import type { Steps } from './execution.ts';
import { readAnswers } from './queries.ts';
import { commandOf } from './store.ts';

const BATCH_LIMIT = 1_000;
/** Of one batch: after so many the rest is left to the next run. */
const FAILURES_LIMIT = 5;
const TIMEOUT_LIMITS_MS = { min: 1_000, max: 24 * 60 * 60 * 1_000 };
/** An engine ends what expires; what is open so long after its time has none that looks after it. */
const EXPIRY_GRACE_MS = 30_000;

export async function cancelAfter(
  deps: CommandDeps,
  caller: Caller,
  timeoutMs: number,
): Promise<Outcome<Readonly<{ triggerAt: number | null }>, ErrorCode>> {
  const { min, max } = TIMEOUT_LIMITS_MS;
  if (timeoutMs !== 0 && !(Number.isInteger(timeoutMs) && timeoutMs >= min && timeoutMs <= max))
    return refused('bad_request', `0, or ${min} to ${max} milliseconds`);
  const statement = sql`select orders.cancel_after(${caller.userId}::uuid, ${timeoutMs}::bigint) as answer`;
  const rows = await deps.database.runCommand(commandOf('cancel_after', statement));
  const at = rows[0]?.answer;
  return accepted({ triggerAt: at === null || at === undefined ? null : Number(at) });
}

/** Cancels all orders of users whose dead-man switch has run out. Answers for how many; ask again while it is the limit. */
export async function expireDeadMen(deps: CommandDeps, limit: number): Promise<number> {
  assertBatch(limit);
  const query = sql`select jsonb_build_object('userId', user_id) as answer from orders.traders
    where dead_man_at_ms <= (extract(epoch from clock_timestamp()) * 1000)::bigint order by dead_man_at_ms limit ${limit}`;
  const users = await readAnswers<{ userId: string }>(deps.database, 'dead_men', query);
  const reason = { code: 'dead_man', message: 'nobody renewed cancel-after in time' };
  await forEach(users, ({ userId }) =>
    cancelWhere(deps, { userId, actor: 'dead_man', requestId: null }, {}, { reason, deadMan: true }),
  );
  return users.length;
}

/** A net below the engines: ends what should have expired some time ago and is still open. */
export async function expireOverdue(deps: CommandDeps, steps: Steps, limit: number): Promise<number> {
  assertBatch(limit);
  const query = sql`select jsonb_build_object('orderId', id, 'version', version) as answer from orders.orders
    where not ended and expire_at_ms < (extract(epoch from clock_timestamp()) * 1000)::bigint - ${EXPIRY_GRACE_MS}
    order by expire_at_ms limit ${limit}`;
  const overdue = await readAnswers<{ orderId: string; version: number }>(deps.database, 'overdue', query);
  // Refused when something happened to it meanwhile; the next look finds it again if it is still there.
  const reason = { code: 'expired', message: 'its time is over' };
  await forEach(overdue, (ref) => steps.finish(ref, 'expired', reason));
  return overdue.length;
}

/** One that fails does not keep the others waiting: what failed is thrown at the end. Many failures are no matter of single ones. */
async function forEach<T>(items: readonly T[], work: (item: T) => Promise<unknown>): Promise<void> {
  const failures: unknown[] = [];
  for (const item of items) {
    try {
      await work(item);
    } catch (error) {
      failures.push(error);
      if (failures.length >= FAILURES_LIMIT) break;
    }
  }
  if (failures.length > 0) throw new AggregateError(failures, `${failures.length} of ${items.length} failed`);
}

function assertBatch(limit: number): void {
  assert(Number.isInteger(limit) && limit > 0 && limit <= BATCH_LIMIT, 'orders: a batch has 1 to 1,000 entries');
}

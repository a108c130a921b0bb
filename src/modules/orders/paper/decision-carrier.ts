import { setTimeout as pause } from 'node:timers/promises';
import { backoffDelayMs } from '../../../kernel/backoff.ts';
import type { Clock } from '../../../kernel/clock.ts';
import type { Random } from '../../../kernel/random.ts';
import type { Log } from '../../../platform/log.ts';
import { DatabaseFailure } from '../../../platform/postgres.ts';
import type { EngineFill, ExecutionDesk, Executed, WorkingOrder } from '../desk.ts';
import type { Decision, DecisionAnswer } from './core-events.ts';
import { exactly, least, textOf } from './fixed-point.ts';
import { isEnded } from './paper-order.ts';
import type { PaperMetrics } from './paper-metrics.ts';

/** While the database is away nothing is given up: the decision stands, and its trade ids keep it from happening twice. */
const RETRY_BACKOFF = { baseMs: 50, maxMs: 2_000, factor: 2, jitter: 0.5 };
/** A user can change an order this often while one decision about it is under way. */
const CONFLICTS_LIMIT = 20;

/** The market is another's now, or we stop: nothing more may be decided here. */
export class Abandoned extends Error {
  override name = 'Abandoned';
}

export type CarrierSetup = Readonly<{
  execution: ExecutionDesk;
  /** The order as it is now, over or not; null: not there. */
  reRead: (orderId: string) => Promise<WorkingOrder | null>;
  /** False: we may not write just now. */
  mayWrite: () => boolean;
  /** Aborts when the market is given up. */
  signal: AbortSignal;
  clock: Clock;
  random: Random;
  log: Log;
  metrics: PaperMetrics;
}>;

/** Makes one decision so: one statement, again and again until the database has answered. Rejects with `Abandoned` only. */
export async function carryOut(setup: CarrierSetup, decision: Decision): Promise<DecisionAnswer> {
  const beganMs = setup.clock.monotonic();
  let current = decision;
  for (let conflicts = 0; ; conflicts++) {
    const outcome = await untilAnswered(setup, current);
    setup.metrics.decisions.inc({ do: current.step.do, result: outcome.ok ? 'done' : outcome.code });
    if (outcome.ok) {
      setup.metrics.commitMs.observe({}, setup.clock.monotonic() - beganMs);
      return { working: outcome.value, refused: null };
    }
    if (outcome.code === 'insufficient_funds') {
      return { working: await readAgain(setup, decision.orderId), refused: outcome.code };
    }
    const fresh = await readAgain(setup, decision.orderId);
    const revised = fresh === null || conflicts >= CONFLICTS_LIMIT ? null : revise(current, fresh);
    if (outcome.code !== 'conflict' || revised === null) return { working: fresh, refused: outcome.code };
    current = revised;
  }
}

/**
 * The user's command came first, but a fill's evidence is older than the command's effect: it counts all the same, as far as
 * the order is still open. Everything else is decided anew.
 */
export function revise(decision: Decision, fresh: WorkingOrder): Decision | null {
  const { step } = decision;
  if (step.do !== 'fill' || fresh.order.version === decision.version) return null;
  const { quantity, filledQuantity, preventedQuantity } = fresh.order;
  if (quantity === null) return { ...decision, version: fresh.order.version };
  let open = exactly(quantity) - exactly(filledQuantity) - exactly(preventedQuantity);
  const fills: EngineFill[] = [];
  for (const fill of step.fills) {
    const part = least(exactly(fill.quantity), open);
    if (part <= 0n) break;
    open -= part;
    fills.push({ ...fill, quantity: textOf(part) });
  }
  return fills.length === 0 ? null : { ...decision, version: fresh.order.version, step: { do: 'fill', fills } };
}

async function untilAnswered(setup: CarrierSetup, decision: Decision): Executed {
  return untilDone(setup, () => call(setup.execution, decision));
}

async function readAgain(setup: CarrierSetup, orderId: string): Promise<WorkingOrder | null> {
  const fresh = await untilDone(setup, () => setup.reRead(orderId));
  return fresh !== null && isEnded(fresh.order.status) ? null : fresh;
}

/** Also for reads of the same loop: without an answer there is nothing to go on with. */
export async function untilDone<T>(
  setup: Pick<CarrierSetup, 'mayWrite' | 'signal' | 'random' | 'log' | 'metrics'>,
  work: () => Promise<T>,
): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    if (setup.signal.aborted) throw new Abandoned('the market was given up');
    try {
      if (setup.mayWrite()) return await work();
    } catch (error) {
      if (!(error instanceof DatabaseFailure)) throw error;
      setup.metrics.retries.inc({});
      setup.log.warn({ event: 'paper_database_retry', attempt, err: error });
    }
    await rest(backoffDelayMs(RETRY_BACKOFF, attempt, setup.random), setup.signal);
  }
}

async function rest(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await pause(ms, undefined, { signal });
  } catch {
    throw new Abandoned('the market was given up');
  }
}

function call(desk: ExecutionDesk, { orderId, version, memo, step }: Decision): Executed {
  const ref = { orderId, version };
  switch (step.do) {
    case 'accept':
      return desk.accept(ref, { memo });
    case 'fill':
      return step.fills.length === 1
        ? desk.fill(ref, step.fills[0]!, { memo })
        : desk.fillAll(ref, step.fills, { memo });
    case 'trigger':
      return desk.trigger(ref, step.evidence, { memo });
    case 'amend':
      return desk.amend(ref, step.refusal, { memo });
    case 'finish':
      return desk.finish(ref, step.status, step.reason);
    case 'prevent':
      return desk.prevent(ref, step.quantity, { memo });
    case 'wait':
      return desk.wait(ref, step.waiting);
    case 'remember':
      return desk.remember(ref, memo, step.stopPrice);
    default:
      return step satisfies never;
  }
}

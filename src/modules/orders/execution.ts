import { randomUUID } from 'node:crypto';
import { assert } from '../../kernel/assert.ts';
import { accepted, refused } from '../../kernel/outcome.ts';
import type { CommandDeps } from './commands.ts';
import { step } from './commands.ts';
import type { EngineFill, EngineNote, Executed, ExecutionDesk, ExecutionRefusal, OrderRef } from './desk.ts';
import { tryFixed } from './fixed.ts';
import { isOrderId } from './ids.ts';
import type { StepAnswer } from './store.ts';

/** Of one walk through the book; the deepest tier has 100 levels. */
const FILLS_LIMIT = 200;
const REFUSALS: readonly string[] = [
  'not_found',
  'conflict',
  'order_closed',
  'insufficient_funds',
  'denied',
] satisfies ExecutionRefusal[];
const FINISHES = {
  canceled: 'cancel',
  expired: 'expire',
  rejected: 'reject',
  expired_in_match: 'expire_in_match',
} as const;

export type Steps = Omit<ExecutionDesk, 'workingOrders' | 'workingMarkets' | 'commandsSince' | 'onCommand'>;
export type TriggerCheck = (
  work: Readonly<{ orderId: string }>,
) => Promise<Readonly<{ protectionPrice: string | null; denial: Readonly<{ code: string; message: string }> | null }>>;

/** `actor`: the engine's name in the audit trail. */
export function createSteps(deps: CommandDeps & Readonly<{ checkTrigger: TriggerCheck }>, actor: string): Steps {
  const run = async (
    name: 'advance' | 'remember' | 'fill' | 'decide_amendment' | 'trigger',
    ref: OrderRef,
    request: Readonly<Record<string, unknown>>,
    note: EngineNote = {},
  ): Executed => {
    if (!isOrderId(ref.orderId)) return refused('not_found', 'there is no such order');
    return executedOf(await step(deps, name, { ...ref, token: randomUUID(), actor, ...request, ...note }));
  };
  const fillAll = (ref: OrderRef, fills: readonly EngineFill[], note?: EngineNote): Executed => {
    assert(fills.length > 0 && fills.length <= FILLS_LIMIT, 'orders: a walk has 1 to 200 fills');
    for (const fill of fills) assertFill(fill);
    return run('fill', ref, { fills }, note);
  };
  return {
    accept: (ref, note) => run('advance', ref, { event: 'accept' }, note),
    fill: (ref, fill, note) => fillAll(ref, [fill], note),
    fillAll,
    async trigger(ref, evidence, note) {
      return run('trigger', ref, { evidence, ...(await deps.checkTrigger(ref)) }, note);
    },
    amend: (ref, refusal, note) => run('decide_amendment', ref, { refusal }, note),
    finish: (ref, status, reason) => run('advance', ref, { event: FINISHES[status], reason }),
    prevent(ref, quantity, note) {
      assert((tryFixed(quantity) ?? 0n) > 0n, 'orders: what is prevented is a positive quantity');
      return run('advance', ref, { event: 'prevent', quantity }, note);
    },
    wait: (ref, waiting) => run('advance', ref, { event: 'wait', waiting }),
    remember: (ref, memo, stopPrice) => run('remember', ref, { memo, stopPrice }),
  };
}

/** An engine that gives anything else has a fault, which must not become money. */
function assertFill(fill: EngineFill): void {
  assert((tryFixed(fill.price) ?? 0n) > 0n, 'orders: a fill has a positive price of at most 18 places');
  assert((tryFixed(fill.quantity) ?? 0n) > 0n, 'orders: a fill has a positive quantity of at most 18 places');
  assert(fill.tradeId.length > 0 && fill.tradeId.length <= 200, 'orders: a fill has a trade id');
}

function executedOf(answer: StepAnswer): Awaited<Executed> {
  if (answer.status === 'refused') {
    assert(REFUSALS.includes(answer.code), `orders: an engine was refused with ${answer.code}: ${answer.message}`);
    return refused(answer.code as ExecutionRefusal, answer.message);
  }
  assert('works' in answer && answer.works.length > 0, 'orders: a step answers its order');
  return accepted(answer.works[0]!);
}

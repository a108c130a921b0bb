import { sql } from 'drizzle-orm';
import { assert } from '../../kernel/assert.ts';
import type { Database } from '../../platform/postgres.ts';
import { parseDecimal } from '../ledger/index.ts';
import { readAnswers } from './queries.ts';
import { commandOf } from './store.ts';

/** `reducing`: only sales are taken. Cancelling is always allowed. */
export type TradingState = 'active' | 'reducing' | 'halted';
/** `venue` null: all of them. */
export type TradingSwitch = Readonly<{ venue: string | null; state: TradingState; reason: string; updatedBy: string }>;
/** Fractions below 1, and an amount in the quote asset. The most specific rule counts: group and market, group, market, any. */
export type FeeRule = Readonly<{
  group: string | null;
  market: Readonly<{ venue: string; symbol: string }> | null;
  maker: string;
  taker: string;
  flat: string;
}>;

/** What administrators set. Rights and the audit trail are the caller's business; `actor` is kept beside each row. */
export interface TradingSettings {
  switches(): Promise<TradingSwitch[]>;
  setSwitch(
    change: Readonly<{ venue: string | null; state: TradingState; reason: string }>,
    actor: string,
  ): Promise<void>;
  feeRules(): Promise<FeeRule[]>;
  setFeeRule(rule: FeeRule, actor: string): Promise<void>;
  /** The rule for everybody stays. */
  removeFeeRule(scope: Pick<FeeRule, 'group' | 'market'>, actor: string): Promise<void>;
  /** Null: no group. Holds for orders placed from then on. */
  setFeeGroup(userId: string, group: string | null): Promise<void>;
}

const GROUP = /^[a-z0-9_-]{1,32}$/;
const VENUE = /^[a-z0-9_]{2,32}$/;
const REASON_LIMIT_CHARS = 200;

export function createSettings(database: Database): TradingSettings {
  const writeRule = async (
    { group, market }: Pick<FeeRule, 'group' | 'market'>,
    rates: Pick<FeeRule, 'maker' | 'taker' | 'flat'> | null,
    actor: string,
  ): Promise<void> => {
    assert(group === null || GROUP.test(group), 'orders: a fee group has a short lower-case name');
    const [venue, symbol] = [market?.venue ?? null, market?.symbol ?? null];
    const [maker, taker, flat] = [rates?.maker ?? null, rates?.taker ?? null, rates?.flat ?? null];
    const statement = sql`select orders.set_fee_rule(${group}, ${venue}, ${symbol}, ${maker}::numeric, ${taker}::numeric,
      ${flat}::numeric, ${actor})`;
    await database.runCommand(commandOf('set_fee_rule', statement));
  };
  return {
    switches: () =>
      readAnswers<TradingSwitch>(
        database,
        'switches',
        sql`select jsonb_build_object('venue', nullif(scope, '*'), 'state', state, 'reason', reason, 'updatedBy', updated_by)
          as answer from orders.switches order by scope`,
      ),
    async setSwitch({ venue, state, reason }, actor) {
      assert(venue === null || VENUE.test(venue), 'orders: this is no name of a venue');
      assert(reason.length <= REASON_LIMIT_CHARS, 'orders: a reason is a short text');
      const statement = sql`select orders.set_switch(${venue ?? '*'}, ${state}, ${reason}, ${actor})`;
      await database.runCommand(commandOf('set_switch', statement));
    },
    feeRules: () =>
      readAnswers<FeeRule>(
        database,
        'fee_rules',
        sql`select jsonb_build_object('group', fee_group, 'market', case when venue is not null
            then jsonb_build_object('venue', venue, 'symbol', symbol) end, 'maker', trim_scale(maker)::text,
            'taker', trim_scale(taker)::text, 'flat', trim_scale(flat)::text) as answer
          from orders.fee_rules order by id`,
      ),
    async setFeeRule(rule, actor) {
      for (const rate of [rule.maker, rule.taker, rule.flat])
        assert(parseDecimal(rate) !== null, 'orders: a rate is a decimal as text');
      await writeRule(rule, rule, actor);
    },
    removeFeeRule: (scope, actor) => writeRule(scope, null, actor),
    async setFeeGroup(userId, group) {
      assert(group === null || GROUP.test(group), 'orders: a fee group has a short lower-case name');
      const statement = sql`select orders.set_fee_group(${userId}::uuid, ${group})`;
      await database.runCommand(commandOf('set_fee_group', statement));
    },
  };
}

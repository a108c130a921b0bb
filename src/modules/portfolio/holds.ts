import type { z } from 'zod';
import type { Database, Queries } from '../../platform/postgres.ts';
import type { HoldsAnswer } from '../../protocol/trading.ts';
import { selectHeldMoney } from '../ledger/index.ts';
import type { Ledger, OpenHold } from '../ledger/index.ts';
import { AssetScales } from './sync-event.ts';

type Holds = z.infer<typeof HoldsAnswer>;
/** What a hold is for, and what gives it back. */
export type HoldStory = Readonly<{ explanation: string; release: string }>;
export type HoldsDeps = Readonly<{
  database: Database;
  ledger: Pick<Ledger, 'assets'>;
  /** Of holds for orders, by the hold's reference; what is missing is explained by its purpose. Reads with these queries only. */
  describeOrders: (
    queries: Queries,
    userId: string,
    references: readonly string[],
  ) => Promise<ReadonlyMap<string, HoldStory>>;
}>;

const ORDER_PURPOSE = 'order';

/** "Where is my money?": each held unit, what holds it and why. Totals, holds and orders are of one instant. */
export async function explainHolds(deps: HoldsDeps, userId: string): Promise<Holds> {
  const options = { name: 'portfolio.holds', mode: 'snapshot' } as const;
  const { holds, held, stories } = await deps.database.transaction(options, async (queries) => {
    const money = await selectHeldMoney(queries, userId);
    const references = money.holds.filter(({ purpose }) => purpose === ORDER_PURPOSE).map(({ reference }) => reference);
    const told =
      references.length === 0 ? new Map<string, HoldStory>() : await deps.describeOrders(queries, userId, references);
    return { ...money, stories: told };
  });
  const scales = new AssetScales(deps.ledger);
  await scales.learn(held.map(({ asset }) => asset));
  const explained = Map.groupBy(holds, ({ asset }) => asset);
  return {
    holds: holds.map((hold) => ({
      id: hold.id,
      asset: hold.asset,
      amount: scales.format(hold.open, hold.asset),
      purpose: hold.purpose,
      reference: hold.reference,
      ...((hold.purpose === ORDER_PURPOSE ? stories.get(hold.reference) : undefined) ?? plainStory(hold)),
      expiresAt: hold.expiresAtMs,
      createdAt: hold.placedAtMs,
    })),
    totals: held.map(({ asset, held: units }) => {
      const sum = (explained.get(asset) ?? []).reduce((total, { open }) => total + open, 0n);
      return { asset, held: scales.format(units, asset), explained: scales.format(sum, asset) };
    }),
  };
}

function plainStory({ purpose, reference, expiresAtMs }: OpenHold): HoldStory {
  const release =
    expiresAtMs === null ? `when this ${purpose} is over` : `when this ${purpose} is over, or when it expires`;
  return { explanation: `${purpose} ${reference}`, release };
}

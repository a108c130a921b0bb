import { z } from 'zod';
import { DecimalText, TimestampMs } from './messages.ts';

/** Shapes of what a user has: balances, holds, positions and what they are worth. */

export const ACCOUNTS = ['paper'] as const;

export const BalanceSchema = z
  .strictObject({ asset: z.string(), total: DecimalText, available: DecimalText, held: DecimalText })
  .meta({ id: 'Balance' });
export const BalancesAnswer = z.strictObject({ balances: z.array(BalanceSchema) }).meta({ id: 'Balances' });
export const HoldSchema = z
  .strictObject({
    id: z.string(),
    asset: z.string(),
    amount: DecimalText.meta({ description: 'what is still held of it' }),
    purpose: z.string(),
    reference: z.string().meta({ description: 'such as the id of the order' }),
    explanation: z.string(),
    release: z.string().meta({ description: 'what gives it back' }),
    expiresAt: TimestampMs.nullable(),
    createdAt: TimestampMs,
  })
  .meta({ id: 'Hold' });
export const HoldsAnswer = z
  .strictObject({
    holds: z.array(HoldSchema),
    totals: z
      .array(z.strictObject({ asset: z.string(), held: DecimalText, explained: DecimalText }))
      .meta({ description: 'per asset: held on the account, and the sum of the holds above; always equal' }),
  })
  .meta({ id: 'Holds' });

export const PositionSchema = z
  .strictObject({
    account: z.enum(ACCOUNTS),
    base: z.string(),
    quote: z.string(),
    quantity: DecimalText.meta({ description: 'bought through orders and not sold again' }),
    averageCost: DecimalText.nullable().meta({ description: 'per unit, fees included, in the quote asset' }),
    cost: DecimalText,
    realizedPnl: DecimalText,
    feesPaid: DecimalText.meta({ description: 'valued in the quote asset at the time' }),
    updatedAt: TimestampMs,
  })
  .meta({ id: 'Position' });
export const ValuedPositionSchema = PositionSchema.extend({
  price: DecimalText.nullable().meta({ description: 'live; null when there is no fresh price' }),
  priceAgeMs: z.int().nullable(),
  venue: z.string().nullable(),
  value: DecimalText.nullable(),
  unrealizedPnl: DecimalText.nullable(),
}).meta({ id: 'ValuedPosition' });
export const PortfolioSchema = z
  .strictObject({
    account: z.enum(ACCOUNTS),
    currency: z.string().meta({ description: 'that the totals are in' }),
    equity: DecimalText.nullable().meta({ description: 'null while something held has no fresh price' }),
    unvalued: z.array(z.string()).meta({ description: 'assets without a fresh price; not part of the equity' }),
    realizedPnl: DecimalText,
    unrealizedPnl: DecimalText.nullable(),
    positions: z.array(ValuedPositionSchema),
    balances: z.array(BalanceSchema),
    at: TimestampMs,
  })
  .meta({ id: 'Portfolio' });
export const EquityPointSchema = z
  .strictObject({ at: TimestampMs, equity: DecimalText, complete: z.boolean() })
  .meta({ id: 'EquityPoint' });
export const StatisticsSchema = z
  .strictObject({
    account: z.enum(ACCOUNTS),
    currency: z.string(),
    orders: z.int(),
    fills: z.int(),
    volume: DecimalText,
    feesPaid: DecimalText,
    realizedPnl: DecimalText,
    closedTrades: z.int(),
    winRate: DecimalText.nullable().meta({ description: 'share of closing fills with a gain; null without any' }),
    averageWin: DecimalText.nullable(),
    averageLoss: DecimalText.nullable(),
    maxDrawdown: DecimalText.nullable().meta({ description: 'fraction of the peak' }),
    sharpe: DecimalText.nullable().meta({ description: 'of daily returns, times the root of 365; null below 2 days' }),
    unvalued: z
      .array(z.string())
      .meta({ description: 'quote assets that have no rate to the currency now; not part of the amounts' }),
  })
  .meta({ id: 'Statistics' });

export type BalanceText = z.infer<typeof BalanceSchema>;
export type Position = z.infer<typeof PositionSchema>;
export type ValuedPosition = z.infer<typeof ValuedPositionSchema>;
export type Portfolio = z.infer<typeof PortfolioSchema>;
export type EquityPoint = z.infer<typeof EquityPointSchema>;
export type Statistics = z.infer<typeof StatisticsSchema>;

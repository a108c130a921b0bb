import { z } from 'zod';
import { DecimalText, TimestampMs, VenueData } from './messages.ts';
import { AmountText, EquityPointSchema, FillSchema, OrderSchema } from './trading.ts';

/** Lists, pages and small answers about orders and money: the same over REST and over the sockets. */

const nextCursor = z
  .string()
  .nullable()
  .meta({ description: 'pass it as `cursor` for the next page; null on the last one' });
export const OrdersAnswer = z.strictObject({ orders: z.array(OrderSchema), nextCursor }).meta({ id: 'Orders' });
export const FillsAnswer = z.strictObject({ fills: z.array(FillSchema), nextCursor }).meta({ id: 'Fills' });
export const CanceledAnswer = z
  .strictObject({ orders: z.array(OrderSchema) })
  .meta({ id: 'CanceledOrders', description: 'The orders as they are now that their end was asked for' });

/** A day: whoever wants longer wants an order with an expiry. */
export const CANCEL_AFTER_LIMIT_MS = 86_400_000;
export const CancelAfterBody = z
  .strictObject({
    timeoutMs: z
      .int()
      .min(0)
      .max(CANCEL_AFTER_LIMIT_MS)
      .meta({ description: 'from now; 0 switches it off. Call again before it is over' }),
  })
  .meta({ id: 'CancelAfter' });
export const CancelAfterAnswer = z
  .strictObject({ triggerAt: TimestampMs.nullable() })
  .meta({ id: 'CancelAfterSet', description: 'When all open orders are cancelled; null: never' });

export const LedgerEntrySchema = z
  .strictObject({
    asset: z.string(),
    version: z.int().meta({ description: 'number of the change on this balance; rises by exactly 1' }),
    journalId: z.string().meta({ description: 'what happened together has one journal' }),
    kind: z.string().meta({ examples: ['trade', 'hold', 'release', 'grant'] }),
    reference: z
      .strictObject({ type: z.string(), id: z.string() })
      .nullable()
      .meta({ description: 'what it was about, such as an order' }),
    totalChange: DecimalText,
    heldChange: DecimalText,
    total: DecimalText.meta({ description: 'right after it' }),
    held: DecimalText,
    at: TimestampMs,
  })
  .meta({ id: 'LedgerEntry' });
export const LedgerAnswer = z.strictObject({ entries: z.array(LedgerEntrySchema), nextCursor }).meta({ id: 'Ledger' });

/** Codes as exchanges spell them, with or without the paper prefix. */
export const PaperFundsBody = z
  .strictObject({
    asset: z.string().regex(/^(?:PAPER:)?[A-Z0-9][A-Z0-9._-]{0,25}$/),
    amount: AmountText,
  })
  .meta({ id: 'PaperFundsRequest' });
export const PaperFundsAnswer = z
  .strictObject({ asset: z.string(), amount: DecimalText, journalId: z.string() })
  .meta({ id: 'PaperFunds', description: 'journalId: where the statement shows it' });

export const EquityHistoryAnswer = z
  .strictObject({ points: z.array(EquityPointSchema) })
  .meta({ id: 'EquityHistory', description: 'Oldest first' });

export const TRADING_STATES = ['active', 'reducing', 'halted'] as const;
const switchFields = {
  venue: z
    .string()
    .regex(/^[a-z0-9_]{2,32}$/)
    .nullable()
    .meta({ description: 'null: all venues' }),
  state: z.enum(TRADING_STATES).meta({ description: 'reducing: only sales. Cancelling always works' }),
  reason: z.string().regex(/^[^\p{Cc}\p{Cs}]{0,200}$/u),
};
export const TradingSwitchBody = z.strictObject(switchFields).meta({ id: 'TradingSwitchChange' });
export const TradingSwitchesAnswer = z
  .strictObject({ switches: z.array(z.strictObject({ ...switchFields, updatedBy: z.string() })) })
  .meta({ id: 'TradingSwitches', description: 'The strictest that applies counts' });

export const LedgerCheckSchema = z
  .strictObject({
    at: TimestampMs,
    ok: z.boolean(),
    checks: z.int(),
    journals: z.int(),
    accounts: z.int(),
    breaches: z.array(z.strictObject({ invariant: z.string(), promise: z.string(), count: z.int() })),
  })
  .meta({ id: 'LedgerCheck' });
export const AdminStatusSchema = z
  .strictObject({
    at: TimestampMs,
    venues: z.array(VenueData),
    unreported: z.array(z.string()),
    figures: z
      .record(z.string(), z.number())
      .meta({ description: 'gauges of this process, such as open connections and queues' }),
    ledger: LedgerCheckSchema.nullable().meta({ description: 'the last check; null when there was none yet' }),
  })
  .meta({ id: 'AdminStatus' });

export type CancelAfterSet = z.infer<typeof CancelAfterAnswer>;
export type LedgerCheck = z.infer<typeof LedgerCheckSchema>;
export type LedgerEntry = z.infer<typeof LedgerEntrySchema>;

import type { StreamMessage } from '../../protocol/messages.ts';

/** JSON sizes measured on recorded Binance traffic, rounded up; envelope included in the base. */
const BASE_BYTES = 250;
const LEVEL_BYTES = 32;
const TRADE_BYTES = 128;
const CANDLE_BYTES = 160;
const OBJECT_BYTES = 320;

/**
 * What a message weighs as JSON, about: the text itself is made only when the first receiver is there, and its making stamps
 * `sentTs`, so that it cannot be made just to be measured.
 */
export function messageWeight(message: StreamMessage): number {
  const data = message.data as Partial<Record<'bids' | 'asks' | 'trades' | 'candles', readonly unknown[]>>;
  const levels = (data.bids?.length ?? 0) + (data.asks?.length ?? 0);
  const trades = data.trades?.length ?? 0;
  const candles = data.candles?.length ?? 0;
  const rows = levels * LEVEL_BYTES + trades * TRADE_BYTES + candles * CANDLE_BYTES;
  return BASE_BYTES + (rows === 0 ? OBJECT_BYTES : rows);
}

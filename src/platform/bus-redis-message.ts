import { isMarketDecimal } from '../kernel/decimal-text.ts';
import { MarketSchema } from '../protocol/market.ts';
import {
  BookSnapshotData,
  CandlesData,
  GapData,
  MESSAGE_KINDS,
  StreamStateData,
  TickerData,
  VenueData,
} from '../protocol/messages.ts';
import type { StreamMessage } from '../protocol/messages.ts';
import { z } from 'zod';

/**
 * Whether a value from the bus is a message, data included: what `StreamMessageSchema` and the schemas of its data say, without
 * `conflated`, which is a gateway's word to its clients. What comes many times a second is checked by hand: the schemas took a
 * third of what a gateway spends on receiving a message.
 */
export function isSoundMessage(value: unknown): value is StreamMessage {
  return isEnvelope(value) && hasSoundData(value);
}

const CHECKSUM_LIMIT = 0xffffffff;
const TRADE_ID_LIMIT_CHARS = 128;
const TICKER_FIELDS: ReadonlySet<string> = new Set(Object.keys(TickerData.shape));
const KINDS: ReadonlySet<string> = new Set(MESSAGE_KINDS);
const ENVELOPE_FIELDS_REQUIRED = 6;

type Fields = Readonly<Record<string, unknown>>;

function isEnvelope(value: unknown): value is StreamMessage {
  if (!isFields(value)) return false;
  let required = 0;
  for (const key in value) {
    const field = value[key];
    switch (key) {
      case 'stream':
      case 'epoch':
        if (typeof field !== 'string') return false;
        required += 1;
        break;
      case 'seq':
        if (!Number.isSafeInteger(field) || (field as number) < 0) return false;
        required += 1;
        break;
      case 'kind':
        if (!KINDS.has(field as string)) return false;
        required += 1;
        break;
      case 'ingestTs':
        if (!Number.isSafeInteger(field)) return false;
        required += 1;
        break;
      case 'data':
        required += 1;
        break;
      case 'exchangeTs':
      case 'exchangeSeq':
        if (!Number.isSafeInteger(field)) return false;
        break;
      default:
        return false;
    }
  }
  return required === ENVELOPE_FIELDS_REQUIRED;
}

const MarketsData = z.strictObject({ markets: z.array(MarketSchema) });

function hasSoundData({ stream, kind, data }: StreamMessage): boolean {
  if (kind === 'state') return fits(StreamStateData, data);
  if (kind === 'gap') return fits(GapData, data);
  switch (stream.slice(0, stream.indexOf(':'))) {
    case 'book':
      return kind === 'snapshot' ? fits(BookSnapshotData, data) : isBookDelta(data);
    case 'trades':
      return isTrades(data);
    case 'ticker':
      return isTicker(data);
    case 'candles':
      return fits(CandlesData, data);
    case 'venue':
      return fits(VenueData, data);
    case 'markets':
      return fits(MarketsData, data);
    default:
      return false;
  }
}

function fits(schema: z.ZodType, data: unknown): boolean {
  return schema.safeParse(data).success;
}

/** As `BookDeltaData`. */
function isBookDelta(data: unknown): boolean {
  if (!isFields(data)) return false;
  for (const key in data) {
    if (key === 'checksum') {
      const { checksum } = data;
      if (!Number.isSafeInteger(checksum) || (checksum as number) < 0 || (checksum as number) > CHECKSUM_LIMIT)
        return false;
    } else if (key !== 'bids' && key !== 'asks') return false;
  }
  return areLevels(data.bids) && areLevels(data.asks);
}

function areLevels(levels: unknown): boolean {
  if (!Array.isArray(levels)) return false;
  for (const level of levels as unknown[]) {
    if (!Array.isArray(level) || level.length !== 2 || !isDecimal(level[0]) || !isDecimal(level[1])) return false;
  }
  return true;
}

/** As `TradesData`. */
function isTrades(data: unknown): boolean {
  if (!isFields(data) || !Array.isArray(data.trades)) return false;
  for (const key in data) if (key !== 'trades') return false;
  return (data.trades as unknown[]).every(isTrade);
}

function isTrade(trade: unknown): boolean {
  if (!isFields(trade)) return false;
  let fields = 0;
  for (const _ in trade) fields += 1;
  const { id, price, size, side, ts } = trade;
  return (
    fields === 5 &&
    typeof id === 'string' &&
    id.length <= TRADE_ID_LIMIT_CHARS &&
    isDecimal(price) &&
    isDecimal(size) &&
    (side === 'buy' || side === 'sell' || side === null) &&
    Number.isSafeInteger(ts)
  );
}

/** As `TickerData`. */
function isTicker(data: unknown): boolean {
  if (!isFields(data)) return false;
  let fields = 0;
  for (const key in data) {
    if (!TICKER_FIELDS.has(key) || (data[key] !== null && !isDecimal(data[key]))) return false;
    fields += 1;
  }
  return fields === TICKER_FIELDS.size;
}

/** As `DecimalText`. */
function isDecimal(value: unknown): boolean {
  return typeof value === 'string' && isMarketDecimal(value);
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

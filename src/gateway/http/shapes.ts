import { z } from 'zod';
import { MarketSchema } from '../../protocol/market.ts';
import {
  BookSnapshotData,
  CandlesData,
  StreamStateData,
  TickerData,
  TimestampMs,
  TradesData,
  VenueData,
} from '../../protocol/messages.ts';
import { PROBLEM_TYPE, ProblemSchema } from './problem.ts';
import type { StreamReading } from './stream-reading.ts';

/** What every answer that reads a stream carries around its data: the same position that the sockets push. */
function readingShape<T extends z.ZodType>(id: string, data: T) {
  return z
    .strictObject({
      stream: z.string().meta({ description: 'the stream that says the same, live' }),
      epoch: z.string(),
      seq: z.int().min(0),
      exchangeTs: TimestampMs.nullable().meta({ description: 'null where the venue does not say' }),
      ingestTs: TimestampMs,
      exchangeSeq: z.int().optional().meta({ description: "the exchange's own update id, where it has one" }),
      ageMs: z.int().min(0).meta({ description: 'time since the data reached this system' }),
      state: StreamStateData,
      data,
    })
    .meta({ id });
}

export const TickerReading = readingShape('TickerReading', TickerData);
export const BookReading = readingShape('BookReading', BookSnapshotData);
export const TradesReading = readingShape('TradesReading', TradesData);
export const CandlesReading = readingShape('CandlesReading', CandlesData);

export const VenuesAnswer = z
  .strictObject({
    venues: z.array(VenueData),
    unreported: z.array(z.string()).meta({ description: 'configured venues of which nothing is known at the moment' }),
  })
  .meta({ id: 'Venues' });
export const MarketsAnswer = z
  .strictObject({
    markets: z.array(MarketSchema),
    nextCursor: z
      .string()
      .nullable()
      .meta({ description: 'pass it as `cursor` for the next page; null on the last one' }),
  })
  .meta({ id: 'Markets' });
export { MarketSchema };

/** Every route's other answer. */
export const PROBLEM_RESPONSE = {
  description: 'Anything else: the code tells what, `temporary` whether to try again',
  content: { [PROBLEM_TYPE]: { schema: ProblemSchema } },
};

/** Of routes that answer nothing but that it is done. */
export const DONE_RESPONSE = z.null().meta({ description: 'Done' });
/** An id that we gave out. Another form is simply not found. */
export const IdPath = z.strictObject({ id: z.string().max(128) });

/** `data` is believed to fit the stream's channel: it was made from the same schema, and the answer is checked once more. */
export function presentReading<T>(reading: StreamReading, data: T, nowMs: number) {
  const { message, state } = reading;
  return {
    stream: message.stream,
    epoch: message.epoch,
    seq: message.seq,
    exchangeTs: message.exchangeTs ?? null,
    ingestTs: message.ingestTs,
    ...(message.exchangeSeq === undefined ? {} : { exchangeSeq: message.exchangeSeq }),
    ageMs: Math.max(0, nowMs - message.ingestTs),
    state,
    data,
  };
}
